"""A process that writes entries of known content to a disk cache until it is killed.

    python -I -S disk_cache_writer.py ROOT FOLDER MAX_BYTES SEED

It imports nothing but the cache, so that two hundred of them take seconds. `value` and `is_whole`
are for those who read the entries.
"""

import hashlib
import random
import sys
from pathlib import Path

NAMES = [f"{number:02x}" * 32 for number in range(12)]
LARGEST_BYTES = 2 * 2**20  # of an embedding of the official weights


def value(name: str, version: int) -> bytes:
    """The entry of a name: every version has another content and another length."""
    digest = hashlib.sha256(f"{name} {version}".encode()).digest()
    size = LARGEST_BYTES // 2 + int.from_bytes(digest[:4]) % (LARGEST_BYTES // 2)
    return (version.to_bytes(8) + digest * (size // len(digest)))[:size]


def is_whole(name: str, entry: bytes) -> bool:
    """Whether an entry is one that was written under this name, to its last byte."""
    return entry == value(name, int.from_bytes(entry[:8]))


def write_until_killed(folder: Path, max_bytes: int, seed: int) -> None:
    """Say "ready" and write; what each entry holds is decided by the seed."""
    from backend.embeddings.tiers.disk import DiskCache  # noqa: PLC0415 - found only once ROOT is in the path

    chance = random.Random(seed)  # noqa: S311 - not for secrets
    cache = DiskCache(folder, max_bytes)
    print("ready", flush=True)
    while True:
        name = chance.choice(NAMES)
        cache.put(name, value(name, chance.getrandbits(32)))


if __name__ == "__main__":
    sys.path.insert(0, sys.argv[1])
    write_until_killed(Path(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4]))
