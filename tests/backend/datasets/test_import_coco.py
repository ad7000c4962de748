"""import-coco from end to end, and back through export-coco."""

import json
from pathlib import Path

import numpy as np
import pytest
from fake_model import png
from pycocotools.coco import COCO
from test_coco_reader import BOX, CATEGORY, IMAGE, SQUARE, compressed

from backend.cli import main
from backend.codecs.brush import decode_brush
from backend.datasets.coco_tasks import make_labeling_config
from backend.labeling.parse_config import parse_labeling_config

COCO_SMALL = Path(__file__).parents[4] / "shared" / "data" / "coco_small"
DOG = {"id": 3, "name": 'Dog & "Co" <1>', "supercategory": ""}
MASK = {**BOX, "segmentation": compressed(SQUARE)}


def coco_file(folder, *annotations, images=(IMAGE,), categories=(CATEGORY, DOG)):
    path = folder / "instances.json"
    content = {"images": images, "categories": categories, "annotations": annotations}
    path.write_text(json.dumps(content))
    return path


def import_(folder, source, *options):
    """Exit status, and the tasks that were written."""
    out = folder / "tasks.json"
    status = main(
        ["import-coco", str(source), "--out", str(out), "--image-url", "http://h/", *options]
    )
    return status, json.loads(out.read_text()) if out.exists() else None


def exported(folder):
    """The COCO file that comes back of what was imported."""
    config = ["--labeling-config", str(folder / "tasks.xml")]
    out = ["--out", str(folder / "back")]
    assert main(["export-coco", "--from", str(folder / "tasks.json"), *out, *config]) == 0
    return COCO(folder / "back" / "instances.json")


def identical_masks(before, after):
    """How many annotations have the same mask, category and file name, of how many."""
    images = {image["file_name"]: image for image in after.imgs.values()}
    same = 0
    for image in before.imgs.values():
        again = images[image["file_name"]]
        assert (again["height"], again["width"]) == (image["height"], image["width"])
        pairs = zip(
            before.loadAnns(before.getAnnIds(image["id"])),
            after.loadAnns(after.getAnnIds(again["id"])),
            strict=True,
        )
        same += sum(
            first["category_id"] == second["category_id"]
            and first["iscrowd"] == second["iscrowd"]
            and np.array_equal(before.annToMask(first), after.annToMask(second))
            for first, second in pairs
        )
    return same, len(before.anns)


@pytest.mark.parametrize("kind", ["annotations", "predictions"])
def test_object_becomes_a_brush_region(tmp_path, kind):
    status, [task] = import_(tmp_path, coco_file(tmp_path, MASK), "--as", kind)
    assert status == 0
    assert task["data"] == {"image": "http://h/a.jpg"}
    [holder] = task[kind]
    region, label = holder["result"]
    assert (region["type"], region["from_name"], region["to_name"]) == ("brush", "mask", "image")
    assert (label["type"], label["from_name"], label["id"]) == ("labels", "label", region["id"])
    assert label["value"]["labels"] == ["Cat"]
    np.testing.assert_array_equal(decode_brush(region["value"]["rle"], 40, 60), SQUARE)


def test_score_of_a_prediction_is_kept(tmp_path):
    scored = [{**MASK, "id": number, "score": number / 10} for number in (2, 4)]
    _, [task] = import_(tmp_path, coco_file(tmp_path, *scored), "--as", "predictions")
    [prediction] = task["predictions"]
    assert prediction["score"] == pytest.approx(0.3)
    assert [region["score"] for region in prediction["result"]] == [0.2, 0.2, 0.4, 0.4]


def test_box_without_mask_becomes_a_rectangle(tmp_path):
    _, [task] = import_(tmp_path, coco_file(tmp_path, BOX))
    region, _label = task["annotations"][0]["result"]
    assert (region["type"], region["from_name"]) == ("rectangle", "box")
    assert exported(tmp_path).anns[1]["bbox"] == BOX["bbox"]


def test_image_without_objects_is_not_taken_for_annotated(tmp_path):
    _, [task] = import_(tmp_path, coco_file(tmp_path))
    assert "annotations" not in task


@pytest.mark.parametrize("shape", ["brush", "bitmask", "polygon"])
def test_shape_can_be_chosen_and_comes_back(tmp_path, shape):
    source = coco_file(tmp_path, {**BOX, "segmentation": [[5.1, 10, 25, 10.3, 25, 20.7]]})
    _, [task] = import_(tmp_path, source, "--shape", shape)
    region, _label = task["annotations"][0]["result"]
    assert region["type"] == shape
    assert identical_masks(COCO(source), exported(tmp_path)) == (1, 1)


