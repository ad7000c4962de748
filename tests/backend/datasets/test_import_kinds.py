"""import-coco: what objects become, which images are there, and what is never written over."""

import numpy as np
import pytest
from fake_model import png
from pycocotools.coco import COCO
from test_coco_reader import BOX, CATEGORY, IMAGE, SQUARE, compressed
from test_import_coco import (
    MASK,
    coco_file,
    exported,
    images_in,
    import_,
    played_project,
    to_project,
)

from backend.cli import main

RING = [5, 10, 25, 10, 25, 20, 5, 20]
TWO_PARTS = [[0, 0, 10, 0, 10, 10, 0, 10], [40, 20, 59, 20, 59, 39, 40, 39]]
OTHERS = {
    "polygon-and-rectangle": "<PolygonLabels name='p' toName='i'><Label value='Cat'/>"
    "</PolygonLabels><RectangleLabels name='r' toName='i'><Label value='Cat'/></RectangleLabels>",
    "rectangle-alone": "<RectangleLabels name='r' toName='i'><Label value='Cat'/>"
    "</RectangleLabels>",
}


def own_config(folder, controls):
    (folder / "own.xml").write_text(f'<View><Image name="i" value="$pic"/>{controls}</View>')
    return ["--labeling-config", str(folder / "own.xml")]


@pytest.mark.parametrize(
    ("segmentation", "parts"),
    [
        pytest.param(TWO_PARTS, 2, id="two-polygons"),
        pytest.param(compressed(SQUARE | np.eye(40, 60, 20, dtype=bool)), None, id="rle"),
    ],
)
@pytest.mark.parametrize("how", ["--shape polygon", "polygon-and-rectangle"])
def test_polygon_project_gets_a_polygon_for_each_part_and_never_a_box(
    tmp_path, segmentation, parts, how
):
    options = how.split() if how.startswith("--") else own_config(tmp_path, OTHERS[how])
    source = coco_file(tmp_path, {**BOX, "segmentation": segmentation}, categories=[CATEGORY])
    status, [task] = import_(tmp_path, source, *options)
    assert status == 0
    shapes = [found for found in task["annotations"][0]["result"] if found["type"] != "labels"]
    assert {found["type"].removesuffix("labels") for found in shapes} == {"polygon"}
    assert parts is None or len(shapes) == parts
    before = COCO(source)
    config = tmp_path / ("tasks.xml" if how.startswith("--") else "own.xml")
    out = ["--out", str(tmp_path / "back"), "--labeling-config", str(config)]
    assert main(["export-coco", "--from", str(tmp_path / "tasks.json"), *out]) == 0
    after = COCO(tmp_path / "back" / "instances.json")
    together = np.any([after.annToMask(found) for found in after.anns.values()], axis=0)
    np.testing.assert_array_equal(together, before.annToMask(before.anns[1]).astype(bool))


def test_mask_never_becomes_a_box_unless_boxes_are_asked_for(tmp_path, capsys):
    source = coco_file(tmp_path, MASK, categories=[CATEGORY])
    options = own_config(tmp_path, OTHERS["rectangle-alone"])
    status, [task] = import_(tmp_path, source, *options)
    assert (status, "annotations" in task) == (3, False)
    assert "annotation 1 has a mask" in capsys.readouterr().err
    status, [task] = import_(tmp_path, source, *options, "--shape", "rectangle")
    assert (status, len(task["annotations"][0]["result"])) == (0, 1)


def test_key_point_comes_back_as_one(tmp_path):
    point = {"segmentation": [], "bbox": [20, 10, 0, 0], "keypoints": [20, 10, 2]}
    status, _ = import_(tmp_path, coco_file(tmp_path, {**BOX, **point}))
    assert status == 0
    [again] = exported(tmp_path).anns.values()
    assert (again["keypoints"], again["bbox"]) == ([20, 10, 2], [20, 10, 0, 0])


