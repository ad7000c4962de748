"""COCO's JSON, written as a stream."""

import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from backend.core.atomic_files import replaced_when_done
from backend.datasets.spool import SpooledImage


def write_coco(
    path: Path,
    read_images: Callable[[], Iterable[SpooledImage]],
    categories: Sequence[dict[str, Any]],
    *,
    description: str,
) -> None:
    """Write a COCO instances file, whole or not at all.

    Args:
        path: of the file.
        read_images: gives the images from the first one on, each time it is called.
        categories: as COCO has them.
        description: for the file's `info`.

    Raises:
        OSError: the disk is full, say.
    """
    ids = {category["name"]: category["id"] for category in categories}

    def annotations() -> Iterator[dict[str, Any]]:
        number = 0
        for spooled in read_images():
            for annotation in spooled.annotations:
                number += 1
                rest = {key: item for key, item in annotation.items() if key != "label"}
                category_id = ids[annotation["label"]]
                yield {"id": number, "image_id": spooled.id, "category_id": category_id, **rest}

    with replaced_when_done(path) as file:
        file.write(f'{{"info":{_compact({"description": description})},"licenses":[],\n')
        file.write(f'"categories":{_compact(list(categories))},\n"images":[')
        _write_items(file.write, (spooled.image for spooled in read_images()))
        file.write('],\n"annotations":[')
        _write_items(file.write, annotations())
        file.write("]}\n")


def _write_items(write: Callable[[str], object], items: Iterable[dict[str, Any]]) -> None:
    for index, item in enumerate(items):
        write((",\n" if index else "\n") + _compact(item))


def _compact(value: Any) -> str:
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
