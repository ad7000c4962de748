"""Units of the settings."""

MEGABYTE = 2**20  # bytes: what MB means in every setting
