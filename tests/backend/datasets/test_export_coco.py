"""export-coco from end to end, as the command line runs it, on recorded exports."""

import errno
import json
import threading
from base64 import b64encode
from collections import Counter

import numpy as np
import pytest
import supervision
from fake_model import png
from pycocotools.coco import COCO
from recordings import RECORDINGS, recording
from torchvision.datasets import CocoDetection

from backend.cli import main
from backend.codecs.brush import encode_brush
from backend.datasets import conversion
from backend.datasets.image_files import ImageFiles
from backend.images.fetch import ImageLoader

RING = RECORDINGS / "export_ring.json"
SIZE_HW = (40, 60)
PICTURE = f"data:image/png;base64,{b64encode(png(*SIZE_HW)).decode()}"


def export(out, source, *options):
    """Exit status, and the content of instances.json."""
    arguments = ["export-coco", "--from", str(source), "--out", str(out), *map(str, options)]
    status = main(arguments)
    path = out / "instances.json"
    return status, json.loads(path.read_text()) if path.exists() else None


def saved(folder, *tasks):
    path = folder / "export.json"
    path.write_text(json.dumps(tasks))
    return path


def region(mask, number=1, label="Cat", **more):
    height, width = mask.shape
    labels = {"brushlabels": [label]} if label else {}
    return {
        "id": f"r{number}",
        "type": "brushlabels",
        "from_name": "brush",
        "to_name": "image",
        "original_height": height,
        "original_width": width,
        "value": {"format": "rle", "rle": encode_brush(mask), **labels},
        **more,
    }


def task(number, *regions, uri=PICTURE, **more):
    annotation = {"id": 100 + number, "result": list(regions), "created_at": "2026"}
    return {"id": number, "data": {"image": uri}, "annotations": [annotation], **more}


def square(*, left=5, hole=False):
    mask = np.zeros(SIZE_HW, bool)
    mask[10:30, left : left + 20] = True
    mask[15:25, left + 5 : left + 15] &= not hole
    return mask


def loaded(path):
    coco = COCO(path)
    return [coco.annToMask(found) for found in coco.loadAnns(coco.getAnnIds())]


def test_one_region_is_one_annotation_with_its_hole(tmp_path, capsys):
    status, content = export(tmp_path, RING)
    assert status == 3
    assert "task 12: brush region 'empty': it covers no pixel" in capsys.readouterr().err
    ring, *_ = content["annotations"]
    assert (ring["area"], ring["bbox"]) == (40_000, [100, 100, 400, 200])
    masks = loaded(tmp_path / "instances.json")
    assert masks[0].sum() == 40_000
    assert not masks[0][150:250, 150:250].any()
    assert [found["area"] for found in content["annotations"]] == [mask.sum() for mask in masks]


@pytest.mark.parametrize("kind", ["own", "shared"])
@pytest.mark.parametrize("form", ["", "_json_min"])
def test_every_shape_of_every_export_gives_the_same(tmp_path, kind, form):
    (tmp_path / "images").mkdir()
    (tmp_path / "images" / "empty.png").write_bytes(png(*SIZE_HW))
    source = RECORDINGS / f"export_shapes_{kind}{form}.json"
    config = RECORDINGS / f"export_shapes_{kind}.xml"
    options = ["--labeling-config", config, "--image-root", tmp_path / "images"]
    status, content = export(tmp_path, source, *options)
    assert status == 0
    assert [category["name"] for category in content["categories"]] == ["Cat", "Dog"]
    assert [(found["category_id"], found["area"]) for found in content["annotations"]] == [
        (1, 260),
        (2, 260),
        (1, 384),
        (2, 119),
        (1, 380),
        (2, 0),
    ]
    assert content["annotations"][5]["keypoints"] == [15, 30, 2]
    assert [image["file_name"] for image in content["images"]] == [f"{kind}.png", "empty.png"]


def test_images_without_masks_are_there_with_their_sizes(tmp_path, capsys):
    source = saved(
        tmp_path,
        task(1, region(square())),
        task(2),
        {"id": 3, "data": {"image": PICTURE}, "annotations": []},
    )
    status, content = export(tmp_path, source)
    assert status == 0
    assert [(image["width"], image["height"]) for image in content["images"]] == [(60, 40)] * 3
    assert "1 images that nobody has annotated, exported without" in capsys.readouterr().err
    status, content = export(tmp_path, source, "--annotated-only")
    assert [image["task_id"] for image in content["images"]] == [1, 2]


