"""Labelled data sets out of Label Studio and into it: COCO and YOLO."""
