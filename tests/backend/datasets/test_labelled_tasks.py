import json
from contextlib import closing
from urllib.parse import parse_qs, urlsplit

import pytest
from fake_label_studio import Host, error
from recordings import RECORDINGS

from backend.core.errors import DatasetError, LabelStudioError
from backend.datasets.labelled_regions import read_regions
from backend.datasets.labelled_tasks import ExportFile, LabelledTask, ProjectTasks
from backend.label_studio.client import LabelStudio

PROJECT = (
    b'{"id": 7, "created_at": "2026-11-22T12:26:43Z", "label_config": "<View/>", "task_number": 7}'
)


def read(path):
    return list(ExportFile(path).tasks(lambda _bytes: None))


def write(path, content):
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return path


def test_json_export_is_read_task_by_task():
    first, *_, last = read(RECORDINGS / "export_ring.json")
    assert (first.id, last.id) == (10, 12)
    assert first.data == {"image": "/data/upload/4/6540a205-cat_remote.jpg"}
    assert first.annotations[0]["result"][0]["id"] == "ringpart"


@pytest.mark.parametrize("kind", ["own", "shared"])
def test_json_min_gives_the_tasks_of_the_json_export(kind):
    """Data, annotations and the shapes with their labels; JSON_MIN has no ids of regions."""
    full = read(RECORDINGS / f"export_shapes_{kind}.json")
    flat = read(RECORDINGS / f"export_shapes_{kind}_json_min.json")
    for task, other in zip(full, flat, strict=True):
        assert task.id == other.id
        assert task.data.items() <= other.data.items()
        for annotation, again in zip(task.annotations, other.annotations, strict=True):
            assert annotation["id"] == again["id"]
            assert annotation["updated_at"] == again["updated_at"]
            assert shapes(annotation["result"]) == shapes(again["result"])


def shapes(results):
    """What each region of a known shape is, without its id."""
    found = {}
    for result in results:
        if result["type"] not in ("choices", "labels"):
            value = {key: item for key, item in result["value"].items() if "original" not in key}
            found.setdefault(result["id"], (result["type"], json.dumps(value, sort_keys=True)))
    return sorted(found.values())


def test_json_min_joins_the_annotations_of_a_task(tmp_path):
    records = [
        {"id": 1, "image": "a.jpg", "annotation_id": 5, "annotator": 1},
        {"id": 1, "image": "a.jpg", "annotation_id": 6, "annotator": 2},
        {"id": 2, "image": "b.jpg"},
    ]
    tasks = read(write(tmp_path / "min.json", records))
    assert [[found["id"] for found in task.annotations] for task in tasks] == [[5, 6], []]


def untouched_record(*controls):
    """Of an imported annotation that nobody saved since: labels without the shape they are of."""
    size = {"original_width": 60, "original_height": 40}
    shapes = {name: [{"points": [[number, 0]], **size}] for number, name in enumerate(controls)}
    labels = [{"labels": [name], **size} for name in controls]
    return {"id": 1, "image": "a.jpg", "annotation_id": 5, **shapes, "label": labels}


def test_json_min_pairs_bare_labels_with_shapes_by_their_order(tmp_path):
    [task] = read(write(tmp_path / "min.json", [untouched_record("mask")]))
    [region] = read_regions(task.annotations[0]["result"])
    assert (region.shape, region.labels) == ("polygon", ("mask",))


def test_json_min_does_not_guess_the_labels_of_several_controls(tmp_path):
    [task] = read(write(tmp_path / "min.json", [untouched_record("mask", "box")]))
    for fault in read_regions(task.annotations[0]["result"]):
        assert "export the project as JSON instead" in str(fault)


def test_tasks_that_were_not_imported_yet_are_numbered(tmp_path):
    tasks = [{"data": {"image": name}, "annotations": []} for name in ("a.jpg", "b.jpg")]
    assert [task.id for task in read(write(tmp_path / "tasks.json", tasks))] == [1, 2]


def test_progress_reaches_the_size_of_the_file():
    file = ExportFile(RECORDINGS / "export_ring.json")
    read_bytes = []
    list(file.tasks(read_bytes.append))
    assert sum(read_bytes) == file.size


@pytest.mark.parametrize(
    ("content", "words"),
    [
        pytest.param("", "damaged", id="empty"),
        pytest.param('{"a": 1}', "no list of tasks", id="object"),
        pytest.param('[{"id": 1, "data": {"image": "a"}, "annotations": [', "damaged", id="cut"),
        pytest.param("<html></html>", "damaged", id="html"),
        pytest.param([1, 2], "Expected `object`, got `int`", id="numbers"),
        pytest.param([{"id": "x", "image": "a.jpg"}], "'x'", id="json-min-without-number"),
        pytest.param("[" * 3000 + "]" * 3000, "nested too deep", id="deep"),
        pytest.param('{"images": [1]}', "no list of tasks", id="coco"),
        pytest.param(
            [{"id": 1, "data": {"image": "a"}, "annotations": {}}],
            "Expected `array . null`, got `object`",
            id="no-annotations",
        ),
        pytest.param(
            [{"id": 1, "data": {"image": "a"}, "annotations": [3]}], "annotations", id="number"
        ),
    ],
)
def test_export_file_that_is_none_is_named(tmp_path, content, words):
    path = write(tmp_path / "export.json", content)
    with pytest.raises(DatasetError, match=words):
        read(path)


def test_missing_export_file_is_named(tmp_path):
    with pytest.raises(DatasetError, match=r"nowhere\.json': No such file"):
        ExportFile(tmp_path / "nowhere.json")


