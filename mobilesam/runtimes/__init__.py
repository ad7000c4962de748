"""What computes the network."""
