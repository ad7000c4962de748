"""Project -> COCO -> project -> COCO, by property: what was drawn comes back as it was."""

import json
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pytest
from faster_coco_eval import COCO as FasterCOCO  # noqa: N811 - its name is COCO, too
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from pycocotools.coco import COCO

from backend.cli import main
from backend.codecs.bitmask import encode_bitmask
from backend.codecs.brush import encode_brush
from backend.codecs.polygons import mask_polygons

LABELS = ("Cat", 'Dog & "Co" <1>', "\u732b")
TAGS = ("Brush", "Bitmask", "Polygon", "Rectangle", "Ellipse", "KeyPoint")
SIZES_HW = st.tuples(st.integers(1, 24), st.integers(1, 24))
PERCENTS = st.integers(0, 90).map(float)
NAMES = st.text("ab \u00e9#%&+\\\u732b.", min_size=1, max_size=8).map(lambda text: f"{text}.jpg")


def config_of(shared):
    """The XML of a project with all controls, whose labels are shared or their own."""
    quoted = [
        label.replace("&", "&amp;").replace('"', "&quot;").replace("<", "&lt;") for label in LABELS
    ]
    tags = "".join(f'<Label value="{label}" category="{7 - i}"/>' for i, label in enumerate(quoted))
    if shared:
        controls = f'<Labels name="label" toName="image">{tags}</Labels>' + "".join(
            f'<{tag} name="{tag}" toName="image"/>' for tag in TAGS
        )
    else:
        controls = "".join(
            f'<{tag}Labels name="{tag}" toName="image">{tags}</{tag}Labels>' for tag in TAGS
        )
    return f'<View><Image name="image" valueList="$image"/>{controls}</View>'


@st.composite
def shapes(draw, size_hw):
    """A shape's type and what Label Studio stores of it; a mask may be anything but empty."""
    kind = draw(
        st.sampled_from(("brush", "bitmask", "polygon", "rectangle", "ellipse", "keypoint"))
    )
    if kind in ("brush", "bitmask", "polygon"):
        mask = draw(arrays(np.bool_, size_hw).filter(np.any))
        if kind == "brush":
            return kind, {"format": "rle", "rle": encode_brush(mask)}
        if kind == "bitmask":
            return kind, {"imageDataURL": encode_bitmask(mask)}
        ring = mask_polygons(mask, tolerance_px=0)[0]
        return kind, {"points": (ring * (100 / np.array(size_hw[::-1]))).tolist(), "closed": True}
    x, y = draw(PERCENTS), draw(PERCENTS)
    if kind == "rectangle":
        sides = {"width": draw(PERCENTS) + 30, "height": draw(PERCENTS) + 30}
        return kind, {"x": x, "y": y, **sides, "rotation": draw(st.sampled_from([0, 0, 33]))}
    if kind == "ellipse":
        return kind, {"x": x, "y": y, "radiusX": 40, "radiusY": draw(PERCENTS) + 20, "rotation": 9}
    return kind, {"x": x, "y": y, "width": 1}


@st.composite
def regions(draw, size_hw, page, shared, number):
    kind, value = draw(shapes(size_hw))
    labels = draw(st.lists(st.sampled_from(LABELS), min_size=1, max_size=2, unique=True))
    common = {
        "id": draw(st.sampled_from([f"r{number}", "same"])),
        "to_name": "image",
        "item_index": page,
        "original_height": size_hw[0],
        "original_width": size_hw[1],
        "image_rotation": 0,
    }
    answer = {
        **common,
        "from_name": "seen",
        "type": "choices",
        "value": {**value, "choices": ["no"]},
    }
    name = {"brush": "Brush", "bitmask": "Bitmask", "keypoint": "KeyPoint"}.get(kind, kind.title())
    if shared:
        drawn = [
            {**common, "from_name": name, "type": kind, "value": value},
            {**common, "from_name": "label", "type": "labels", "value": {"labels": labels}},
        ]
    else:
        own = {**value, f"{kind}labels": labels}
        drawn = [{**common, "from_name": name, "type": f"{kind}labels", "value": own}]
    return [*drawn, answer] if draw(st.booleans()) else drawn


