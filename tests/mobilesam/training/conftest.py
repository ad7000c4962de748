import json

import cv2
import numpy as np
import pytest
import torch
from pycocotools import mask as coco_masks

from mobilesam.scenes import generate_scene


def write_coco(folder, seeds):
    """Write scenes of some seeds as a COCO data set: instances.json, and images/ beside it."""
    (folder / "images").mkdir(parents=True)
    images, annotations = [], []
    for seed in seeds:
        scene = generate_scene(seed, (160, 192))
        name = f"{seed}.png"
        cv2.imwrite(str(folder / "images" / name), cv2.cvtColor(scene.image, cv2.COLOR_RGB2BGR))
        images.append({"id": seed, "file_name": name, "height": 160, "width": 192})
        for mask in scene.masks:
            rle = coco_masks.encode(np.asfortranarray(mask.view(np.uint8)))
            rle["counts"] = rle["counts"].decode()
            annotations.append(
                {
                    "id": len(annotations),
                    "image_id": seed,
                    "category_id": 1 + len(annotations) % 2,
                    "segmentation": rle,
                }
            )
    names = [{"id": 1, "name": "square"}, {"id": 2, "name": "round"}]
    content = {"images": images, "annotations": annotations, "categories": names}
    (folder / "instances.json").write_text(json.dumps(content))
    return folder / "instances.json"


@pytest.fixture(scope="session")
def coco(tmp_path_factory):
    return write_coco(tmp_path_factory.mktemp("coco"), range(20_000_000, 20_000_012))


@pytest.fixture(autouse=True)
def _one_thread():
    """Tiny tensors gain nothing from threads, and wait for them where other processes compute."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)
