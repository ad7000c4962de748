"""The image files of a data set: where they are, how large, and how they leave."""

import enum
import io
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from PIL import Image

from backend.core.atomic_files import file_below
from backend.core.errors import ImageUnreachableError
from backend.datasets.image_addresses import TaskImage, image_names
from backend.images.decode import ImageHeader, decode_image, read_header
from backend.images.fetch import ImageLoader

JPEG_QUALITY = 95


class Transfer(enum.StrEnum):
    """What becomes of the image files."""

    NONE = "none"
    DOWNLOAD = "download"
    COPY = "copy"
    LINK = "link"


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