def test_skipped_tasks_are_left_out_and_counted(tmp_path, capsys):
    skipped = task(2, region(square()))
    skipped["annotations"][0]["was_cancelled"] = True
    status, content = export(tmp_path, saved(tmp_path, task(1, region(square())), skipped))
    assert status == 0
    assert [image["task_id"] for image in content["images"]] == [1]
    assert "note: 1 tasks skipped" in capsys.readouterr().err


def test_score_and_origin_of_a_region_are_kept(tmp_path):
    source = saved(tmp_path, task(1, region(square(), score=0.75)))
    _, content = export(tmp_path, source)
    [annotation] = content["annotations"]
    assert annotation["score"] == 0.75
    assert (annotation["annotation_id"], annotation["region_id"]) == (101, "r1")
    assert annotation["iscrowd"] == 0


def test_region_without_label_has_a_category_of_its_own(tmp_path):
    regions = [region(square(), label=None), region(square(left=30), 2)]
    _, content = export(tmp_path, saved(tmp_path, task(1, *regions)))
    names = {category["id"]: category["name"] for category in content["categories"]}
    assert [names[found["category_id"]] for found in content["annotations"]] == [
        "unlabeled",
        "Cat",
    ]


def test_region_with_two_labels_is_an_annotation_of_each(tmp_path):
    both = region(square())
    both["value"]["brushlabels"] = ["Cat", "Dog"]
    _, content = export(tmp_path, saved(tmp_path, task(1, both)))
    assert [found["category_id"] for found in content["annotations"]] == [1, 2]


def test_drafts_and_predictions_come_only_when_asked_for(tmp_path):
    drafted = task(1, drafts=[{"id": 7, "result": [region(square())], "annotation": None}])
    predicted = {"result": [region(square())], "score": 0.5, "created_at": "2026"}
    source = saved(
        tmp_path,
        {**drafted, "annotations": []},
        {"id": 2, "data": {"image": PICTURE}, "predictions": [predicted], "annotations": []},
    )
    assert export(tmp_path, source)[1]["annotations"] == []
    [draft] = export(tmp_path, source, "--drafts")[1]["annotations"]
    assert draft["image_id"] == 1
    [prediction] = export(tmp_path, source, "--predictions")[1]["annotations"]
    assert (prediction["image_id"], prediction["score"]) == (2, 0.5)


def test_pages_of_a_task_are_images_of_their_own(tmp_path):
    two = task(1, region(square(), item_index=1), uri=[PICTURE, PICTURE])
    _, content = export(tmp_path, saved(tmp_path, two))
    assert [image["task_id"] for image in content["images"]] == [1, 1]
    assert [found["image_id"] for found in content["annotations"]] == [2]


def test_what_cannot_be_exported_is_listed_and_the_rest_goes_on(tmp_path, capsys):
    damaged = region(square(), 2)
    damaged["value"]["rle"] = damaged["value"]["rle"][:-5]
    other_page = region(square(), 3, item_index=4)
    smaller = region(np.ones((4, 6), bool), 4)
    source = saved(
        tmp_path,
        task(1, region(square()), damaged, smaller),
        task(2, uri="/data/upload/1/gone.png"),
        task(3, other_page, uri=[PICTURE]),
        {"id": 4, "data": {"text": "no image"}, "annotations": []},
    )
    status, content = export(tmp_path, source)
    assert status == 3
    assert [image["task_id"] for image in content["images"]] == [1, 3]
    assert len(content["annotations"]) == 1
    said = capsys.readouterr().err
    for words in (
        "5 could not be exported",
        "task 1: brush rle is damaged",
        "task 1: brush region 'r4': it was drawn on 6 x 4 pixels, the image has 60 x 40",
        "task 2: the size of its image is not known",
        "task 3: brush region 'r3': the task has no image 'image', page 4",
        "task 4: its data has no image",
    ):
        assert words in said


