from pathlib import Path
from tempfile import TemporaryDirectory

import cv2
import numpy as np
import pytest
import shapely
import yaml
from fake_model import png
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from test_export_coco import SIZE_HW, export, region, saved, square, task

from backend.codecs.polygons import mask_polygons
from backend.datasets.yolo_seg import joined_ring, write_yolo_seg


def labels(folder, split="train"):
    """File stem -> its lines, each as class and ring (N, 2) in pixels."""
    height, width = SIZE_HW
    found = {}
    for path in sorted((folder / "labels" / split).rglob("*.txt")):
        rows = [line.split() for line in path.read_text().splitlines()]
        found[path.stem] = [
            (int(row[0]), np.array(row[1:], float).reshape(-1, 2) * (width, height)) for row in rows
        ]
    return found


def drawn(ring):
    """As Ultralytics draws it, at ten times the size."""
    canvas = np.zeros((SIZE_HW[0] * 10, SIZE_HW[1] * 10), np.uint8)
    cv2.fillPoly(canvas, [np.round(ring * 10).astype(np.int32)], 1)
    return canvas[5::10, 5::10].astype(bool)


def test_folder_is_what_ultralytics_trains_on(tmp_path):
    source = saved(
        tmp_path,
        task(1, region(square(), label="Dog"), region(square(left=30), 2)),
        task(2),
        {**task(3, region(square())), "data": {"image": "http://host.invalid/gone.png"}},
    )
    out = tmp_path / "yolo"
    status, _ = export(out, source, "--format", "yolo-seg")
    assert status == 3  # the third image cannot be fetched
    assert sorted(path.name for path in (out / "images" / "train").iterdir()) == [
        "task_1.png",
        "task_2.png",
    ]
    found = labels(out)
    assert [(number, len(ring)) for number, ring in found["task_1"]] == [(1, 4), (0, 4)]
    np.testing.assert_array_equal(drawn(found["task_1"][0][1]), square())
    assert found["task_2"] == []
    assert yaml.safe_load((out / "data.yaml").read_text()) == {
        "path": str(out.resolve()),
        "train": "images/train",
        "val": "images/train",
        "names": {0: "Cat", 1: "Dog"},
    }


def test_split_has_images_and_labels_side_by_side(tmp_path):
    source = saved(tmp_path, *(task(number, region(square())) for number in range(1, 6)))
    export(tmp_path / "yolo", source, "--format", "yolo-seg", "--val", "0.4")
    for split, count in (("train", 3), ("val", 2)):
        images = sorted(path.stem for path in (tmp_path / "yolo/images" / split).iterdir())
        assert len(images) == count
        assert images == list(labels(tmp_path / "yolo", split))
    assert "val: images/val" in (tmp_path / "yolo/data.yaml").read_text()


def test_image_whose_name_begins_with_a_split_keeps_its_pixels(tmp_path):
    """As COCO files of several folders have them."""
    pictures = {
        "x.png": png(*SIZE_HW, color=(200, 0, 0)),
        "train/x.png": png(*SIZE_HW, color=(0, 200, 0)),
        "train/train/x.png": png(*SIZE_HW, color=(0, 0, 200)),
    }
    tasks = []
    for number, (name, picture) in enumerate(pictures.items(), 1):
        path = tmp_path / "root" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(picture)
        meta = {"coco": {"file_name": name}}
        tasks.append(task(number, region(square()), uri=f"http://host/{name}", meta=meta))
    copied = ("--images", "copy", "--image-root", tmp_path / "root")
    out = tmp_path / "yolo"
    assert export(out, saved(tmp_path, *tasks), "--format", "yolo-seg", *copied)[0] == 0
    places = [path for path in (out / "images").rglob("*") if path.is_file()]
    found = {str(path.relative_to(out / "images/train")): path.read_bytes() for path in places}
    assert found == pictures
    assert sorted(path.name for path in out.iterdir()) == ["data.yaml", "images", "labels"]


def test_labels_of_an_earlier_export_are_not_mixed_with_new_ones(tmp_path, capsys):
    source = saved(tmp_path, *(task(number, region(square())) for number in (1, 2)))
    options = ["--format", "yolo-seg", "--val", "0.5"]
    assert export(tmp_path / "yolo", source, *options)[0] == 0
    before = labels(tmp_path / "yolo", "train").keys()
    assert export(tmp_path / "yolo", source, *options, "--seed", "5")[0] == 1
    assert "labels of an earlier export" in capsys.readouterr().err
    assert labels(tmp_path / "yolo", "train").keys() == before


def test_object_with_hole_and_parts_is_one_line(tmp_path):
    mask = square(hole=True) | square(left=35)
    source = saved(tmp_path, task(1, region(mask)))
    export(tmp_path / "yolo", source, "--format", "yolo-seg", "--tolerance", "0")
    [(_, ring)] = labels(tmp_path / "yolo")["task_1"]
    wrong = drawn(ring) ^ mask
    assert wrong.sum() <= 20  # fillPoly draws the bridge and the slit a pixel of its canvas wide


