"""What a mask can be answered as, the preferred one first: every pixel, the outline, the box."""

OUTPUTS = ("brush", "bitmask", "polygon", "rectangle")
