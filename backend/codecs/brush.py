"""Label Studio's brush RLE: masks to the `rle` list of a brush region, and back.

The list holds the bytes of a bit stream, most significant bit first, filled up with zero bits:

    32 bits      number of values; for a brush region H * W * 4, row-major RGBA
     5 bits      bits of a value, less 1
     4 x 4 bits  four field sizes in bits, less 1
    then records, until all values are there:
     1 bit       1: a run, one value repeated; 0: a literal, one value after the other
     2 bits      which of the four field sizes comes next
     1-16 bits   the field: number of values, less 1
     8 bits      the value; in a literal, the values

Source: thi.ng/rle-pack, as Label Studio's front end and label-studio-sdk's converter/brush.py
(`encode_rle`, `decode_rle`, `decode_from_annotation`) use it.
"""

from backend.codecs.brush_decoding import decode_brush
from backend.codecs.brush_encoding import encode_brush, encode_brush_runs

__all__ = ["decode_brush", "encode_brush", "encode_brush_runs"]
