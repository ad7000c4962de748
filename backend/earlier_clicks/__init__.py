"""What earlier clicks left for further ones, here and, through Redis, for other services."""
