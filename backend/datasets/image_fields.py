"""Which images a task has, and which of them a region is on."""

from collections.abc import Sequence
from typing import Any

from backend.core.errors import DatasetError
from backend.datasets.image_addresses import TaskImage
from backend.datasets.labelled_regions import LabelledRegion
from backend.datasets.labelled_tasks import LabelledTask
from backend.labeling.config import LabelingConfig
from backend.labeling.task_data import find_value

# An Image tag's name (None: the task's only image) and the page in a list of images.
Place = tuple[str | None, int | None]

IMAGE_MARKS = ("/data/", "http://", "https://", "data:image/", "s3://", "gs://", "azure-blob://")
IMAGE_ENDINGS = (".jpg", ".jpeg", ".png", ".webp", ".gif", ".bmp", ".tif", ".tiff", ".avif")


class ImageFields:
    """Finds a task's images in its data.

    Args:
        config: the project's labeling config, which says where they are; without it, the fields
            that hold something like an image's address are taken.
    """

    def __init__(self, config: LabelingConfig | None) -> None:
        self._config = config

    def images(
        self, task: LabelledTask, regions: Sequence[LabelledRegion]
    ) -> tuple[dict[Place, TaskImage], list[str]]:
        """Find the images of a task.

        Args:
            task: with `data`.
            regions: of the task; they tell names of Image tags where there is no config.

        Returns:
            The images, and the fields of the data that should hold one and do not.

        Raises:
            DatasetError: nothing tells where the images are, or which one a region is on.
        """
        images: dict[Place, TaskImage] = {}
        missing: list[str] = []
        keys = self._keys(task, regions)
        for name, key in keys.items():
            value = find_value(task.data, key)
            pages = value if isinstance(value, list) else [value]
            for index, uri in enumerate(pages):
                if not isinstance(uri, str) or not uri:
                    missing.append(key)
                    continue
                page = index if isinstance(value, list) else None
                images[name, page] = TaskImage(task.id, uri, page, **_imported(task, page))
        if len(images) > 1 and any(region.to_name is None for region in regions):
            raise DatasetError(
                f"it has {len(images)} images, and the export does not say which a region is on",
                remedy="export the project as JSON instead of JSON_MIN",
            )
        return images, missing

    def _keys(self, task: LabelledTask, regions: Sequence[LabelledRegion]) -> dict[str | None, str]:
        """Image tag -> the field of the task's data that it shows."""
        if self._config is not None:
            config = self._config.of_task(task.data)
            return {name: tag.data_key for name, tag in config.images.items()}
        found = [key for key, value in task.data.items() if _is_like_image(value)]
        if len(found) == 1:
            return {None: found[0]}
        names = {region.to_name for region in regions if region.to_name is not None}
        if names and names <= set(found):
            return {name: name for name in sorted(names)}
        what = f"several fields that may be images ({', '.join(found)})" if found else "no image"
        raise DatasetError(
            f"its data has {what}",
            remedy="give the project's labeling config with --labeling-config",
        )


def is_on(region: LabelledRegion, place: Place) -> bool:
    """Whether a region is on the image at a place that `ImageFields.images` gave."""
    name, page = place
    return (page is None or (region.item_index or 0) == page) and (
        name is None or region.to_name in (name, None)
    )


def _imported(task: LabelledTask, page: int | None) -> dict[str, Any]:
    """What `import_coco` has noted of an image in its task, if that is whole."""
    noted = task.coco if page is None else {}
    known: dict[str, Any] = {}
    if isinstance(noted.get("file_name"), str):
        known["file_name"] = noted["file_name"]
    size_hw = noted.get("height"), noted.get("width")
    if all(type(side) is int and side > 0 for side in size_hw):
        known["size_hw"] = size_hw
    return known


def _is_like_image(value: object) -> bool:
    if isinstance(value, list):
        return bool(value) and all(_is_like_image(item) for item in value)
    return isinstance(value, str) and (
        value.lower().startswith(IMAGE_MARKS) or value.lower().endswith(IMAGE_ENDINGS)
    )