def test_region_that_breaks_the_conversion_does_not_end_the_export(tmp_path, capsys, monkeypatch):
    def broken(mask, *, tolerance_px):
        raise ValueError("no outline")

    monkeypatch.setattr(conversion, "mask_polygons", broken)
    source = RECORDINGS / "export_shapes_own.json"
    status, content = export(tmp_path, source, "--segmentation", "polygon")
    assert status == 3
    assert "brush region 'brush1': it cannot be converted" in capsys.readouterr().err
    assert [found["region_id"] for found in content["annotations"]] == [
        *("polygon1", "rectangle1", "keypoint1")
    ]


def test_image_that_a_task_lacks_does_not_hide_its_other_one(tmp_path, capsys):
    config = tmp_path / "two.xml"
    tags = "".join(f'<Image name="{name}" value="${name}"/>' for name in ("left", "right"))
    brush = '<BrushLabels name="brush" toName="left"><Label value="Cat"/></BrushLabels>'
    config.write_text(f"<View>{tags}{brush}</View>")
    on_left = task(1, region(square(), to_name="left"))
    on_left["data"] = {"left": PICTURE}
    status, content = export(tmp_path, saved(tmp_path, on_left), "--labeling-config", config)
    assert status == 3
    assert "task 1: there is no image in 'right'" in capsys.readouterr().err
    assert [found["area"] for found in content["annotations"]] == [400]


def test_leftover_clicks_of_smart_tools_are_noted_and_not_exported(tmp_path, capsys):
    body = recording("kp_empty_result")["body"]
    _, content = export(tmp_path, saved(tmp_path, *body["tasks"]), "--alpha", 127)
    assert content["annotations"] == []
    assert "1 clicks of smart tools that were saved" in capsys.readouterr().err


def test_shapes_can_be_chosen(tmp_path, capsys):
    source = RECORDINGS / "export_shapes_own.json"
    _, content = export(tmp_path, source, "--shapes", "brush,polygon")
    assert [found["area"] for found in content["annotations"]] == [260, 384]
    assert "note: 1 ellipse regions, by --shapes" in capsys.readouterr().err


def test_object_smaller_than_the_tolerance_keeps_its_pixels(tmp_path):
    mask = np.zeros(SIZE_HW, bool)
    mask[10, 10] = mask[20:22, 30:32] = True
    source = saved(tmp_path, task(1, region(mask)))
    _, content = export(tmp_path, source, "--segmentation", "polygon", "--tolerance", "9")
    [annotation] = content["annotations"]
    assert 1 <= annotation["area"] <= 5


@pytest.mark.parametrize("tolerance", ["0", "1"])
def test_polygons_keep_holes_and_parts(tmp_path, tolerance):
    mask = square(hole=True) | square(left=35)
    source = saved(tmp_path, task(1, region(mask)))
    _, content = export(tmp_path, source, "--segmentation", "polygon", "--tolerance", tolerance)
    [annotation] = content["annotations"]
    assert len(annotation["segmentation"]) == 2
    [again] = loaded(tmp_path / "instances.json")
    np.testing.assert_array_equal(again.astype(bool), mask)
    assert annotation["area"] == mask.sum()


def test_polygon_region_keeps_its_own_points(tmp_path):
    source = RECORDINGS / "export_shapes_own.json"
    options = ["--segmentation", "polygon", "--shapes", "polygon,rectangle"]
    _, content = export(tmp_path, source, *options)
    polygon, rectangle = (found["segmentation"] for found in content["annotations"])
    assert polygon == [[6, 4, 30, 4, 30, 20, 6, 20]]
    assert len(rectangle[0]) == 8


def test_split_puts_every_image_and_its_masks_on_one_side(tmp_path):
    tasks = [task(number, region(square())) for number in range(1, 11)]
    status, _ = export(tmp_path, saved(tmp_path, *tasks), "--val", "0.2", "--seed", "1")
    assert status == 0
    sides = [
        json.loads((tmp_path / f"instances_{split}.json").read_text()) for split in ("train", "val")
    ]
    assert [len(side["images"]) for side in sides] == [8, 2]
    assert sides[0]["categories"] == sides[1]["categories"]
    for side in sides:
        images = [image["id"] for image in side["images"]]
        assert Counter(found["image_id"] for found in side["annotations"]) == Counter(images)


