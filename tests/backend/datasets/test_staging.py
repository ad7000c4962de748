"""Where an export fails, what was there before is whole; originals are never written over."""

import json
import os
import re
from pathlib import Path

import pytest
from fake_model import png
from filelock import FileLock
from test_export_coco import SIZE_HW, export, region, saved, square, task

from backend.datasets import staging

COPY = ("--images", "copy", "--image-root")
COLORS = {"red": (200, 0, 0), "green": (0, 200, 0)}


def pictures(folder, *names, color="red"):
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(png(*SIZE_HW, color=COLORS[color]))
    return folder


def tasks_of(*names, **more):
    return [
        task(number, region(square()), uri=f"http://host/{name}", **more)
        for number, name in enumerate(names, 1)
    ]


def content(folder):
    """Every file below a folder, with its bytes."""
    files = (path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


@pytest.mark.parametrize("form", ["coco", "yolo-seg"])
def test_failing_run_leaves_the_earlier_export_whole_images_too(tmp_path, form):
    red, green = (pictures(tmp_path / color, "a.png", color=color) for color in COLORS)
    out = tmp_path / "out"
    good = saved(tmp_path, *tasks_of("a.png"))
    assert export(out, good, *COPY, red, "--format", form)[0] == 0
    before = content(out)
    cut = tmp_path / "cut.json"
    cut.write_bytes(good.read_bytes()[:-1])
    assert export(out, cut, *COPY, green, "--format", form)[0] == 1
    assert content(out) == before
    assert not list(out.glob(".*"))


def test_second_export_replaces_the_images_of_the_first(tmp_path):
    red, green = (pictures(tmp_path / color, "a.png", color=color) for color in COLORS)
    source = saved(tmp_path, *tasks_of("a.png"))
    for root in (red, green):
        assert export(tmp_path / "out", source, *COPY, root)[0] == 0
        found = (tmp_path / "out/images/a.png").read_bytes()
        assert found == (root / "a.png").read_bytes()


def test_second_run_at_the_same_time_is_refused(tmp_path, capsys):
    out = tmp_path / "out"
    out.mkdir()
    with FileLock(out / staging.LOCK):
        assert export(out, saved(tmp_path, *tasks_of("a.png")))[0] == 1
    assert "another export is writing to" in capsys.readouterr().err
    assert not (out / "instances.json").exists()


def test_what_a_killed_run_left_is_removed(tmp_path):
    left = tmp_path / "out" / f"{staging.PREFIX}x" / "images"
    left.mkdir(parents=True)
    assert export(tmp_path / "out", saved(tmp_path, *tasks_of("a.png")))[0] == 0
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["instances.json"]


@pytest.mark.parametrize("transfer", ["copy", "link"])
@pytest.mark.parametrize("way", ["itself", "symlink", "dots"])
def test_originals_are_left_alone_by_whatever_path_they_are_the_target(tmp_path, transfer, way):
    root = pictures(tmp_path / "out" / "images", "a.png", "more.png")
    before = content(root)
    (tmp_path / "link").symlink_to(root)
    given = {"itself": root, "symlink": tmp_path / "link", "dots": root / ".." / "images"}[way]
    options = ("--images", transfer, "--image-root", given)
    for _ in range(2):
        assert export(tmp_path / "out", saved(tmp_path, *tasks_of("a.png")), *options)[0] == 0
        assert content(root) == before
        assert not any(path.is_symlink() for path in root.iterdir())


def test_another_original_is_not_written_over(tmp_path, capsys):
    root = pictures(tmp_path / "out" / "images", "a.png")
    pictures(root, "set/a.png", color="green")
    before = content(root)
    status, found = export(
        tmp_path / "out", saved(tmp_path, *tasks_of("set/a.png", "a.png")), *COPY, root
    )
    assert status == 3
    assert "one of the originals" in capsys.readouterr().err
    assert content(root).items() >= before.items()
    assert all((root / image["file_name"]).exists() for image in found["images"])


@pytest.mark.parametrize("name", ["instances.json", "instances_val.json", "data.yaml"])
def test_sources_are_not_written_over(tmp_path, capsys, name):
    source = saved(tmp_path, *tasks_of("a.png"))
    source = source.rename(tmp_path / name)
    before = source.read_bytes()
    (tmp_path / "link").symlink_to(tmp_path)
    for out in (tmp_path, tmp_path / "link"):
        assert export(out, source)[0] == 1
        assert "would be written over" in capsys.readouterr().err
    assert source.read_bytes() == before


def test_split_leaves_no_file_of_an_unsplit_export_and_no_other_is_removed(tmp_path):
    out = tmp_path / "out"
    source = saved(tmp_path, *tasks_of("a.png", "b.png"))
    split, unsplit = ["instances_train.json", "instances_val.json"], ["instances.json"]
    for options, names in (((), unsplit), (("--val", "0.5"), split), ((), unsplit)):
        export(out, source, *options)
        assert sorted(path.name for path in out.iterdir()) == names
    (out / "instances.json").write_text('{"info": {}, "images": []}')
    export(out, source, "--val", "0.5")
    assert (out / "instances.json").read_text() == '{"info": {}, "images": []}'


@pytest.mark.parametrize(
    ("first", "second"),
    [
        pytest.param("a.png", "a.png/b.png", id="file-and-folder"),
        pytest.param("a.png/b.png", "a.png", id="folder-and-file"),
        pytest.param("A.png", "a.PNG", id="case"),
        pytest.param("d/" * 2100 + "a.png", "b.png", id="4200-characters"),
        pytest.param(".b.png.part", "b.png", id="part"),
        pytest.param("..", "b.png", id="dots"),
    ],
)
def test_odd_names_lose_no_image(tmp_path, first, second):
    root = pictures(tmp_path / "root", "1.png", "2.png")
    tasks = [
        task(
            number, region(square()), uri=f"http://h/{number}.png", meta={"coco": {"file_name": n}}
        )
        for number, n in enumerate((first, second), 1)
    ]
    status, found = export(tmp_path / "out", saved(tmp_path, *tasks), *COPY, root)
    assert status == 0
    names = [image["file_name"].lower() for image in found["images"]]
    assert len(set(names)) == 2
    assert len(content(tmp_path / "out" / "images")) == 2


def test_image_that_cannot_be_read_is_listed(tmp_path, capsys, monkeypatch):
    root = pictures(tmp_path / "root", "a.png", "b.png")
    opened = Path.open

    def refuse(path, *arguments, **more):
        if path.name == "a.png":
            raise PermissionError(13, "Permission denied", str(path))
        return opened(path, *arguments, **more)

    monkeypatch.setattr(Path, "open", refuse)
    status, found = export(
        tmp_path / "out", saved(tmp_path, *tasks_of("a.png", "b.png")), *COPY, root
    )
    assert (status, len(found["images"])) == (3, 1)
    assert re.search("task 1: cannot read image of task 1, .*denied", capsys.readouterr().err)


def test_name_of_the_source_may_be_no_utf_8(tmp_path):
    source = Path(os.fsdecode(os.fsencode(tmp_path) + b"/caf\xe9.json"))
    saved(tmp_path, *tasks_of("a.png")).rename(source)
    status, found = export(tmp_path / "out", source)
    assert (status, len(found["images"])) == (0, 1)
    assert json.dumps(found["info"], ensure_ascii=False).isprintable()
