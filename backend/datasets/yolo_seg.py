"""The folder that Ultralytics trains segmentation on: images/, labels/ and data.yaml."""

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import shapely
from numpy.typing import NDArray
from shapely.ops import nearest_points

from backend.core.atomic_files import replaced_when_done
from backend.core.errors import DatasetError
from backend.datasets.spool import ALL, SpooledImage

BRIDGE_PX = 1e-3


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
) -> int:
    """Write the label files and data.yaml, and move the image files to their split's folder.

    A line is one object: its class from 0, and one outline in parts of the image's width and
    height. The format has no holes and no parts: they are joined by slits and bridges of a
    thousandth of a pixel. Crowds and key points have no place in it.

    Args:
        folder: of the data set.
        unsplit: folder that has the image files; not where they go, since an image's own name may
            begin with that of a split.
        images: with polygons as segmentation.
        categories: as COCO has them.
        splits: name -> numbers of its images; one that is not split trains and validates on all.

    Returns:
        How many annotations have no place in the format.
    """
    classes = {category["name"]: index for index, category in enumerate(categories)}
    names = {number: name for name, numbers in splits.items() for number in numbers}
    left_out = 0
    for spooled in images:
        split = names[spooled.id].replace(ALL, "train")
        file_name = spooled.image["file_name"]
        size_wh = spooled.image["width"], spooled.image["height"]
        lines = []
        for annotation in spooled.annotations:
            rings = annotation["segmentation"]
            if isinstance(rings, list) and rings:
                lines.append(_line(classes[annotation["label"]], rings, size_wh))
            else:
                left_out += 1
        _move(unsplit / file_name, folder / "images" / split / file_name)
        labels = (folder / "labels" / split / file_name).with_suffix(".txt")
        with replaced_when_done(labels) as file:
            file.writelines(lines)
    with replaced_when_done(folder / "data.yaml") as file:
        # JSON's strings are YAML's too, whatever a label holds.
        file.write(f"path: {json.dumps(str(folder.resolve()))}\n")
        file.write("train: images/train\n")
        file.write(f"val: images/{'train' if ALL in splits else 'val'}\n")
        file.write("names:\n")
        for name, index in classes.items():
            file.write(f"  {index}: {json.dumps(name, ensure_ascii=False)}\n")
    return left_out


def joined_ring(rings: Sequence[NDArray[np.float64]]) -> NDArray[np.float64]:
    """Join the parts of an object by bridges that are too narrow to hold a pixel.

    Args:
        rings: one of (N, 2) x, y in pixels for each part.

    Returns:
        (N, 2), one ring around all parts.
    """
    parts = [part for ring in rings for part in _polygons(shapely.Polygon(ring))]
    joined = parts[0]
    for part in parts[1:]:
        start, end = nearest_points(joined, part)
        bridge = shapely.LineString([start, end]).buffer(BRIDGE_PX / 2, cap_style="square")
        joined = max(_polygons(shapely.union_all([joined, bridge, part])), key=lambda p: p.area)
    return shapely.get_coordinates(joined.exterior)[:-1]


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
