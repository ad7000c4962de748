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
    np.testing.assert_array_equal(annotation.mask((40, 60), max_pixels=2400), SQUARE)
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
    assert annotation.box((40, 60), max_pixels=2400) == (5, 10, 20, 10)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        pytest.param({"image_id": 5}, "annotation 1: no image has the id 5", id="no-image"),
        pytest.param({"category_id": 5}, "no category has the id 5", id="no-category"),
        pytest.param({"bbox": None}, "it has no area", id="nothing"),
        pytest.param({"bbox": [1, 2, 0, 4]}, "it has no area", id="a-line"),
        pytest.param(
            {"score": "0.5"}, "annotation 1: Expected `float | null`, got `str`", id="text-score"
        ),
        pytest.param({"bbox": ["1", 2, 3, 4]}, "got `str` - at `$.bbox[0]`", id="text-box"),
        pytest.param({"image_id": [4]}, "annotation 1", id="id-is-a-list"),
        pytest.param({"score": "\ud800"}, "annotation", id="half-a-character"),
        pytest.param({"keypoints": [1, 2]}, "keypoints", id="half-a-key-point"),
        pytest.param(
            {"bbox": [1, 1, 0, 0], "keypoints": [1, 1, 2, 3, 3, 2]}, "2 key points", id="skeleton"
        ),
        pytest.param({"bbox": [1, 2, 3, 10**400]}, "out of range", id="huge-number"),
        pytest.param({"score": float("nan")}, "annotation number 1", id="nan"),
        pytest.param(
            {"segmentation": {"size": [-40, -60], "counts": [2400]}}, "-60", id="negative"
        ),
        pytest.param(
            {"segmentation": {"size": [60000, 60000], "counts": [3600000000]}},
            "of 60000 x 60000 pixels, its image has 60 x 40",
            id="a-size-of-its-own",
        ),
        pytest.param({"bbox": [1, 2, -3, 4]}, "negative", id="negative-box"),
        pytest.param({"bbox": [1, 2]}, "annotation 1", id="half-a-box"),
        pytest.param({"segmentation": [[1, 2, 3]]}, "odd number", id="half-a-point"),
        pytest.param({"segmentation": [[1, 2, 3, 4, 5, "x"]]}, "annotation 1", id="text"),
        pytest.param({"segmentation": [[0, 0, 1e12, 0, 0, 1]]}, "far outside", id="far-away"),
        pytest.param({"segmentation": {"size": [40, 60]}}, "`counts`", id="no-counts"),
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
        pytest.param({"size": [40, 60], "counts": compressed(SQUARE)["counts"][:-1]}, id="cut"),
        pytest.param({"size": [40, 60], "counts": ""}, id="empty"),
        pytest.param({"size": [40, 60], "counts": "o" * 40}, id="never-ending-number"),
        pytest.param({"size": [40, 60], "counts": "\u00e9" * 9}, id="no-ascii"),
        pytest.param({"size": [40, 60], "counts": [1, 2]}, id="list-ends-early"),
        pytest.param({"size": [40, 60], "counts": []}, id="no-runs"),
        pytest.param({"size": [40, 60], "counts": [1200.5, 1199.5]}, id="half-a-pixel"),
        pytest.param({"size": [40, 60], "counts": [-1, 2401]}, id="negative-run"),
        pytest.param({"size": [40, 60], "counts": [2**32, 2400 - 2**32]}, id="beyond-32-bits"),
    ],
)
def test_run_lengths_that_cannot_be_a_mask_are_named(tmp_path, segmentation):
    item = {**BOX, "segmentation": segmentation}
    [annotation] = read_coco(coco_file(tmp_path, item)).images[0].annotations
    with pytest.raises(DatasetError, match="annotation 1"):
        annotation.mask((40, 60), max_pixels=2400)


