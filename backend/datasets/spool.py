"""Converted images on disk, until all of them are known: the order in which files are written
needs what comes last (categories, the split), and memory holds only what is small.
"""

import hashlib
import itertools
import json
import math
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from backend.datasets.conversion import UNLABELED, ConvertedImage

ALL = "all"  # the split of a data set that is not split


@dataclass(frozen=True)
class SpooledImage:
    """An image as COCO has it, with `id`, and its annotations, with `label` for a category."""

    image: dict[str, Any]
    annotations: list[dict[str, Any]]

    @property
    def id(self) -> int:
        """Its number, from 1."""
        return int(self.image["id"])


class Spool:
    """Keeps converted images in a file of its own, which ends with the `with` block.

    Args:
        folder: that exists; on the disk that will hold the data set.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._ranks: list[tuple[str, int]] = []  # of the images, for the split
        self._labels: dict[str, bool] = {}  # in order of appearance -> whether a key point has it
        self.annotations = 0

    def __enter__(self) -> Self:
        self._file = tempfile.TemporaryFile("w+", dir=self._folder, encoding="utf-8")
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._file.close()

    @property
    def images(self) -> int:
        """How many images there are."""
        return len(self._ranks)

    def add(self, converted: ConvertedImage, file_name: str) -> None:
        """Keep an image under the name that its file has in the data set."""
        height, width = converted.found.size_hw
        number = self.images + 1
        image = {
            "id": number,
            "file_name": file_name,
            "width": width,
            "height": height,
            "task_id": converted.image.task_id,
        }
        for annotation in converted.annotations:
            label = annotation["label"]
            self._labels[label] = self._labels.get(label, False) or "keypoints" in annotation
        self.annotations += len(converted.annotations)
        self._ranks.append((file_name, number))
        line = json.dumps([image, converted.annotations], separators=(",", ":"), allow_nan=False)
        self._file.write(line + "\n")

    def read(self) -> Iterator[SpooledImage]:
        """Read the images again, in the order they came."""
        self._file.seek(0)
        for line in self._file:
            yield SpooledImage(*json.loads(line))

    def categories(self, known: Mapping[str, Mapping[str, str]]) -> list[dict[str, Any]]:
        """Number the labels.

        Args:
            known: labels of the labeling config, in its order, with their attributes; all of them
                get a category. `category` is the id of one, as in Label Studio's own exports.

        Returns:
            COCO categories: first the known ones, then others that were met in alphabetical order,
            last what has no label. Those without an id of their own take the next free one from 1.
        """
        others = sorted(set(self._labels) - {*known, UNLABELED})
        last = [UNLABELED] if UNLABELED in self._labels and UNLABELED not in known else []
        ids = _own_ids(known)
        free = (number for number in itertools.count(1) if number not in set(ids.values()))
        return [
            {
                "id": ids[label] if label in ids else next(free),
                "name": label,
                "supercategory": known.get(label, {}).get("supercategory", ""),
                **({"keypoints": [label], "skeleton": []} if self._labels.get(label) else {}),
            }
            for label in [*known, *others, *last]
        ]

    def split(self, validation: float, seed: int) -> dict[str, set[int]]:
        """Split the images by what their file names hash to.

        An image that is added later changes nothing for the others but at the border.

        Args:
            validation: part of the images for validation, 0 to 1; 0 does not split.
            seed: another one gives another split.

        Returns:
            Name of the split -> numbers of its images.
        """
        if not validation:
            return {ALL: {number for _, number in self._ranks}}
        hashed = sorted(
            (hashlib.sha256(f"{seed}\0{name}".encode()).digest(), number)
            for name, number in self._ranks
        )
        held_out = math.floor(validation * len(hashed) + 0.5)
        return {
            "train": {number for _, number in hashed[held_out:]},
            "val": {number for _, number in hashed[:held_out]},
        }


def _own_ids(labels: Mapping[str, Mapping[str, str]]) -> dict[str, int]:
    """The ids that labels bring; of two with the same one, the first has it."""
    ids: dict[str, int] = {}
    for label, attributes in labels.items():
        text = attributes.get("category", "")
        if text.isascii() and text.isdigit() and int(text) not in ids.values():
            ids[label] = int(text)
    return ids
