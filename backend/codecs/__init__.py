"""Masks in the formats that Label Studio, COCO and the page store."""
