"""Generated scenes as a COCO data set on disk, to mix among real images."""

import json
from pathlib import Path

import cv2
import numpy as np
from pycocotools import mask as coco_masks
from tqdm import tqdm

from mobilesam.scenes import SIDE, generate_scene

SOURCE = "scenes"
SIZES_HW = ((SIDE, SIDE), (SIDE, SIDE), (192, SIDE), (SIDE, 176), (384, 512))


def write_scenes(folder: Path, count: int, seed: int) -> Path:
    """Paint scenes that are not there yet, and return their COCO instances file.

    Args:
        folder: gets `instances.json` and the PNG files, which it names.
        count: how many scenes.
        seed: of the run; other seeds give other scenes.
    """
    folder.mkdir(parents=True, exist_ok=True)
    instances = folder / "instances.json"
    if instances.exists() and len(json.loads(instances.read_text())["images"]) == count:
        return instances
    images: list[dict[str, object]] = []
    annotations: list[dict[str, object]] = []
    for index in tqdm(range(count), desc="scenes", unit="scene"):
        size_hw = SIZES_HW[index % len(SIZES_HW)]
        scene = generate_scene(seed * 1_000_000 + index, size_hw)
        name = f"scene_{index:06}.png"
        cv2.imwrite(str(folder / name), cv2.cvtColor(scene.image, cv2.COLOR_RGB2BGR))
        images.append(
            {
                "id": index,
                "file_name": name,
                "height": size_hw[0],
                "width": size_hw[1],
                "source": SOURCE,
            }
        )
        for mask in scene.masks:
            rle = coco_masks.encode(np.asfortranarray(mask.view(np.uint8)))
            rle["counts"] = rle["counts"].decode()
            annotations.append(
                {
                    "id": len(annotations),
                    "image_id": index,
                    "category_id": 1,
                    "segmentation": rle,
                }
            )
    content = {
        "images": images,
        "annotations": annotations,
        "categories": [{"id": 1, "name": "shape"}],
    }
    part = instances.with_suffix(".part")
    part.write_text(json.dumps(content))
    part.replace(instances)
    return instances
