"""The YOLO folder as the trainer sees it: read with Ultralytics' own dataset loader.

It has an environment of its own, which `make test` builds: its licence (AGPL) and its requirements
stay out of this project's.
"""

import json
import os
import subprocess
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from pycocotools import mask as coco_masks
from test_export_coco import SIZE_HW, export, region, saved, square, task

ROOT = Path(__file__).parents[3]
PYTHON = ROOT / ".ultralytics" / "bin" / "python"
CONFIG = """
<View><Image name="image" value="$image"/>
<BrushLabels name="brush" toName="image">
<Label value="Dog" category="1"/><Label value="Cat" category="0"/>
</BrushLabels></View>
"""


def read(folder, tmp_path):
    script = ROOT / "tests" / "support" / "read_with_ultralytics.py"
    environment = {**os.environ, "YOLO_CONFIG_DIR": str(tmp_path), "YOLO_OFFLINE": "true"}
    done = subprocess.run(
        [PYTHON, script, folder / "data.yaml"],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1]), done.stdout + done.stderr


def box(mask):
    """The middle and the sides of a mask, in parts of the image's."""
    x, y, width, height = coco_masks.toBbox(coco_masks.encode(np.asfortranarray(mask, np.uint8)))
    size_hw = np.array(SIZE_HW)
    return [
        *((x + width / 2, y + height / 2) / size_hw[::-1]),
        *((width, height) / size_hw[::-1]),
    ]


@pytest.mark.skipif(not PYTHON.exists(), reason="`make .ultralytics/.ready` has not been run")
def test_ultralytics_reads_every_image_class_and_box(tmp_path):
    ring, two = square(hole=True), square() | square(left=35)
    (tmp_path / "config.xml").write_text(CONFIG)
    root = tmp_path / "root"
    root.mkdir()
    kinds = {"a.php": "JPEG", "b.gif": "GIF", "c.webp": "WEBP", "d e#.png": "PNG", "f.jpg": "JPEG"}
    for name, kind in kinds.items():
        Image.new("RGB", SIZE_HW[::-1], "lime").save(root / name, kind)
    tasks = [
        task(number, region(ring), region(two, 2, label="Dog"), meta={"coco": {"file_name": name}})
        for number, name in enumerate(kinds, 1)
    ]
    out = tmp_path / "yolo"
    options = [
        "--images",
        "copy",
        "--image-root",
        root,
        "--labeling-config",
        tmp_path / "config.xml",
    ]
    status, _ = export(
        out, saved(tmp_path, *tasks), "--format", "yolo-seg", *options, "--val", "0.4"
    )
    assert status == 0
    found, said = read(out, tmp_path / "settings")
    assert "corrupt" not in said.replace("0 corrupt", "")
    assert found["names"] == {"0": "Cat", "1": "Dog"}
    assert [len(found[split]) for split in ("train", "val")] == [3, 2]
    for split in ("train", "val"):
        for label in found[split].values():
            assert label["shape"] == list(SIZE_HW)
            assert label["classes"] == [0, 1]
            # A segment's box, as Ultralytics makes it.
            np.testing.assert_allclose(label["boxes_xywh"], [box(ring), box(two)], atol=1e-4)
            assert all(len(segment) > 4 for segment in label["segments"])
