"""The boxes of a COCO file, as prompts for the tasks that show its images."""

from collections import defaultdict
from collections.abc import Iterator
from pathlib import PurePosixPath

from backend.core.errors import DatasetError
from backend.datasets.coco_reader import CocoAnnotation, CocoFile, CocoImage
from backend.datasets.image_addresses import TaskImage, image_names, stored_name
from backend.labeling.prompts import Prompt, Rectangle


class CocoBoxes:
    """Finds the image of a task in a COCO file, by its file name.

    Args:
        coco: the file.
    """

    def __init__(self, coco: CocoFile) -> None:
        self._images = coco.images
        self._by_name: dict[str, list[CocoImage]] = defaultdict(list)
        self._by_base: dict[str, list[CocoImage]] = defaultdict(list)
        for image in coco.images:
            name = image.file_name.replace("\\", "/")
            for one in {image.file_name, name}:
                self._by_name[one].append(image)
            for one in {PurePosixPath(name).name, stored_name(name)}:
                self._by_base[one].append(image)
        self._found: set[str] = set()

    @property
    def unfound(self) -> list[str]:
        """The file names that no task had."""
        names = dict.fromkeys(image.file_name for image in self._images)
        return [name for name in names if name not in self._found]

    def find(self, image: TaskImage) -> CocoImage | None:
        """Find a task's image; None if the file does not have it.

        The longest end of the address that is a file name counts; else the name without folders,
        as it is or as an upload has it.

        Raises:
            DatasetError: several images of the file have that name.
        """
        names = list(image_names(image))
        bases = dict.fromkeys(PurePosixPath(name).name for name in names)
        found = next((self._by_name[name] for name in names if name in self._by_name), None)
        if found is None:
            found = next((self._by_base[name] for name in bases if name in self._by_base), [])
        if len(found) > 1:
            raise DatasetError(
                f"{image} is called {PurePosixPath(names[0]).name!r}, as several images of the "
                "COCO file are: " + ", ".join(repr(one.file_name) for one in found[:3]),
                remedy="give the images names of their own, or import with import-coco, which "
                "keeps the folders",
            )
        if not found:
            return None
        self._found.add(found[0].file_name)
        return found[0]


def coco_prompts(
    image: CocoImage, to_name: str, item_index: int | None, *, max_pixels: int
) -> Iterator[Prompt | DatasetError]:
    """Make a prompt of each object's box; crowds are no objects.

    Args:
        image: of the COCO file.
        to_name: the Image tag that shows it.
        item_index: its page in a list of images.
        max_pixels: largest mask whose box is looked for, where an object has none.

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
                    rectangle=_rectangle(annotation, image, max_pixels),
                )
            except DatasetError as error:
                yield error


def _rectangle(annotation: CocoAnnotation, image: CocoImage, max_pixels: int) -> Rectangle:
    height, width = image.size_hw
    x, y, across, down = annotation.box(image.size_hw, max_pixels=max_pixels)
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
