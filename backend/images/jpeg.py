"""A JPEG's markers, read before it is decoded: how much work that will be.

A decoder goes over the whole picture once for each scan. 400 kB can hold hundreds of scans of 100
megapixels, which keep a processor busy for a minute.
"""

import re
import struct
from collections.abc import Iterator

import numpy as np

# Cameras write tens of segments, an ICC profile up to 255, the XMP of a panorama some hundreds.
# Pillow reads them one by one in Python, 4 us each.
MAX_SEGMENTS = 5_000
MAX_SCANS = 500  # mozjpeg and jpegtran write up to 17
# Of all scans together, in pixels: 20 scans of 100 megapixels take 4 s.
MAX_SCANNED_PIXELS = 2 * 10**9
END = b"\xff\xd9"

_MAX_FILL = 2**16  # bytes before a marker that are none
_MARKER = re.compile(rb"\xff+([^\x00\xff])")
_START_OF_SCAN, _END_OF_IMAGE = 0xDA, 0xD9
_STANDALONE = (0x01, *range(0xD0, 0xD9))
_FRAMES = (0xC0, 0xC1, 0xC2, 0xC3, *range(0xC5, 0xC8), *range(0xC9, 0xCC), *range(0xCD, 0xD0))
_PROGRESSIVE = (0xC2, 0xC6, 0xCA, 0xCE)
_CHUNK_BYTES = 2**20  # that are searched at once


def too_much_work(data: bytes) -> str | None:
    """Say what makes a JPEG take too long to decode, or None.

    Args:
        data: the whole file, from ff d8 on.
    """
    at, height, width, components, is_progressive = 2, 0, 0, 0, False
    for _ in range(MAX_SEGMENTS):
        marker = _MARKER.search(data, at, at + _MAX_FILL)
        if marker is None:
            return None if at + _MAX_FILL >= len(data) else f"no marker in {_MAX_FILL} bytes"
        kind, at = marker[1][0], marker.end()
        if kind in _STANDALONE:
            continue
        segment = data[at : at + 10]
        if len(segment) < 10:
            return None  # truncated; the decoder says so
        if kind == _START_OF_SCAN:
            if not is_progressive and segment[2] == components:
                return None  # one scan has it all, and what follows is not read
            scans = _count_scans(data, at)
            if scans > MAX_SCANS or scans * height * width > MAX_SCANNED_PIXELS:
                return f"{scans} or more scans of {width} x {height} pixels"
            return None
        if kind in _FRAMES:
            height, width, components = struct.unpack_from(">xxxHHB", segment)
            is_progressive = kind in _PROGRESSIVE
        at += max(2, struct.unpack_from(">H", segment)[0])
    return f"more than {MAX_SEGMENTS} segments"


def _count_scans(data: bytes, at: int) -> int:
    """Count the scans of the picture whose first one is at `at`, up to one too many."""
    scans, segments = 1, 0
    for place in _markers(data, at):
        if place < at:
            continue  # in a segment
        kind = data[place + 1]
        if kind == _END_OF_IMAGE or scans > MAX_SCANS:
            break
        segments += 1
        if segments > MAX_SEGMENTS:
            return MAX_SCANS + 1
        scans += kind == _START_OF_SCAN
        length = data[place + 2 : place + 4]
        at = place + 2 if kind in _STANDALONE else place + 2 + int.from_bytes(length)
    return scans


def _markers(data: bytes, at: int) -> Iterator[int]:
    """Find what looks like a marker: in the data of a scan, ff goes on with 00 or d0 to d7."""
    values = np.frombuffer(data, np.uint8)
    for start in range(at, len(values) - 1, _CHUNK_BYTES):
        chunk = values[start : start + _CHUNK_BYTES + 1]
        places = np.flatnonzero(chunk[:-1] == 0xFF)
        following = chunk[places + 1]
        is_marker = (following != 0) & (following != 0xFF) & (following & 0xF8 != 0xD0)
        yield from (start + places[is_marker]).tolist()
