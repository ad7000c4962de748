"""The boxes of a COCO file, as prompts for the tasks that show its images."""

from collections import defaultdict
from collections.abc import Iterator
from pathlib import PurePosixPath

from backend.core.errors import DatasetError
from backend.datasets.coco_reader import CocoAnnotation, CocoFile, CocoImage
from backend.datasets.image_files import TaskImage, image_names
from backend.labeling.prompts import Prompt, Rectangle


class CocoBoxes:
    """Finds the image of a task in a COCO file, by its file name.

    Args:
        coco: the file.
    """

    def __init__(self, coco: CocoFile) -> None:
        self._by_name = {image.file_name: image for image in coco.images}
        self._by_base: dict[str, list[CocoImage]] = defaultdict(list)
        for image in coco.images:
            self._by_base[PurePosixPath(image.file_name).name].append(image)
        self._found: set[str] = set()

    @property
    def unfound(self) -> list[str]:
        """The file names that no task had."""
        return [name for name in self._by_name if name not in self._found]

    def find(self, image: TaskImage) -> CocoImage | None:
        """Find a task's image; None if the file does not have it.

        The longest end of the address that is a file name counts; else the name without folders.

        Raises:
            DatasetError: several images of the file have that name in different folders.
        """
        found = next(
            (self._by_name[name] for name in _ends(image) if name in self._by_name), None
        ) or self._by_base_name(image)
        if found is not None:
            self._found.add(found.file_name)
        return found

    def _by_base_name(self, image: TaskImage) -> CocoImage | None:
        for path in image_names(image):
            found = self._by_base.get(path.name, [])
            if len(found) > 1:
                raise DatasetError(
                    f"{image} is called {path.name!r}, as several images of the COCO file are: "
                    + ", ".join(repr(one.file_name) for one in found[:3]),
                    remedy="give the images names of their own, or import with import-coco, which "
                    "keeps the folders",
                )
            if found:
                return found[0]
        return None


def coco_prompts(
    image: CocoImage, to_name: str, item_index: int | None
) -> Iterator[Prompt | DatasetError]:
    """Make a prompt of each object's box; crowds are no objects.

    Args:
        image: of the COCO file.
        to_name: the Image tag that shows it.
        item_index: its page in a list of images.

    Yields:
        Prompts, and an error in place of each box without an area.
    """
    for annotation in image.annotations:
        if not annotation.is_crowd:
            try:
                yield Prompt(
                    to_name,
                    item_index,
                    (annotation.label,),
                    0,
                    rectangle=_rectangle(annotation, image),
                )
            except DatasetError as error:
                yield error


def _ends(image: TaskImage) -> Iterator[str]:
    """Yield an image's names with all their folders, then with ever fewer."""
    for path in image_names(image):
        for start in range(len(path.parts)):
            yield "/".join(path.parts[start:])


def _rectangle(annotation: CocoAnnotation, image: CocoImage) -> Rectangle:
    height, width = image.size_hw
    x, y, across, down = annotation.box(image.size_hw)
    if min(across, down) <= 0:
        raise DatasetError(
            f"annotation {annotation.id} of {image.file_name!r} has a box without an area",
            remedy="correct the COCO file",
        )
    return Rectangle(
        100 * x / width,
        100 * y / height,
        100 * across / width,
        100 * down / height,
        0,
        image_aspect=width / height,
        region=f"annotation {annotation.id} of {image.file_name!r}",
    )