def test_crowd_comes_back_as_one(tmp_path):
    source = coco_file(tmp_path, {**MASK, "iscrowd": 1})
    import_(tmp_path, source)
    assert identical_masks(COCO(source), exported(tmp_path)) == (1, 1)


def test_categories_come_back_with_ids_and_supercategories(tmp_path):
    import_(tmp_path, coco_file(tmp_path, MASK))
    assert list(exported(tmp_path).cats.values()) == [CATEGORY, DOG]


def test_labeling_config_of_the_categories_can_be_clicked():
    config = parse_labeling_config(make_labeling_config([CATEGORY, DOG], "brush"))
    config.require_usable()
    assert list(config.labels) == ["Cat", DOG["name"]]


def test_coco_small_comes_back_with_the_same_masks_categories_and_names(tmp_path):
    source = COCO_SMALL / "instances.json"
    if not source.exists():
        pytest.skip("the shared data set coco_small is not here")
    assert import_(tmp_path, source)[0] == 0
    before, after = COCO(source), exported(tmp_path)
    assert identical_masks(before, after) == (1118, 1118)
    assert list(after.cats.values()) == list(before.cats.values())


def test_own_labeling_config_is_used(tmp_path):
    xml = (
        '<View><Image name="i" value="$pic"/><BrushLabels name="b" toName="i">'
        '<Label value="Cat"/></BrushLabels></View>'
    )
    (tmp_path / "own.xml").write_text(xml)
    source = coco_file(tmp_path, MASK, categories=[CATEGORY])
    _, [task] = import_(tmp_path, source, "--labeling-config", str(tmp_path / "own.xml"))
    assert task["data"] == {"pic": "http://h/a.jpg"}
    [region] = task["annotations"][0]["result"]
    assert (region["type"], region["from_name"]) == ("brushlabels", "b")
    assert region["value"]["brushlabels"] == ["Cat"]


@pytest.mark.parametrize(
    ("xml", "words"),
    [
        pytest.param('<Image name="i" value="$i"/>', "no control that takes", id="no-control"),
        pytest.param(
            '<Image name="i" value="$i"/><BrushLabels name="b" toName="i"><Label value="Cow"/>'
            "</BrushLabels>",
            "no label 'Cat'",
            id="no-label",
        ),
        pytest.param("<Image", "not XML", id="broken"),
    ],
)
def test_labeling_config_that_does_not_fit_is_named(tmp_path, capsys, xml, words):
    (tmp_path / "own.xml").write_text(f"<View>{xml}</View>")
    options = ["--labeling-config", str(tmp_path / "own.xml")]
    status, tasks = import_(tmp_path, coco_file(tmp_path, MASK), *options)
    assert (status, tasks) == (1, None)
    assert words in capsys.readouterr().err


def test_damaged_annotations_are_listed_and_the_rest_comes_in(tmp_path, capsys):
    damaged = {**MASK, "id": 7, "segmentation": compressed(SQUARE[:, :30])}
    lost = {**MASK, "id": 8, "image_id": 99}
    status, [task] = import_(tmp_path, coco_file(tmp_path, damaged, lost, MASK))
    assert status == 3
    assert len({region["id"] for region in task["annotations"][0]["result"]}) == 1
    out, said = capsys.readouterr()
    assert "1 images with 1 objects" in out
    assert "2 could not be imported" in said
    assert "annotation 7: its run lengths are of 30 x 40 pixels" in said
    assert "annotation 8: no image has the id 99" in said


def test_address_of_the_images_is_needed(tmp_path, capsys):
    source = coco_file(tmp_path, MASK)
    assert main(["import-coco", str(source), "--out", str(tmp_path / "t.json")]) == 1
    assert "--image-url" in capsys.readouterr().err
    assert not (tmp_path / "t.json").exists()