@pytest.mark.parametrize(
    "segmentation",
    [
        pytest.param([[10.1, 10.1, 10.4, 10.1, 10.4, 10.4]], id="below-a-pixel"),
        pytest.param({"size": [40, 60], "counts": [2400]}, id="no-pixel"),
    ],
)
@pytest.mark.parametrize("shape", ["brush", "bitmask", "polygon"])
def test_mask_without_a_pixel_is_listed(tmp_path, capsys, segmentation, shape):
    source = coco_file(tmp_path, {**BOX, "segmentation": segmentation}, MASK)
    status, [task] = import_(tmp_path, source, "--shape", shape)
    assert status == 3
    assert len({found["id"] for found in task["annotations"][0]["result"]}) == 1
    assert "it covers no pixel" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("prefix", "name", "address"),
    [
        pytest.param("http://h/", "my é+1.jpg", "http://h/my%20%C3%A9%2B1.jpg", id="http"),
        pytest.param("s3://b/set/", "my é+1.jpg", "s3://b/set/my é+1.jpg", id="key-of-a-store"),
        pytest.param(
            "/data/local-files/?d=x/",
            "a&b#c.jpg",
            "/data/local-files/?d=x/a%26b%23c.jpg",
            id="file",
        ),
        pytest.param("http://h/", "x\\a.jpg", "http://h/x/a.jpg", id="windows"),
        pytest.param("", "s3://b/a.jpg", "s3://b/a.jpg", id="is-a-key"),
        pytest.param("", "https://h/a%20.jpg?x=1", "https://h/a%20.jpg?x=1", id="is-an-address"),
        pytest.param("", "/data/local-files/?d=a.jpg", "/data/local-files/?d=a.jpg", id="is-local"),
    ],
)
def test_address_of_an_image_is_what_label_studio_takes(tmp_path, prefix, name, address):
    source = coco_file(tmp_path, MASK, images=[{**IMAGE, "file_name": name}])
    status, [task] = import_(tmp_path, source, "--image-url", prefix)
    assert (status, task["data"]["image"]) == (0, address)


def test_nothing_that_is_read_or_that_somebody_wrote_is_written_over(tmp_path, capsys):
    source = coco_file(tmp_path, MASK)
    before = source.read_bytes()
    command = ["import-coco", str(source), "--image-url", "http://h/", "--out"]
    (tmp_path / "link.json").symlink_to(source)
    (tmp_path / "hard.json").hardlink_to(source)
    for own in (
        "instances.json",
        "link.json",
        "hard.json",
        "../" + tmp_path.name + "/instances.json",
    ):
        assert main([*command, str(tmp_path / own)]) == 1
        assert "would be written over" in capsys.readouterr().err
    assert main([*command, str(tmp_path / "tasks.xml")]) == 1
    (tmp_path / "mine.xml").write_text("<View>by hand</View>")
    assert main([*command, str(tmp_path / "mine.json")]) == 1
    assert "mine.xml' is there" in capsys.readouterr().err
    assert source.read_bytes() == before
    assert (tmp_path / "mine.xml").read_text() == "<View>by hand</View>"
    assert not (tmp_path / "mine.json").exists()
    assert main([*command, str(tmp_path / "tasks.json")]) == 0
    assert main([*command, str(tmp_path / "tasks.json")]) == 0  # its own config may be there


def test_image_of_another_size_than_the_file_says_stops_before_anything_is_sent(
    tmp_path, host, capsys
):
    imported = played_project(host)
    images = images_in(tmp_path, "a.jpg", "b.jpg")
    (tmp_path / "pictures" / "b.jpg").write_bytes(png(60, 40))
    assert to_project(tmp_path, coco_file(tmp_path, MASK, images=images)) == 1
    assert "'b.jpg' is 60 x 40 in the COCO file" in capsys.readouterr().err
    assert imported == []


def test_image_that_was_uploaded_by_hand_is_there_already(tmp_path, host, capsys):
    uris = ["/data/upload/5/0123abcd-a_1.jpg", "/data/local-files/?d=set%5Cb.jpg", "s3://x/y/c.jpg"]
    imported = played_project(host, uploaded=uris)
    images = images_in(tmp_path, "x/a (1).jpg", "set/b.jpg", "z/c.jpg")
    assert to_project(tmp_path, coco_file(tmp_path, images=images)) == 0
    assert [task["meta"]["coco"]["file_name"] for task in imported] == ["z/c.jpg"]
    assert "2 images were there already" in capsys.readouterr().err


def test_new_twice_is_one_project(tmp_path, host, capsys):
    imported = played_project(host)
    source = coco_file(tmp_path, images=images_in(tmp_path, "a.jpg"))
    options = ["--new", "Refine", "--image-root", str(tmp_path / "pictures")]
    assert main(["import-coco", str(source), *options]) == 0
    assert "project 5 is made" in capsys.readouterr().err
    assert main(["import-coco", str(source), *options]) == 0
    assert "project 5 has this title" in capsys.readouterr().err
    assert {task["meta"]["coco"]["file_name"] for task in imported} == {"a.jpg"}


def test_backslash_is_a_folder_where_no_file_has_that_name(tmp_path, host):
    imported = played_project(host)
    images = [{**IMAGE, "file_name": "x\\a.jpg"}]
    images_in(tmp_path, "x/a.jpg")
    assert to_project(tmp_path, coco_file(tmp_path, images=images)) == 0
    assert len(imported) == 1


def test_escapes_of_a_terminal_are_shown_as_text(tmp_path, capsys):
    evil = {**MASK, "id": "\x1b[2J\x07", "image_id": 99}
    assert import_(tmp_path, coco_file(tmp_path, evil))[0] == 3
    assert "\x1b" not in capsys.readouterr().err
