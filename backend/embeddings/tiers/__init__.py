"""Where embeddings are kept, fastest first."""
