"""The folder that Ultralytics trains segmentation on: images/, labels/ and data.yaml."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import shapely
import yaml
from numpy.typing import NDArray

from backend.codecs.slits import join_parts
from backend.core.atomic_files import printable
from backend.core.errors import DatasetError, PolygonError
from backend.datasets.spool import ALL, SpooledImage

BRIDGE_PX = 1e-3


@dataclass
class YoloReport:
    """What has no place in the format, and by task what could not be written."""

    no_place: int = 0
    faults: list[tuple[int, str]] = field(default_factory=list)


def require_no_labels(folder: Path) -> None:
    """See that no earlier export is there: a training reads every label file of a folder.

    Raises:
        DatasetError: there are label files.
    """
    if any((folder / "labels").rglob("*.txt")):
        raise DatasetError(
            f"{str(folder)!r} has the labels of an earlier export, which would be trained on too",
            remedy="give another folder with --out, or delete this one",
        )


def write_yolo_seg(
    folder: Path,
    unsplit: Path,
    images: Iterable[SpooledImage],
    categories: Sequence[Mapping[str, Any]],
    splits: Mapping[str, set[int]],
    *,
    root: Path,
) -> YoloReport:
    """Write the label files and data.yaml, and move the image files to their split's folder.

    A line is one object: its class from 0, and one outline in parts of the image's width and
    height. The format has no holes and no parts: they are joined by slits and bridges of a
    thousandth of a pixel. Crowds and key points have no place in it.

    Args:
        folder: to be filled.
        unsplit: folder that has the image files; not where they go, since an image's own name may
            begin with that of a split.
        images: with polygons as segmentation.
        categories: as COCO has them; their ids are the classes where they are 0, 1, 2 and so on.
        splits: name -> numbers of its images; one that is not split trains and validates on all.
        root: where the folder will be.
    """
    ids = [category["id"] for category in categories]
    if sorted(ids) == list(range(len(ids))):
        classes = {one["name"]: one["id"] for one in sorted(categories, key=lambda c: c["id"])}
    else:
        classes = {category["name"]: index for index, category in enumerate(categories)}
    names = {number: name for name, numbers in splits.items() for number in numbers}
    report = YoloReport()
    for spooled in images:
        split = names[spooled.id].replace(ALL, "train")
        file_name = spooled.image["file_name"]
        size_wh = spooled.image["width"], spooled.image["height"]
        lines = []
        for annotation in spooled.annotations:
            rings = annotation["segmentation"]
            if not (isinstance(rings, list) and rings):
                report.no_place += 1
                continue
            try:
                lines.append(_line(classes[annotation["label"]], rings, size_wh))
            except PolygonError as error:
                fault = f"region {annotation['region_id']!r}: {error}"
                report.faults.append((spooled.image["task_id"], fault))
        _move(unsplit / file_name, folder / "images" / split / file_name)
        labels = (folder / "labels" / split / file_name).with_suffix(".txt")
        labels.parent.mkdir(parents=True, exist_ok=True)
        labels.write_text("".join(lines), encoding="utf-8")
    path = str(root.resolve())
    content = {
        # Without it, the folder of data.yaml is taken.
        **({"path": path} if printable(Path(path)) == path else {}),
        "train": "images/train",
        "val": f"images/{'train' if ALL in splits else 'val'}",
        "names": {index: name for name, index in classes.items()},
    }
    with (folder / "data.yaml").open("w", encoding="utf-8") as file:
        # Escaped but for ASCII: Ultralytics takes out what it holds for unprintable.
        yaml.safe_dump(content, file, sort_keys=False, width=math.inf)
    return report


def joined_ring(rings: Sequence[NDArray[np.float64]]) -> NDArray[np.float64]:
    """Join the parts of an object by bridges that are too narrow to hold a pixel.

    Args:
        rings: one of (N, 2) x, y in pixels for each part.

    Returns:
        (N, 2), one ring around all parts.

    Raises:
        PolygonError: they enclose nothing, or cannot be joined.
    """
    parts = [part for ring in rings for part in _polygons(shapely.Polygon(ring))]
    if not parts:
        raise PolygonError("its outline encloses nothing", remedy="draw it again")
    return shapely.get_coordinates(join_parts(parts, BRIDGE_PX).exterior)[:-1]


def _polygons(shape: Any) -> list[Any]:
    """The areas of a shape, whose outline may cross itself if somebody drew it so."""
    valid = shapely.make_valid(shape)
    return [part for part in shapely.get_parts(valid) if part.geom_type == "Polygon"]


def _line(category: int, rings: Sequence[Sequence[float]], size_wh: tuple[int, int]) -> str:
    ring = joined_ring([np.reshape(ring, (-1, 2)) for ring in rings])
    parts = np.clip(ring / size_wh, 0, 1).ravel()
    return f"{category} {' '.join(f'{part:.7g}' for part in parts)}\n"


def _move(source: Path, target: Path) -> None:
    if source.exists() or source.is_symlink():
        target.parent.mkdir(parents=True, exist_ok=True)
        source.replace(target)
