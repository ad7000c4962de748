"""The image files of a data set: where they are, how large, and under which name they leave."""

import enum
import io
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import BinaryIO
from urllib.parse import parse_qs, unquote, urlsplit

from PIL import Image

from backend.core.atomic_files import file_below, stays_below
from backend.core.errors import ImageUnreachableError
from backend.images.decode import ImageHeader, decode_image, read_header
from backend.images.fetch import ImageLoader

UPLOAD_PREFIX = re.compile(r"^[0-9a-f]{8}-(?=.)")  # Label Studio's, before an upload's own name
UNSAFE = re.compile(r'[\x00-\x1f\x7f\ud800-\udfff<>:"/\\|?*]')  # in a file name, on some system
LONGEST_STEM, LONGEST_ENDING = 180, 20  # bytes; with what goes around them below a system's 255
JPEG_QUALITY = 95


class Transfer(enum.StrEnum):
    """What becomes of the image files."""

    NONE = "none"
    DOWNLOAD = "download"
    COPY = "copy"
    LINK = "link"


@dataclass(frozen=True)
class TaskImage:
    """An image of a task: `uri` as it stands in the task's data, `page` in a list of images.

    `file_name` and `size_hw` are what it was imported with, where that is known.
    """

    task_id: int
    uri: str
    page: int | None = None
    file_name: str | None = None
    size_hw: tuple[int, int] | None = None

    def __str__(self) -> str:
        return f"image of task {self.task_id}" + (
            "" if self.page is None else f", page {self.page + 1}"
        )


@dataclass(frozen=True)
class FoundImage:
    """An image file that was looked at: its size as displayed, and its content where it is wanted.

    `content` is bytes, the path of a local file, or None.
    """

    size_hw: tuple[int, int]
    header: ImageHeader | None = None
    content: bytes | Path | None = None


class ImageFiles:
    """Finds image files. Safe under threads.

    Args:
        transfer: what is wanted of them.
        loader: fetches from wherever Label Studio lets images be.
        root: local folder that is searched, for COPY and LINK, and for sizes.
        max_pixels: largest image that is turned upright.
    """

    def __init__(
        self, transfer: Transfer, loader: ImageLoader, root: Path | None, *, max_pixels: int
    ) -> None:
        self._transfer = transfer
        self._loader = loader
        self._root = None if root is None else root.resolve()
        self._max_pixels = max_pixels

    def find(self, image: TaskImage, known_size_hw: tuple[int, int] | None) -> FoundImage:
        """Look at an image, unless all that is wanted of it is known already.

        Raises:
            ImageError: it cannot be found, fetched or read.
        """
        if self._transfer is Transfer.NONE and known_size_hw is not None:
            return FoundImage(known_size_hw)
        path = self._local(image)
        content: bytes | Path
        if path is not None:
            content = path
            with path.open("rb") as file:
                header = self._header(file, image)
        elif self._transfer in (Transfer.COPY, Transfer.LINK):
            raise ImageUnreachableError(
                f"{image} is not in {str(self._root)!r}: none of "
                + ", ".join(repr(str(name)) for name in image_names(image)),
                remedy="give the folder of the images with --image-root",
            )
        else:
            content = self._loader.fetch(image.uri, task_id=image.task_id, project="")
            header = self._header(io.BytesIO(content), image)
        if self._transfer is Transfer.NONE:
            return FoundImage(header.size_hw, header)
        return FoundImage(header.size_hw, header, content)

    def place(self, image: FoundImage, target: Path, *, name: str) -> None:
        """Put an image where a data set has it, whole or not at all.

        A file that EXIF turns is written upright: most training code does not look at EXIF, and
        would lay the masks over an image of other sides.

        Args:
            image: from `find`.
            target: of the file; its folder is made.
            name: what errors call it.

        Raises:
            ImageError: it cannot be decoded to be turned.
            OSError: the disk is full, say.
        """
        if image.content is None or image.header is None:
            return
        target.parent.mkdir(parents=True, exist_ok=True)
        part = target.with_name(f".{target.name}.part")
        part.unlink(missing_ok=True)
        try:
            if image.header.is_turned:
                content = image.content
                data = content.read_bytes() if isinstance(content, Path) else content
                part.write_bytes(self._upright(data, image.header.format, name))
            elif isinstance(image.content, bytes):
                part.write_bytes(image.content)
            elif self._transfer is Transfer.LINK:
                part.symlink_to(image.content)
            else:
                part.write_bytes(image.content.read_bytes())
            part.replace(target)
        finally:
            part.unlink(missing_ok=True)

    def _header(self, file: BinaryIO, image: TaskImage) -> ImageHeader:
        return read_header(file, name=str(image), max_pixels=self._max_pixels)

    def _upright(self, data: bytes, kind: str, name: str) -> bytes:
        pixels = decode_image(data, name=name, max_pixels=self._max_pixels)
        buffer = io.BytesIO()
        if kind == "JPEG":
            Image.fromarray(pixels).save(buffer, "JPEG", quality=JPEG_QUALITY, subsampling=0)
        else:
            Image.fromarray(pixels).save(buffer, "PNG")
        return buffer.getvalue()

    def _local(self, image: TaskImage) -> Path | None:
        if self._root is None:
            return None
        found = (file_below(self._root, name) for name in image_names(image))
        return next((path for path in found if path is not None), None)


