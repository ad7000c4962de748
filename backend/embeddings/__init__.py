"""Embeddings of tasks' images: made once, kept in tiers, made ahead of the first click."""
