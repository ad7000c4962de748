import json

import numpy as np
import pytest
from pycocotools import mask as coco_masks

from backend.core.errors import DatasetError
from backend.datasets.coco_reader import read_coco

IMAGE = {"id": 4, "file_name": "a.jpg", "height": 40, "width": 60}
CATEGORY = {"id": 17, "name": "Cat", "supercategory": "animal"}
BOX = {"id": 1, "image_id": 4, "category_id": 17, "bbox": [5, 10, 20, 10], "iscrowd": 0}
SQUARE = np.zeros((40, 60), bool)
SQUARE[10:20, 5:25] = True


def coco_file(tmp_path, *annotations, **more):
    content = {"images": [IMAGE], "categories": [CATEGORY], "annotations": annotations, **more}
    path = tmp_path / "instances.json"
    path.write_text(json.dumps({key: item for key, item in content.items() if item is not None}))
    return path


def compressed(mask):
    rle = coco_masks.encode(np.asfortranarray(mask, np.uint8))
    return {"size": rle["size"], "counts": rle["counts"].decode()}


def uncompressed(mask):
    flat = mask.ravel(order="F")
    edges = np.flatnonzero(np.diff(flat)) + 1
    return {"size": [40, 60], "counts": np.diff([0, *edges, flat.size]).tolist()}


@pytest.mark.parametrize(
    "segmentation",
    [
        pytest.param([[5, 10, 25, 10, 25, 20, 5, 20]], id="polygon"),
        pytest.param(
            [[5, 10, 15, 10, 15, 20, 5, 20], [15, 10, 25, 10, 25, 20, 15, 20]], id="two-polygons"
        ),
        pytest.param(compressed(SQUARE), id="compressed"),
        pytest.param(uncompressed(SQUARE), id="uncompressed"),
        pytest.param([], id="box-alone"),
    ],
)
def test_every_segmentation_gives_its_mask(tmp_path, segmentation):
    coco = read_coco(coco_file(tmp_path, {**BOX, "segmentation": segmentation}))
    [annotation] = coco.images[0].annotations
    np.testing.assert_array_equal(annotation.mask((40, 60)), SQUARE)
    assert annotation.label == "Cat"
    assert annotation.has_mask == bool(segmentation)
    assert coco.problems == []


def test_crowd_and_score_are_kept(tmp_path):
    crowd = {**BOX, "segmentation": compressed(SQUARE), "iscrowd": 1, "score": 0.5}
    [annotation] = read_coco(coco_file(tmp_path, crowd)).images[0].annotations
    assert annotation.is_crowd
    assert annotation.score == 0.5


def test_box_of_an_annotation_without_bbox_is_the_tight_one(tmp_path):
    item = {**BOX, "bbox": None, "segmentation": compressed(SQUARE)}
    [annotation] = read_coco(coco_file(tmp_path, item)).images[0].annotations
    assert annotation.box((40, 60)) == (5, 10, 20, 10)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        pytest.param({"image_id": 5}, "annotation 1: no 5", id="no-image"),
        pytest.param({"category_id": 5}, "annotation 1: no 5", id="no-category"),
        pytest.param({"bbox": None}, "neither", id="nothing"),
        pytest.param({"bbox": [1, 2, -3, 4]}, "negative", id="negative-box"),
        pytest.param({"bbox": [1, 2]}, "annotation 1", id="half-a-box"),
        pytest.param({"segmentation": [[1, 2, 3, 4]]}, "three or more", id="two-points"),
        pytest.param({"segmentation": [[1, 2, 3, 4, 5, "x"]]}, "annotation 1", id="text"),
        pytest.param({"segmentation": [[0, 0, 1e12, 0, 0, 1]]}, "far outside", id="far-away"),
        pytest.param(
            {"segmentation": {"size": [40, 60], "counts": [1, 2]}}, "do not fill", id="short-rle"
        ),
        pytest.param({"segmentation": {"size": [40, 60]}}, "no 'counts'", id="no-counts"),
    ],
)
def test_damaged_annotation_is_a_problem_beside_the_others(tmp_path, change, words):
    coco = read_coco(coco_file(tmp_path, {**BOX, **change}, {**BOX, "id": 2}))
    [problem] = coco.problems
    assert words in problem
    assert [annotation.id for annotation in coco.images[0].annotations] == [2]


@pytest.mark.parametrize(
    "segmentation",
    [
        pytest.param({"size": [40, 60], "counts": "garbage~~~"}, id="garbage"),
        pytest.param(compressed(SQUARE[:, :30]), id="other-size"),
    ],
)
def test_run_lengths_that_cannot_be_a_mask_are_named(tmp_path, segmentation):
    item = {**BOX, "segmentation": segmentation}
    [annotation] = read_coco(coco_file(tmp_path, item)).images[0].annotations
    with pytest.raises(DatasetError, match="annotation 1"):
        annotation.mask((40, 60))


@pytest.mark.parametrize(
    ("more", "words"),
    [
        pytest.param({"images": None}, "'images' is missing", id="no-images"),
        pytest.param({"categories": [CATEGORY, {**CATEGORY, "id": 2}]}, "'Cat'", id="twins"),
        pytest.param({"images": [{**IMAGE, "width": 0}]}, "'a.jpg' has no height", id="no-width"),
        pytest.param({"images": [{**IMAGE, "file_name": ""}]}, "file_name", id="no-name"),
    ],
)
def test_file_that_is_no_coco_is_named(tmp_path, more, words):
    with pytest.raises(DatasetError, match=words):
        read_coco(coco_file(tmp_path, **more))


def test_missing_and_damaged_files_are_named(tmp_path):
    with pytest.raises(DatasetError, match="No such file"):
        read_coco(tmp_path / "none.json")
    (tmp_path / "cut.json").write_text('{"images": [')
    with pytest.raises(DatasetError, match=r"cut\.json"):
        read_coco(tmp_path / "cut.json")