class FileNames:
    """Gives every image a file name of its own, the same at every export of the same tasks.

    Args:
        distinct_stems: whether names must differ in more than their ending, since a label file
            with another ending goes with each.
    """

    def __init__(self, *, distinct_stems: bool = False) -> None:
        self._distinct_stems = distinct_stems
        self._taken: set[str] = set()

    def name(self, image: TaskImage, header: ImageHeader | None = None) -> str:
        """Name an image: as it was imported or uploaded, unless another one has that name.

        Args:
            image: to be named.
            header: of its file, if that was looked at: tells the ending of a name that has none.
        """
        for candidate in _file_names(image, header):
            key = candidate.lower()  # some systems take a.jpg and A.jpg for one file
            if self._distinct_stems:
                key = str(PurePosixPath(key).with_suffix(""))
            if key not in self._taken:
                self._taken.add(key)
                return candidate
        raise AssertionError("the candidates never end")


def _file_names(image: TaskImage, header: ImageHeader | None) -> Iterator[str]:
    if image.file_name is not None and _is_storable(image.file_name):
        yield image.file_name
    stored = _safe(_base_name(image.uri)) or f"task_{image.task_id}"
    stem, ending = PurePosixPath(stored).stem, PurePosixPath(stored).suffix
    if len(ending.encode()) > LONGEST_ENDING:  # the last part of a token, say
        stem, ending = stored, ""
    if not ending and header is not None:
        ending = "." + header.format.lower().replace("jpeg", "jpg")
    stem = stem.encode()[:LONGEST_STEM].decode(errors="ignore")
    stored = stem + ending
    if "/data/upload/" in image.uri:
        yield UPLOAD_PREFIX.sub("", stored)
    yield stored
    number = image.task_id
    while True:
        yield f"{stem}_{number}{ending}"
        number += 1


def _is_storable(name: str) -> bool:
    try:
        longest = max(len(part) for part in name.encode().split(b"/"))
    except UnicodeEncodeError:  # half a character
        return False
    return stays_below(name) and longest <= LONGEST_STEM + LONGEST_ENDING


def _safe(name: str) -> str:
    return UNSAFE.sub("_", name).lstrip(".")


def _path(uri: str) -> str:
    """The path of an image's address; of a local file, below its storage's root."""
    if uri[:5].lower() == "data:":
        return ""
    try:
        parts = urlsplit(uri)
    except ValueError:
        return ""
    if parts.path.endswith("/data/local-files/"):
        return next(iter(parse_qs(parts.query).get("d", [])), "")
    return unquote(parts.path)


def _base_name(uri: str) -> str:
    return _path(uri).rstrip("/").rpartition("/")[2]


def image_names(image: TaskImage) -> list[Path]:
    """What an image's file may be called, with its folders; the most exact name first."""
    path = _path(image.uri).lstrip("/")
    base = _base_name(image.uri)
    names = [
        image.file_name,
        path,
        path.removeprefix("data/"),  # uploads lie below the media folder without it
        base,
        UPLOAD_PREFIX.sub("", base) if path.startswith("data/upload/") else None,
    ]
    return [Path(name) for name in dict.fromkeys(names) if name]
