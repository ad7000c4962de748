"""Sizes of the bit stream's parts; the package says what they are."""

CHANNELS = 4  # RGBA
VALUE_BITS = 8
KIND_BITS = 3  # run or literal, and which field size
HEADER_BITS = 53
