"""Labeling configs, and the regions that come and go under them."""
