"""Small inputs that cost a reader much: for the tests and for the soak."""

import io
import itertools
import struct

from PIL import Image

from backend.core.units import MEGABYTE


def jpeg_of_scans(side_px: int, scans: int) -> bytes:
    """Make a progressive JPEG whose last scan is there many times: 140 bytes each."""
    buffer = io.BytesIO()
    Image.new("L", (side_px, side_px), 128).save(buffer, "JPEG", progressive=True, quality=50)
    file = buffer.getvalue()
    start, end = file.rindex(b"\xff\xda"), len(file) - 2
    return file[:end] + file[start:end] * scans + file[end:]


def jpeg_of_segments(segments: int) -> bytes:
    """Make a JPEG with empty comments: Pillow reads each in Python."""
    buffer = io.BytesIO()
    Image.new("RGB", (8, 8)).save(buffer, "JPEG")
    file = buffer.getvalue()
    return file[:2] + b"\xff\xfe\0\2" * segments + file[2:]


def gif_of_comments(comments: int) -> bytes:
    """Make a GIF with comments of one byte each."""
    buffer = io.BytesIO()
    Image.new("P", (8, 8)).save(buffer, "GIF")
    file = buffer.getvalue()
    image = file.index(b",", 13 + 3 * 2)
    return file[:image] + b"!\xfe\1a\0" * comments + file[image:]


def big_tiff_of_tags(tags: int) -> bytes:
    """Make a BigTIFF whose directory has more tags than another TIFF may have."""
    head = struct.pack("<2sHHHQQ", b"II", 43, 8, 0, 16, tags)
    return head + b"".join(
        struct.pack("<HHQQ", 1000 + number % 60_000, 1, 1, 0) for number in range(tags)
    )


def bmp_of_runs(side_px: int) -> bytes:
    """Make a BMP of runs of one pixel each, which Pillow decodes in Python."""
    runs = b"".join(
        itertools.chain.from_iterable((b"\1\0" * side_px, b"\0\0") for _ in range(side_px))
    )
    palette = b"\0\0\0\0" * 256
    start = 14 + 40 + len(palette)
    head = struct.pack("<2sIHHI", b"BM", start + len(runs), 0, 0, start)
    sizes = struct.pack("<IiiHHIIiiII", 40, side_px, side_px, 1, 8, 1, len(runs), 0, 0, 256, 0)
    return head + sizes + palette + runs


def json_of(item: bytes, megabytes: float) -> bytes:
    """Make a JSON object that holds one thing many times, such as `[]`."""
    return b'{"a":[' + (item + b",") * int(megabytes * MEGABYTE / (len(item) + 1)) + b"0]}"