def test_empty_list_of_tasks_is_one(tmp_path):
    assert read(write(tmp_path / "export.json", "[]")) == []


@pytest.fixture
def host():
    with Host().running() as host:
        yield host


@pytest.fixture
def server(host):
    with closing(LabelStudio(host.url, "0123456789abcdef")) as server:
        yield server


def test_project_is_paged_by_id_so_that_changes_hide_no_task(host, server):
    """Task 2 goes between two pages; with pages by number task 4 would never be seen."""
    tasks = {number: {"id": number, "data": {"image": "a.jpg"}} for number in range(1, 8)}

    def answer(request):
        query = parse_qs(urlsplit(request.path).query)
        if "query" not in query:
            return PROJECT
        after = json.loads(query["query"][0])["filters"]["items"][0]["value"]
        assert query["fields"] == ["all"]
        assert query["resolve_uri"] == ["false"]
        page = [task for number, task in sorted(tasks.items()) if number > after][:3]
        if after == 0:
            del tasks[2]
        return json.dumps({"tasks": page}).encode()

    host.answer = answer
    counted = []
    found = list(ProjectTasks(server, 5).tasks(counted.append))
    assert [task.id for task in found] == [1, 2, 3, 4, 5, 6, 7]
    assert sum(counted) == 7


def test_images_are_known_by_what_tasks_note_and_by_their_addresses(host, server):
    tasks = [
        {"id": 1, "data": {"image": "a"}, "meta": {"coco": {"file_name": "x/a.jpg"}}},
        {"id": 2, "data": {"image": "b"}, "meta": {}},
        {"id": 3, "data": {"image": "c"}, "meta": ["a list", "is taken too"]},
    ]
    pages = [json.dumps({"tasks": tasks}).encode(), b'{"tasks": []}']
    host.answer = lambda request: pages.pop(0) if "query" in request.path else PROJECT
    assert ProjectTasks(server, 5).image_uris() == ({"x/a.jpg"}, ["b", "c"])


def test_project_that_is_not_there_is_named(host, server):
    host.answer = lambda _request: error(404, "No Project matches the given query.")
    with pytest.raises(LabelStudioError, match=r"404 to /api/projects/5/: No Project matches"):
        ProjectTasks(server, 5)


def test_task_of_another_type_is_named():
    with pytest.raises(DatasetError, match=r"task 3 .*\$\.drafts"):
        LabelledTask.from_json({"id": 3, "data": {"image": "a"}, "drafts": "none"})


GOOD = {"id": 1, "data": {"image": "a.jpg"}, "annotations": []}


@pytest.mark.parametrize(
    "odd",
    [
        pytest.param(b"5", id="number"),
        pytest.param(b"null", id="null"),
        pytest.param(b'"x"', id="text"),
        pytest.param(b'{"id":2,"data":"x"}', id="data-is-text"),
        pytest.param(b'{"id":true,"data":{"image":"a"}}', id="id-is-a-bool"),
        pytest.param(b'{"id":[],"data":{"image":"a"}}', id="id-is-a-list"),
        pytest.param(b'{"data":{"image":"a"},"annotations":[5]}', id="annotation-is-a-number"),
        pytest.param(b'{"data":{"image":"a"},"meta":NaN}', id="nan"),
        pytest.param(b'{"data":{"image":"a"},"meta":1e999}', id="infinity"),
        pytest.param(b'{"data":{"image":"\\ud83d"}}', id="half-a-character"),
        pytest.param(b'{"data":{"image":"\xff"}}', id="no-utf-8"),
        pytest.param(b'{"data":' + b"[" * 3000 + b"]" * 3000 + b"}", id="deep"),
        pytest.param(b'{"id":1' + b"0" * 5000 + b',"data":{"image":"a"}}', id="huge-number"),
    ],
)
@pytest.mark.parametrize("place", ["first", "last"])
def test_item_that_is_no_task_loses_no_other(tmp_path, odd, place):
    good = json.dumps(GOOD).encode()
    path = tmp_path / "export.json"
    path.write_bytes(b"[" + b",".join([odd, good] if place == "first" else [good, odd]) + b"]")
    found = read(path)
    assert [task.id for task in found if isinstance(task, LabelledTask)] == [1]
    [fault] = [task for task in found if isinstance(task, DatasetError)]
    assert "is no task that can be read" in str(fault)


def test_records_that_are_none_lose_no_others(tmp_path):
    records = [{"id": 1, "image": "a.jpg"}, 5, {"id": [], "image": "b"}, {"id": 2, "image": "c"}]
    found = read(write(tmp_path / "min.json", records))
    assert [task.id for task in found if isinstance(task, LabelledTask)] == [1, 2]
    assert sum(isinstance(task, DatasetError) for task in found) == 2


def test_json_min_keeps_equal_shapes_and_takes_answers_for_no_shape(tmp_path):
    size = {"original_width": 60, "original_height": 40}
    shape = {"points": [[1, 1], [9, 1], [9, 9]], **size}
    labels = [{"labels": [name], **shape} for name in ("Cat", "Dog")]
    record = {"id": 1, "image": "a.jpg", "annotation_id": 5, "mask": [shape, shape], "l": labels}
    record["occluded"] = [{"choices": ["partly"], **shape}]
    [task] = read(write(tmp_path / "min.json", [record]))
    found = list(read_regions(task.annotations[0]["result"]))
    assert [region.labels for region in found] == [("Cat",), ("Dog",)]