@st.composite
def projects(draw):
    """The XML and the tasks of a project: several images a task, several annotators."""
    shared = draw(st.booleans())
    tasks = []
    for number in range(1, draw(st.integers(1, 3)) + 1):
        names = draw(st.lists(NAMES, min_size=1, max_size=3))
        sizes = [draw(SIZES_HW) for _ in names]
        annotations = []
        for annotator in range(draw(st.integers(1, 2))):
            results = []
            for page, size_hw in enumerate(sizes):
                for count in range(draw(st.integers(1, 2))):
                    results += draw(regions(size_hw, page, shared, f"{annotator}-{page}-{count}"))
            annotations.append({"id": 10 * number + annotator, "result": results})
        data = {"image": [f"s3://bucket/{number}/{name}" for name in names]}
        tasks.append({"id": number, "data": data, "annotations": annotations})
    return config_of(shared), tasks


def exported(folder, tasks_file, config_file):
    options = ["--labeling-config", str(config_file), "--annotations", "all", "--shapes"]
    source = ["export-coco", "--from", str(tasks_file), "--out", str(folder)]
    kinds = "brush,bitmask,polygon,rectangle,ellipse,keypoint"
    status = main([*source, *options, kinds])
    return status, COCO(folder / "instances.json")


def objects(coco):
    """Of each image, in their order: its name and size, and what is on it."""
    return [
        (
            *(image[key] for key in ("file_name", "height", "width")),
            [
                (found["category_id"], found["bbox"], found.get("keypoints"), mask_of(coco, found))
                for found in coco.loadAnns(coco.getAnnIds(image["id"]))
            ],
        )
        for image in coco.imgs.values()
    ]


def mask_of(coco, annotation):
    return None if annotation.get("keypoints") else coco.annToMask(annotation).tobytes()


@pytest.mark.parametrize("shape", ["brush", "bitmask"])
@settings(max_examples=40, deadline=None)
@given(projects())
def test_masks_categories_names_and_ids_come_back(shape, project):
    config, tasks = project
    with TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "config.xml").write_text(config)
        (folder / "export.json").write_text(json.dumps(tasks))
        status, first = exported(folder / "first", folder / "export.json", folder / "config.xml")
        assert status in (0, 3)  # a shape without a pixel is listed
        source = str(folder / "first" / "instances.json")
        out = ["--out", str(folder / "tasks.json"), "--image-url", "http://h/", "--shape", shape]
        assert main(["import-coco", source, *out]) == 0
        status, second = exported(folder / "second", folder / "tasks.json", folder / "tasks.xml")
        assert status == 0
        assert objects(second) == objects(first)
        assert list(second.cats.values()) == list(first.cats.values())
        assert len({image["file_name"] for image in first.imgs.values()}) == len(first.imgs)
        faster = FasterCOCO(source)
        assert {one["id"]: one["bbox"] for one in faster.loadAnns(faster.getAnnIds())} == {
            number: found["bbox"] for number, found in first.anns.items()
        }


@settings(max_examples=40, deadline=None)
@given(arrays(np.bool_, SIZES_HW).filter(np.any))
def test_polygons_of_a_mask_cover_it_exactly(mask):
    height, width = mask.shape
    region = {
        "id": "r",
        "type": "brushlabels",
        "from_name": "brush",
        "to_name": "image",
        "original_height": height,
        "original_width": width,
        "value": {"format": "rle", "rle": encode_brush(mask), "brushlabels": ["Cat"]},
    }
    task = {"id": 1, "data": {"image": "a.jpg"}, "annotations": [{"id": 1, "result": [region]}]}
    with TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "export.json").write_text(json.dumps([task]))
        source = ["export-coco", "--from", str(folder / "export.json"), "--out", str(folder / "a")]
        assert main([*source, "--segmentation", "polygon", "--tolerance", "0"]) == 0
        out = ["--out", str(folder / "tasks.json"), "--image-url", "http://h/"]
        coco = str(folder / "a" / "instances.json")
        assert main(["import-coco", coco, *out, "--shape", "polygon"]) == 0
        status, again = exported(folder / "b", folder / "tasks.json", folder / "tasks.xml")
        assert status == 0
        together = np.any([again.annToMask(found) for found in again.anns.values()], axis=0)
        np.testing.assert_array_equal(together, mask)