def test_key_points_have_no_place_and_are_counted(tmp_path, capsys):
    point = {
        **region(square()),
        "type": "keypointlabels",
        "value": {"x": 1, "y": 1, "keypointlabels": ["Cat"]},
    }
    export(tmp_path / "yolo", saved(tmp_path, task(1, point)), "--format", "yolo-seg")
    assert labels(tmp_path / "yolo")["task_1"] == []
    assert "note: 1 key points and crowds" in capsys.readouterr().err


SQUARE = np.array([[0, 0], [10, 0], [10, 10], [0, 10]], float)


@pytest.mark.parametrize(
    ("rings", "area"),
    [
        pytest.param([SQUARE], 100, id="one"),
        pytest.param([SQUARE, SQUARE + 20], 200, id="two"),
        pytest.param([SQUARE, SQUARE * 2 + 20, SQUARE - 40, SQUARE + 50], 700, id="four"),
        pytest.param([SQUARE, SQUARE + 5], 175, id="overlapping"),
        pytest.param([SQUARE, SQUARE + 10], 200, id="touching-at-a-corner"),
        pytest.param([SQUARE[[0, 2, 1, 3]]], 50, id="crossing-itself"),
    ],
)
def test_joined_ring_is_simple_and_covers_all_parts(rings, area):
    polygon = shapely.Polygon(joined_ring(rings))
    assert polygon.is_valid
    assert polygon.area == pytest.approx(area, abs=0.5)


@settings(max_examples=50, deadline=None)
@given(st.lists(st.text(min_size=1).filter(lambda text: text.strip() == text), unique=True))
def test_whatever_a_label_holds_data_yaml_gives_it_back(labels):
    """As Ultralytics reads it: without what it holds for unprintable."""
    categories = [{"id": number, "name": name} for number, name in enumerate(labels, 1)]
    with TemporaryDirectory() as name:
        folder = Path(name)
        write_yolo_seg(folder, folder / "unsplit", [], categories, {"all": set()}, root=folder)
        text = (folder / "data.yaml").read_text(encoding="utf-8")
    assert text.replace("\n", "").isascii()
    assert yaml.safe_load(text)["names"] == dict(enumerate(labels))


def test_classes_are_the_categories_of_the_labels_where_they_count_from_0(tmp_path):
    config = tmp_path / "c.xml"
    labels_ = "".join(
        f'<Label value="{n}" category="{i}"/>' for n, i in (("c", 2), ("a", 0), ("b", 1))
    )
    config.write_text(
        '<View><Image name="image" value="$image"/>'
        f'<BrushLabels name="brush" toName="image">{labels_}</BrushLabels></View>'
    )
    source = saved(tmp_path, task(1, region(square(), label="c")))
    out = tmp_path / "yolo"
    assert export(out, source, "--format", "yolo-seg", "--labeling-config", config)[0] == 0
    assert labels(out)["task_1"][0][0] == 2
    assert yaml.safe_load((out / "data.yaml").read_text())["names"] == {0: "a", 1: "b", 2: "c"}


def test_images_leave_with_endings_and_formats_that_ultralytics_takes(tmp_path):
    root = tmp_path / "root"
    root.mkdir()
    Image.new("RGB", (60, 40)).save(root / "image.php", "JPEG")
    Image.new("RGB", (60, 40), "lime").save(root / "b.gif")
    uris = ("https://h/image.php?id=3", "https://h/b.gif")
    tasks = [task(number, region(square()), uri=uri) for number, uri in enumerate(uris, 1)]
    copied = ("--images", "copy", "--image-root", root)
    out = tmp_path / "yolo"
    assert export(out, saved(tmp_path, *tasks), "--format", "yolo-seg", *copied)[0] == 0
    kinds = {}
    for path in (out / "images" / "train").iterdir():
        with Image.open(path) as picture:
            kinds[path.name] = picture.format
    assert kinds == {"image.jpg": "JPEG", "b.png": "PNG"}


def test_outline_that_encloses_nothing_is_listed_and_the_rest_is_written(tmp_path, capsys):
    line = {
        **region(square(), 2),
        "type": "polygonlabels",
        "value": {"points": [[10, 10], [60, 10], [10, 10], [60, 10.4]], "polygonlabels": ["Cat"]},
    }
    bow_tie = {**line, "id": "r3", "value": {**line["value"]}}
    bow_tie["value"]["points"] = [[10, 10], [60, 60], [60, 10], [10, 60]]
    source = saved(tmp_path, task(1, line, bow_tie, region(square())))
    status, _ = export(tmp_path / "yolo", source, "--format", "yolo-seg")
    assert (status, len(labels(tmp_path / "yolo")["task_1"])) == (3, 2)
    assert "'r2'" in capsys.readouterr().err


def test_many_parts_become_one_ring():
    mask = np.zeros((120, 120), bool)
    mask[1:-1:6, 1:-1:6] = True
    parts = mask_polygons(mask, tolerance_px=0)
    joined = shapely.Polygon(joined_ring(parts))
    assert joined.is_valid
    assert joined.area == pytest.approx(len(parts), abs=3)
