"""The image files of a data set: where they are, how large, and how they leave."""

import enum
import io
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from PIL import Image

from backend.core.atomic_files import file_below
from backend.core.errors import ImageUnreachableError
from backend.datasets.file_names import TRAINABLE
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
        for_training: files are of formats that Ultralytics reads.
    """

    def __init__(
        self,
        transfer: Transfer,
        loader: ImageLoader,
        root: Path | None,
        *,
        max_pixels: int,
        for_training: bool = False,
    ) -> None:
        self._transfer = transfer
        self._loader = loader
        self._root = None if root is None else root.resolve()
        self._max_pixels = max_pixels
        self._for_training = for_training

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
            with _opened(path, str(image)) as file:
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

    def written_format(self, header: ImageHeader | None) -> str | None:
        """The format of the file that `place` writes; None where it writes none."""
        if header is None:
            return None
        if self._for_training and header.format not in TRAINABLE:
            return "PNG"
        if header.is_turned and header.format not in ("JPEG", "MPO"):
            return "PNG"
        return header.format

    def place(self, image: FoundImage, target: Path, *, name: str) -> None:
        """Write an image's file.

        A file that EXIF turns is written upright: most training code does not look at EXIF, and
        would lay the masks over an image of other sides. One that no training would read is
        written as PNG where that is what the data set is for.

        Args:
            image: from `find`.
            target: of the file, which is not there; its folder is made.
            name: what errors call it.

        Raises:
            ImageError: it cannot be read any more, or not be decoded to be written anew.
            OSError: the disk is full, say.
        """
        header, content = image.header, image.content
        if content is None or header is None:
            return
        target.parent.mkdir(parents=True, exist_ok=True)
        kind = self.written_format(header)
        if header.is_turned or kind != header.format:
            with _opened(content, name) as source:
                data = source.read()
            target.write_bytes(self._written(data, kind, name))
        elif self._transfer is Transfer.LINK and isinstance(content, Path):
            target.symlink_to(content)
        else:
            with _opened(content, name) as source, target.open("wb") as file:
                shutil.copyfileobj(source, file)

    def _header(self, file: BinaryIO, image: TaskImage) -> ImageHeader:
        return read_header(file, name=str(image), max_pixels=self._max_pixels)

    def _written(self, data: bytes, kind: str | None, name: str) -> bytes:
        pixels = decode_image(data, name=name, max_pixels=self._max_pixels)
        buffer = io.BytesIO()
        if kind in ("JPEG", "MPO"):
            Image.fromarray(pixels).save(buffer, "JPEG", quality=JPEG_QUALITY, subsampling=0)
        else:
            Image.fromarray(pixels).save(buffer, "PNG")
        return buffer.getvalue()

    def _local(self, image: TaskImage) -> Path | None:
        if self._root is None:
            return None
        found = (file_below(self._root, name) for name in image_names(image))
        return next((path for path in found if path is not None), None)


def _opened(content: bytes | Path, name: str) -> BinaryIO:
    if isinstance(content, bytes):
        return io.BytesIO(content)
    try:
        return content.open("rb")
    except OSError as error:
        raise ImageUnreachableError(
            f"cannot read {name}, {str(content)!r}: {error.strerror}",
            remedy="see that the file can be read",
        ) from error