@pytest.mark.parametrize(
    ("more", "words"),
    [
        pytest.param({"images": None}, "'images' is missing", id="no-images"),
        pytest.param({"categories": [CATEGORY, {**CATEGORY, "id": 2}]}, "'Cat'", id="twins"),
        pytest.param(
            {"categories": [CATEGORY, {"id": 17, "name": "Dog"}]}, "'Cat' and 'Dog'", id="one-id"
        ),
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


@pytest.mark.parametrize(
    "image",
    [
        pytest.param({**IMAGE, "id": 5, "width": 0}, id="no-width"),
        pytest.param({**IMAGE, "id": 5, "width": 60.5}, id="half-a-pixel"),
        pytest.param({**IMAGE, "id": 5, "width": "60"}, id="text"),
        pytest.param({"id": 5, "file_name": "b.jpg"}, id="no-size"),
        pytest.param({**IMAGE, "id": 5, "file_name": ""}, id="no-name"),
        pytest.param({**IMAGE, "id": {}}, id="id-is-an-object"),
        pytest.param(5, id="no-object"),
        pytest.param({**IMAGE, "width": 10**400}, id="huge"),
        pytest.param({**IMAGE, "more": json.loads("[" * 900 + "]" * 900)}, id="deep"),
    ],
)
def test_image_that_cannot_be_read_is_a_problem_beside_the_others(tmp_path, image):
    coco = read_coco(coco_file(tmp_path, BOX, images=[image, IMAGE]))
    [problem] = coco.problems
    assert problem.startswith("image ")
    assert [len(one.annotations) for one in coco.images] == [1]


def test_whole_numbers_may_have_a_point(tmp_path):
    image = {"id": 4.0, "file_name": "a.jpg", "height": 40.0, "width": 60.0}
    runs = {"size": [40.0, 60.0], "counts": [float(run) for run in uncompressed(SQUARE)["counts"]]}
    coco = read_coco(coco_file(tmp_path, {**BOX, "segmentation": runs}, images=[image]))
    assert coco.images[0].size_hw == (40, 60)
    [annotation] = coco.images[0].annotations
    np.testing.assert_array_equal(annotation.mask((40, 60), max_pixels=2400), SQUARE)


RING = [5, 10, 25, 10, 25, 20, 5, 20]


@pytest.mark.parametrize(
    ("change", "noted"),
    [
        pytest.param({"segmentation": RING}, 0, id="flat-polygon"),
        pytest.param({"segmentation": [RING, [1, 1, 2, 2]]}, 1, id="line-beside-it"),
        pytest.param({"segmentation": [RING], "bbox": []}, 0, id="empty-box"),
        pytest.param({"segmentation": [[]]}, 0, id="empty-polygon"),
        pytest.param({"segmentation": None}, 0, id="null"),
        pytest.param({"keypoints": [0, 0, 0, 9, 9, 2]}, 1, id="key-points-beside-it"),
    ],
)
def test_what_can_be_taken_of_an_annotation_is(tmp_path, change, noted):
    coco = read_coco(coco_file(tmp_path, {**BOX, **change}))
    [annotation] = coco.images[0].annotations
    np.testing.assert_array_equal(annotation.mask((40, 60), max_pixels=2400), SQUARE)
    assert len(coco.problems) == noted


def test_equal_ids_lose_nothing(tmp_path):
    twice = coco_file(tmp_path, BOX, BOX, {**BOX, "id": None})
    assert len(read_coco(twice).images[0].annotations) == 3
    images = [IMAGE, {**IMAGE, "file_name": "b.jpg"}, {**IMAGE, "id": 5, "file_name": "c.jpg"}]
    coco = read_coco(coco_file(tmp_path, BOX, {**BOX, "id": 2, "image_id": 5}, images=images))
    assert [len(image.annotations) for image in coco.images] == [0, 0, 1]
    assert "'a.jpg' and 'b.jpg' have one id, 4" in coco.problems[0]
    assert "annotation 1: several images have the id 4" in coco.problems[1]


def test_same_image_twice_is_one(tmp_path):
    coco = read_coco(coco_file(tmp_path, BOX, images=[IMAGE, IMAGE]))
    assert [len(image.annotations) for image in coco.images] == [1]
    assert coco.problems == []


def test_sizes_are_judged_before_a_mask_is_drawn(tmp_path):
    images = [{**IMAGE, "height": 100_000, "width": 100_000}]
    zigzag = [n for i in range(20_000) for n in (0 if i % 2 else 60_000, i)]
    coco = read_coco(
        coco_file(
            tmp_path,
            {**BOX, "segmentation": [RING]},
            {**BOX, "segmentation": [zigzag]},
            images=images,
        )
    )
    for annotation, words in zip(
        coco.images[0].annotations, ("more than 100000000 pixels", "pixels long"), strict=True
    ):
        with pytest.raises(DatasetError, match=words):
            annotation.mask((100_000, 100_000), max_pixels=100_000_000)
