"""The page at `/`: what the service is doing, and a playground."""
