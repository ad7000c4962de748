"""Images to model input."""