def played_project(host, known=(), uploaded=()):
    """A project as Label Studio answers for one; returns the list of what was imported."""
    imported = []
    tasks = [{"id": 1, "data": {"image": "x"}, "meta": {"coco": {"file_name": n}}} for n in known]
    tasks += [{"id": 9, "data": {"image": uri}} for uri in uploaded]
    xml = make_labeling_config([CATEGORY, DOG], "brush")
    uploads, made = [], []

    def answer(request):  # noqa: PLR0911 - one for each route
        path, _, query = request.path.partition("?")
        if (request.method, path) == ("POST", "/api/projects/"):
            made.append(json.loads(request.body))
            return 201, {}, b'{"id": 5}'
        if path == "/api/projects/":
            created = "2026-11-22T12:26:43.480074Z"
            found = [{"id": 5, "title": one["title"], "created_at": created} for one in made]
            return json.dumps({"count": len(found), "results": found}).encode()
        if path == "/api/projects/5/":
            project = {"id": 5, "created_at": "2026-11-22T12:26:43.480074Z", "label_config": xml}
            return json.dumps(project | {"task_number": len(tasks)}).encode()
        if path == "/api/tasks/":
            page, tasks[:] = list(tasks), []
            return json.dumps({"tasks": page}).encode()
        if path == "/api/projects/5/import" and "commit_to_project=false" in query:
            names = [part.split(b'"')[0].decode() for part in request.body.split(b'filename="')[1:]]
            numbers = [len(uploads) + index for index in range(len(names))]
            uploads.extend(names)
            return 201, {}, json.dumps({"file_upload_ids": numbers}).encode()
        if path.startswith("/api/import/file-upload/"):
            name = uploads[int(path.rpartition("/")[2])]
            return json.dumps({"file": f"upload/5/{name}"}).encode()
        assert path == "/api/projects/5/import"
        imported.extend(json.loads(request.body))
        return 201, {}, b"{}"

    host.answer = answer
    return imported


def images_in(folder, *names):
    for name in names:
        path = folder / "pictures" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(png(40, 60))
    return [{**IMAGE, "id": number, "file_name": name} for number, name in enumerate(names, 4)]


def to_project(folder, source):
    options = ["--project", "5", "--image-root", str(folder / "pictures")]
    return main(["import-coco", str(source), *options])


def test_project_gets_its_images_uploaded(tmp_path, host):
    imported = played_project(host)
    images = images_in(tmp_path, "x/a.jpg", "y/a.jpg")
    assert to_project(tmp_path, coco_file(tmp_path, MASK, images=images)) == 0
    assert [task["data"]["image"] for task in imported] == ["/data/upload/5/a.jpg"] * 2
    assert [task["meta"]["coco"]["file_name"] for task in imported] == ["x/a.jpg", "y/a.jpg"]
    assert [len(task.get("annotations", ())) for task in imported] == [1, 0]


def test_second_import_brings_only_what_is_missing(tmp_path, host, capsys):
    imported = played_project(host, known=["a.jpg"])
    images = images_in(tmp_path, "a.jpg", "b.jpg")
    assert to_project(tmp_path, coco_file(tmp_path, images=images)) == 0
    assert [task["meta"]["coco"]["file_name"] for task in imported] == ["b.jpg"]
    assert "1 images were there already" in capsys.readouterr().err


def test_new_project_is_named_before_anything_can_interrupt_the_import(tmp_path, host, capsys):
    played_project(host)
    answer = host.answer
    host.answer = lambda request: (500, {}, b"") if "import" in request.path else answer(request)
    source = coco_file(tmp_path, images=images_in(tmp_path, "a.jpg"))
    options = ["--new", "Refine", "--image-root", str(tmp_path / "pictures")]
    assert main(["import-coco", str(source), *options]) == 1
    assert "--project 5 in place of --new goes on" in capsys.readouterr().err


@pytest.mark.parametrize(
    "name", ["gone.jpg", "../secret.jpg", "/etc/passwd", "link.jpg", "folder/secret.jpg", "a\0.jpg"]
)
def test_image_that_is_not_below_the_folder_stops_before_anything_is_sent(
    tmp_path, host, capsys, name
):
    imported = played_project(host)
    (tmp_path / "pictures").mkdir()
    (tmp_path / "secret.jpg").write_bytes(png(40, 60))
    (tmp_path / "pictures" / "link.jpg").symlink_to(tmp_path / "secret.jpg")
    (tmp_path / "pictures" / "folder").symlink_to(tmp_path)
    source = coco_file(tmp_path, images=[{**IMAGE, "file_name": name}])
    assert to_project(tmp_path, source) == 1
    assert f"{name!r} is not in" in capsys.readouterr().err
    assert imported == []


def test_project_needs_a_label_studio(tmp_path, capsys):
    assert main(["import-coco", str(coco_file(tmp_path, MASK)), "--new", "X"]) == 1
    assert "LABEL_STUDIO_URL is not set" in capsys.readouterr().err
