"""The names under which image files leave."""

import re
from collections import defaultdict
from collections.abc import Iterator
from pathlib import PurePosixPath

from backend.core.atomic_files import stays_below
from backend.datasets.image_addresses import UPLOAD_PREFIX, TaskImage, base_name

UNSAFE = re.compile(r'[\x00-\x1f\x7f\ud800-\udfff<>:"/\\|?*]')  # in a file name, on some system
LONGEST_STEM, LONGEST_ENDING = 180, 20  # bytes; with what goes around them below a system's 255
LONGEST_NAME = 1024  # bytes with all folders; systems take 4096 with those around it

# What a file of each format may end with; the first is given where another one stands.
ENDINGS = {
    "JPEG": (".jpg", ".jpeg", ".jpe", ".jfif", ".mpo"),
    "MPO": (".jpg", ".jpeg", ".mpo"),
    "PNG": (".png", ".apng"),
    "WEBP": (".webp",),
    "GIF": (".gif",),
    "BMP": (".bmp", ".dib"),
    "TIFF": (".tif", ".tiff"),
    "AVIF": (".avif", ".avifs"),
}
# Those that Ultralytics takes, of the above; the others are written as PNG.
TRAINABLE = {"JPEG": (".jpg", ".jpeg", ".mpo"), "PNG": (".png",), "BMP": (".bmp",)} | {
    kind: ENDINGS[kind] for kind in ("MPO", "WEBP", "TIFF")
}


class FileNames:
    """Gives every image a file name of its own, the same at every export of the same tasks.

    Args:
        for_training: names must differ in more than their ending, since a label file with another
            ending goes with each, and end as Ultralytics knows it.
    """

    def __init__(self, *, for_training: bool = False) -> None:
        self._for_training = for_training
        self._taken: set[str] = set()
        self._folders: set[str] = set()
        self._next: dict[str, int] = defaultdict(int)  # stem and ending -> the next free number

    def name(self, image: TaskImage, kind: str | None = None) -> str:
        """Name an image: as it was imported or uploaded, unless another one has that name.

        Args:
            image: to be named.
            kind: format of its file, if that is known: the ending says what is in it.
        """
        for candidate in self._candidates(image, kind):
            key = candidate.lower()  # some systems take a.jpg and A.jpg for one file
            if self._for_training:
                key = str(PurePosixPath(key).with_suffix(""))
            folders = {str(folder) for folder in PurePosixPath(key).parents} - {"."}
            # A name cannot be a file and a folder at once: a.jpg and a.jpg/b.jpg.
            is_free = key not in self._taken and key not in self._folders
            if is_free and self._taken.isdisjoint(folders):
                self._taken.add(key)
                self._folders |= folders
                return candidate
        raise AssertionError("the candidates never end")

    def _candidates(self, image: TaskImage, kind: str | None) -> Iterator[str]:
        if image.file_name is not None and _is_storable(image.file_name):
            yield self._ended(image.file_name, kind) if self._for_training else image.file_name
        stored = UNSAFE.sub("_", base_name(image.uri)).lstrip(".") or f"task_{image.task_id}"
        suffix = PurePosixPath(stored).suffix
        if len(suffix.encode()) > LONGEST_ENDING:  # the last part of a token, say
            stored, suffix = stored.replace(".", "_"), ""
        stem = stored.removesuffix(suffix).encode()[:LONGEST_STEM].decode(errors="ignore")
        stored = self._ended(stem + suffix, kind)
        stem, ending = PurePosixPath(stored).stem, PurePosixPath(stored).suffix
        if image.is_upload:
            yield UPLOAD_PREFIX.sub("", stored)
        yield stored
        number = max(image.task_id, self._next[stored])
        while True:
            self._next[stored] = number + 1
            yield f"{stem}_{number}{ending}"
            number += 1

    def _ended(self, name: str, kind: str | None) -> str:
        """The name with an ending that fits what is in the file."""
        if kind is None:
            return name
        known = TRAINABLE if self._for_training else ENDINGS
        endings = known.get(kind, ENDINGS["PNG"])
        path = PurePosixPath(name)
        if path.suffix.lower() in endings:
            return name
        is_ending = path.suffix.lower() in (".php", ".aspx", ".jsp", ".cgi") or any(
            path.suffix.lower() in every for every in ENDINGS.values()
        )
        return str(path.with_suffix(endings[0])) if is_ending else name + endings[0]


def _is_storable(name: str) -> bool:
    try:
        encoded = name.encode()
    except UnicodeEncodeError:  # half a character
        return False
    longest = max(len(part) for part in encoded.split(b"/"))
    is_short = longest <= LONGEST_STEM + LONGEST_ENDING and len(encoded) <= LONGEST_NAME
    return is_short and stays_below(name)
