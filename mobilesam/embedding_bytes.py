"""Embeddings as bytes and back, for caches that outlive a process or are shared by several.

    magic line | CRC-32 of what follows (4) | length of the header (4) | header | features

The header is JSON; numbers are little-endian. The features are stored in half precision, half the
bytes: no mask differs visibly (measured in tests/mobilesam/test_embedding_bytes.py). Nothing in the
bytes is executed, unlike a pickle, so they may come from a place that others can write to.
"""

import json
import struct
import zlib

import numpy as np
import torch
from torch import Tensor

from mobilesam.errors import EmbeddingBytesError
from mobilesam.runtimes.device_memory import with_room

MAGIC = b"mobilesam embedding 1\n"  # the number is the format's; another one is another format
_CHECKSUM = struct.Struct("<I")
_LENGTH = struct.Struct("<I")
_STORED_TYPES = {"float16": "<f2", "float32": "<f4"}


def to_half(features: Tensor) -> Tensor:
    """Round features to half precision, unless some are beyond what it can hold."""

    def rounded(features: Tensor) -> Tensor:
        half = features.to(torch.float16)
        return half if half.isfinite().all() else features

    return with_room(lambda: rounded(features), lambda: rounded(features.cpu()))


def pack_features(features: Tensor, size_hw: tuple[int, int], model_id: str) -> bytes:
    """Serialise an embedding.

    Features beyond what half precision can hold stay in single precision.
    """
    stored = to_half(features.detach().cpu())
    header = json.dumps(
        {
            "model_id": model_id,
            "size_hw": size_hw,
            "dtype": str(stored.dtype).removeprefix("torch."),
            "shape": stored.shape,
        }
    ).encode()
    # On a big-endian machine this would be another order of bytes; torch runs on none.
    body = _LENGTH.pack(len(header)) + header + stored.contiguous().numpy().tobytes()
    return MAGIC + _CHECKSUM.pack(zlib.crc32(body)) + body


def unpack_features(data: bytes) -> tuple[Tensor, tuple[int, int], str]:
    """Turn the bytes of `pack_features` into features, `size_hw` and `model_id` again.

    Returns:
        The features as float32 on the CPU, in memory of their own.

    Raises:
        EmbeddingBytesError: the bytes are truncated, changed, or of another format.
    """
    if not data.startswith(MAGIC):
        raise EmbeddingBytesError("the bytes are no embedding of this format")
    body = memoryview(data)[len(MAGIC) + _CHECKSUM.size :]
    try:
        (checksum,) = _CHECKSUM.unpack_from(data, len(MAGIC))
        if zlib.crc32(body) != checksum:
            raise EmbeddingBytesError("the embedding's bytes are truncated or damaged")
        (header_length,) = _LENGTH.unpack_from(body)
        header_end = _LENGTH.size + header_length
        header = json.loads(bytes(body[_LENGTH.size : header_end]))
        stored = np.frombuffer(body[header_end:], _STORED_TYPES[header["dtype"]])
        features = torch.from_numpy(stored.reshape(header["shape"]).astype(np.float32))
        height, width = header["size_hw"]
        return features, (int(height), int(width)), str(header["model_id"])
    except (struct.error, ValueError, KeyError, TypeError, OverflowError) as error:
        raise EmbeddingBytesError(f"the embedding's bytes make no sense: {error!r}") from error
