"""COCO's JSON -> images with their annotations, each checked.

Each item is parsed by itself with the types below: what is wrong with one is listed, and the
others come in. JSON of today has no NaN and no 1e999, and neither has what is read here.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, TypeVar

import msgspec
import numpy as np
from msgspec import Meta, Struct
from numpy.typing import NDArray
from pycocotools import mask as coco_masks

from backend.codecs.coco_rle import FARTHEST, Ring, decode_rle, encode_rle, fill_rings
from backend.core.errors import DatasetError, MaskError
from backend.core.json_items import JsonError, read_items

REMEDY = "correct the COCO file"
MAX_SIDE_PX = 1_000_000

Id = int | str | float
Item = TypeVar("Item")


class _Image(Struct):
    """As it stands in the file; sides may be 100.0."""

    id: Id
    file_name: Annotated[str, Meta(min_length=1)]
    height: Annotated[float, Meta(ge=1, le=MAX_SIDE_PX, multiple_of=1)]
    width: Annotated[float, Meta(ge=1, le=MAX_SIDE_PX, multiple_of=1)]
    coco_url: Any = None


class _Category(Struct):
    id: Id
    name: Annotated[str, Meta(pattern=r"\S")]
    supercategory: str | None = None


class _Annotation(Struct):
    image_id: Id
    category_id: Id
    id: Id | None = None
    bbox: list[float] | None = None
    segmentation: msgspec.Raw = msgspec.Raw(b"null")
    iscrowd: float | bool | None = None
    score: float | None = None
    keypoints: list[float] | None = None


class _Rle(Struct):
    size: tuple[float, float]
    counts: list[float] | str


@dataclass(frozen=True)
class CocoAnnotation:
    """One object: `rings` where it is given as polygons, `rle` where as run lengths, else its box.

    `bbox` is x, y, width and height in pixels. `key_point` is x, y where it is nothing but that.
    """

    id: Any
    label: str
    bbox: tuple[float, float, float, float] | None
    rings: list[Ring]
    rle: Mapping[str, Any] | None
    is_crowd: bool
    score: float | None
    key_point: tuple[float, float] | None = None

    @property
    def has_mask(self) -> bool:
        """Whether it is more than a box."""
        return bool(self.rings) or self.rle is not None

    def box(
        self, size_hw: tuple[int, int], *, max_pixels: int
    ) -> tuple[float, float, float, float]:
        """Its bbox, or where it gives none the tight one of its mask.

        Raises:
            DatasetError: as from `mask`.
        """
        if self.bbox is not None:
            return self.bbox
        rle = encode_rle(self.mask(size_hw, max_pixels=max_pixels))
        x, y, width, height = map(float, coco_masks.toBbox(rle))
        return x, y, width, height

    def mask(self, size_hw: tuple[int, int], *, max_pixels: int) -> NDArray[np.bool_]:
        """The pixels that it covers, as pycocotools fills them; of a box, those inside.

        Args:
            size_hw: of the image, in pixels.
            max_pixels: largest mask that is drawn.

        Raises:
            DatasetError: its run lengths are damaged or of another size, or it is too large.
        """
        try:
            rle = self.rle or fill_rings(self.rings or self._box_rings(), size_hw)
            return decode_rle(rle, size_hw, max_pixels=max_pixels)
        except MaskError as error:
            raise DatasetError(
                f"annotation {self.id}: {error.message}", remedy=error.remedy
            ) from error

    def _box_rings(self) -> list[Ring]:
        x, y, width, height = self.bbox or (0, 0, 0, 0)
        return [[x, y, x + width, y, x + width, y + height, x, y + height]]


@dataclass(frozen=True)
class CocoImage:
    """One image and its objects."""

    file_name: str
    size_hw: tuple[int, int]
    url: str | None
    annotations: list[CocoAnnotation] = field(default_factory=list)


@dataclass(frozen=True)
class CocoFile:
    """A COCO file: its categories (`id`, `name`, `supercategory`) and its images, in their order.

    `problems` says what could not be read.
    """

    categories: list[dict[str, Any]]
    images: list[CocoImage]
    problems: list[str]


def read_coco(path: Path) -> CocoFile:
    """Read a COCO instances file.

    Args:
        path: of the file.

    Raises:
        DatasetError: it is missing, no JSON, lacks what every COCO file has, or two categories
            share an id or a name.
    """
    problems: list[str] = []
    images: list[_Image] = []
    categories: list[_Category] = []
    annotations: list[_Annotation] = []
    kinds: dict[str, tuple[str, list[Any], Any]] = {
        "images": ("image", images, msgspec.json.Decoder(_Image)),
        "categories": ("category", categories, msgspec.json.Decoder(_Category)),
        "annotations": ("annotation", annotations, msgspec.json.Decoder(_Annotation)),
    }
    missing = set(kinds)
    counts: dict[str, int] = defaultdict(int)
    try:
        with path.open("rb") as file:
            for item in read_items(file, on_list=missing.discard):
                if item.key in kinds:
                    name, into, decoder = kinds[item.key]
                    counts[item.key] += 1
                    try:
                        into.append(_decoded(decoder, item.data))
                    except ValueError as error:
                        which = _id_of(item.data, counts[item.key])
                        problems.append(f"{name} {which}: {error}")
    except OSError as error:
        raise _no_coco(path, error.strerror or str(error)) from error
    except JsonError as error:
        raise _no_coco(path, str(error)) from error
    if missing:
        raise _no_coco(path, f"{', '.join(map(repr, sorted(missing)))} is missing")
    labels = _labels(path, categories)
    return CocoFile(
        [
            {"id": _whole(one.id), "name": one.name, "supercategory": one.supercategory or ""}
            for one in {one.id: one for one in categories}.values()
        ],
        _joined(images, annotations, labels, problems),
        problems,
    )


def _labels(path: Path, categories: Sequence[_Category]) -> dict[Id, str]:
    """Category id -> name; of each there is one, else nobody knows which is meant."""
    labels: dict[Id, str] = {}
    ids: dict[str, Id] = {}
    for one in categories:
        if labels.setdefault(one.id, one.name) != one.name:
            names = f"{labels[one.id]!r} and {one.name!r}"
            raise _no_coco(path, f"several categories have the id {one.id!r}: {names}")
        if ids.setdefault(one.name, one.id) != one.id:
            raise _no_coco(path, f"several categories are called {one.name!r}")
    return labels


def _joined(
    images: Sequence[_Image],
    annotations: Sequence[_Annotation],
    labels: Mapping[Id, str],
    problems: list[str],
) -> list[CocoImage]:
    """Put annotations on their images, as far as it is known which one that is."""
    joined: list[CocoImage] = []
    by_id: dict[Id, list[CocoImage]] = defaultdict(list)
    for image in images:
        url = image.coco_url
        size_hw = int(image.height), int(image.width)
        one = CocoImage(image.file_name, size_hw, url if isinstance(url, str) and url else None)
        known = by_id[image.id]
        if any((same.file_name, same.size_hw) == (one.file_name, size_hw) for same in known):
            continue  # the same image once more, as merged files have it
        known.append(one)
        joined.append(one)
    several = {key: found for key, found in by_id.items() if len(found) > 1}
    for key, found in several.items():
        names = " and ".join(repr(image.file_name) for image in found[:3])
        problems.append(f"{names} have one id, {key!r}: whose annotations are they?")
    for index, annotation in enumerate(annotations, 1):
        which = index if annotation.id is None else annotation.id
        try:
            found = by_id.get(annotation.image_id, [])
            if len(found) != 1:
                how_many = "several images have" if found else "no image has"
                raise ValueError(f"{how_many} the id {annotation.image_id!r}")  # noqa: TRY301
            notes: list[str] = []
            found[0].annotations.append(_annotation(annotation, labels, found[0].size_hw, notes))
        except ValueError as error:
            notes = [str(error)]
        problems += [f"annotation {which}: {note}" for note in notes]
    return joined


def _annotation(
    item: _Annotation, labels: Mapping[Id, str], size_hw: tuple[int, int], notes: list[str]
) -> CocoAnnotation:
    """Check an annotation against its image; `notes` takes what stays behind of it."""
    if item.category_id not in labels:
        raise ValueError(f"no category has the id {item.category_id!r}")
    segmentation = bytes(item.segmentation).strip()
    rle = _rle(segmentation, size_hw) if segmentation.startswith(b"{") else None
    rings = [] if rle is not None else _rings(segmentation, size_hw, notes)
    box = _box(item.bbox, size_hw, has_mask=bool(rings) or rle is not None)
    if len(item.keypoints or ()) % 3:
        raise ValueError("its keypoints are not x, y and visibility in turn")
    points = np.reshape(np.asarray(item.keypoints or (), np.float64), (-1, 3))
    seen = points[points[:, 2] > 0]
    key_point = None
    if not rings and rle is None and (box is None or min(box[2:]) == 0):
        if len(seen) != 1:
            raise ValueError(
                f"it has {len(seen)} key points, and no area"
                if len(seen)
                else "it has no area: neither a segmentation nor a bbox with two sides"
            )
        x, y = map(float, seen[0, :2])
        _require_near((x, y), size_hw)
        key_point = x, y
    elif len(seen):
        notes.append(f"its {len(seen)} key points stay behind; the rest of it comes in")
    return CocoAnnotation(
        None if item.id is None else _whole(item.id),
        labels[item.category_id],
        box,
        rings,
        rle,
        is_crowd=item.iscrowd == 1,
        score=item.score,
        key_point=key_point,
    )


def _rle(segmentation: bytes, size_hw: tuple[int, int]) -> Mapping[str, Any]:
    rle = _decoded(_RLE, segmentation)
    height, width = rle.size
    if [height, width] != list(size_hw):
        raise ValueError(
            f"its run lengths are of {width:g} x {height:g} pixels, its image has "
            f"{size_hw[1]} x {size_hw[0]}"
        )
    return {"size": [*size_hw], "counts": rle.counts}


def _rings(segmentation: bytes, size_hw: tuple[int, int], notes: list[str]) -> list[Ring]:
    """Read polygons; one that is not in a list of its own, too."""
    is_flat = not segmentation.removeprefix(b"[").lstrip().startswith((b"[", b"]"))
    decoder = _RING if is_flat and segmentation.startswith(b"[") else _POLYGONS
    found = _decoded(decoder, segmentation) or []
    rings: list[Ring] = []
    for number, ring in enumerate([found] if decoder is _RING else found, 1):
        if len(ring) % 2:
            raise ValueError(f"polygon {number} has an odd number of coordinates")
        _require_near(ring, size_hw)
        if len(ring) >= 6:
            rings.append(ring)
        elif ring:
            notes.append(f"polygon {number} has not three or more points; the rest of it comes in")
    return rings


def _box(
    bbox: Sequence[float] | None, size_hw: tuple[int, int], *, has_mask: bool
) -> tuple[float, float, float, float] | None:
    if not bbox:
        return None
    if len(bbox) != 4:
        if has_mask:  # which says it all
            return None
        raise ValueError(f"its bbox has {len(bbox)} numbers, not 4")
    x, y, width, height = bbox
    if width < 0 or height < 0:
        raise ValueError(f"its bbox {list(bbox)} has a negative side")
    _require_near((x, y, x + width, y + height), size_hw)
    return x, y, width, height


def _require_near(numbers: Sequence[float], size_hw: tuple[int, int]) -> None:
    if max(map(abs, numbers), default=0) > FARTHEST * max(size_hw):
        raise ValueError("it lies far outside the image")


_RLE = msgspec.json.Decoder(_Rle)
_RING = msgspec.json.Decoder(list[float])
_POLYGONS = msgspec.json.Decoder(list[list[float]] | None)
_IDS = msgspec.json.Decoder(dict[str, msgspec.Raw])


def _decoded(decoder: msgspec.json.Decoder[Item], data: bytes) -> Item:
    """Decode an item; whatever is wrong with it is a ValueError."""
    if not data:
        raise ValueError("it is nested too deep")
    try:
        return decoder.decode(data)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise ValueError(str(error)) from error


def _id_of(data: bytes, number: int) -> str:
    """The id of an item that cannot be read, or its number in the file."""
    try:
        return bytes(_decoded(_IDS, data)["id"])[:40].decode(errors="replace")
    except (ValueError, KeyError):
        return f"number {number}"


def _whole(number: Id) -> Id:
    return int(number) if isinstance(number, float) and number.is_integer() else number


def _no_coco(path: Path, why: str) -> DatasetError:
    return DatasetError(
        f"cannot read {str(path)!r} as a COCO file: {why}",
        remedy="give a COCO instances file with images, annotations and categories",
    )