def test_torchvision_reads_images_and_masks(tmp_path):
    source = saved(tmp_path, task(1, region(square())), task(2, region(square(hole=True))))
    export(tmp_path, source, "--images", "download")
    dataset = CocoDetection(tmp_path / "images", tmp_path / "instances.json")
    assert len(dataset) == 2
    picture, targets = dataset[1]
    assert picture.size == (60, 40)
    assert (dataset.coco.annToMask(targets[0]) == square(hole=True)).all()


def test_second_export_of_the_same_tasks_writes_the_same_bytes(tmp_path):
    export(tmp_path / "a", RING)
    export(tmp_path / "b", RING)
    first, second = ((tmp_path / name / "instances.json").read_bytes() for name in "ab")
    assert first == second


def test_export_that_fails_leaves_the_earlier_one_as_it_was(tmp_path, capsys):
    export(tmp_path, RING)
    before = (tmp_path / "instances.json").read_bytes()
    cut = tmp_path / "cut.json"
    cut.write_bytes(RING.read_bytes()[:-200])
    assert export(tmp_path, cut)[0] == 1
    assert "cut.json': it is damaged" in capsys.readouterr().err
    assert (tmp_path / "instances.json").read_bytes() == before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["cut.json", "instances.json"]


def test_export_that_ends_early_does_not_wait_for_slow_hosts(tmp_path, monkeypatch):
    over, waited = threading.Event(), threading.Event()
    fetch = ImageLoader.fetch

    def fetch_slowly(self, uri, *, task_id, project):
        if task_id == 2:
            over.wait(30)
            waited.set()
        return fetch(self, uri, task_id=task_id, project=project)

    def fail(*_, **__):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(ImageLoader, "fetch", fetch_slowly)
    monkeypatch.setattr(ImageFiles, "place", fail)
    source = saved(tmp_path, task(1, region(square())), task(2, region(square())))
    assert export(tmp_path, source, "--images", "download")[0] == 1
    assert not waited.is_set()
    over.set()


def test_folder_that_cannot_be_written_is_named(tmp_path, capsys):
    (tmp_path / "file").write_text("")
    assert export(tmp_path / "file", RING)[0] == 1
    assert "cannot write to" in capsys.readouterr().err


def test_project_needs_a_label_studio(tmp_path, capsys):
    assert main(["export-coco", "--project", "1", "--out", str(tmp_path)]) == 1
    assert "LABEL_STUDIO_URL is not set" in capsys.readouterr().err


@pytest.mark.parametrize(
    "arguments",
    [
        pytest.param([], id="no-source"),
        pytest.param(["--project", "1", "--from", "a.json"], id="two-sources"),
        pytest.param(["--from", "a.json", "--val", "1.5"], id="val"),
        pytest.param(["--from", "a.json", "--alpha", "255"], id="alpha"),
        pytest.param(["--from", "a.json", "--shapes", "circle"], id="shapes"),
        pytest.param(["--from", "a.json", "--tolerance", "-1"], id="tolerance"),
    ],
)
def test_wrong_arguments_are_refused(tmp_path, arguments):
    with pytest.raises(SystemExit) as caught:
        main(["export-coco", "--out", str(tmp_path), *arguments])
    assert caught.value.code == 2


def test_copy_needs_a_folder_to_copy_from(tmp_path, capsys):
    assert export(tmp_path, RING, "--images", "copy")[0] == 2
    assert "--image-root" in capsys.readouterr().err


def test_supervision_reads_images_and_masks(tmp_path):
    source = saved(
        tmp_path,
        task(1, region(square(hole=True)), region(square(left=35), 2, label="Dog")),
        task(2),
    )
    export(tmp_path, source, "--images", "download")
    dataset = supervision.DetectionDataset.from_coco(
        str(tmp_path / "images"), str(tmp_path / "instances.json"), force_masks=True
    )
    assert dataset.classes == ["Cat", "Dog"]
    (_, image, found), (_, _, nothing) = dataset
    assert image.shape == (*SIZE_HW, 3)
    assert found.class_id.tolist() == [0, 1]
    np.testing.assert_array_equal(found.mask, [square(hole=True), square(left=35)])
    assert len(nothing) == 0
