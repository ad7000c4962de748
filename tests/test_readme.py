"""What the README and the pages say is so: config, settings, commands, links and code."""

import re
import shlex
from dataclasses import fields
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from backend import cli
from backend.label_studio import projects
from backend.labeling.parse_config import parse_labeling_config
from backend.settings.settings import Settings

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()
DOCUMENTS = [*sorted(ROOT.glob("*.md")), *sorted((ROOT / "docs").rglob("*.md"))]


def code_blocks(language, text=README):
    return re.findall(rf"```{language}\n(.*?)```", text, re.DOTALL)


def settings_row(field):
    shown = f"{field.default:g}" if isinstance(field.default, float) else str(field.default)
    shown = shown.lower() if isinstance(field.default, bool) else shown
    shown = "" if field.default in (None, ()) else f"`{shown}`"
    return f"| `{field.metadata['variable']}` | {shown} | {field.metadata['meaning']} |"


def test_labeling_config_is_the_one_of_the_demo_and_usable():
    xml, *_ = code_blocks("xml", (ROOT / "docs" / "labeling-configs.md").read_text())
    assert xml == projects.LABELING_CONFIG
    parse_labeling_config(xml).require_usable()


@pytest.mark.parametrize("field", fields(Settings), ids=lambda field: field.metadata["variable"])
def test_setting_is_in_the_table_with_its_default(field):
    assert settings_row(field) in (ROOT / "docs" / "settings.md").read_text()


def test_readme_is_read_in_one_sitting():
    assert len(README.splitlines()) <= 150


def test_index_has_every_page():
    docs = ROOT / "docs"
    index = (docs / "README.md").read_text()
    pages = {path.name for path in docs.iterdir() if path.is_file()} - {"README.md"}
    assert [name for name in sorted(pages) if f"]({name})" not in index] == []


@pytest.mark.parametrize(
    "document",
    [*DOCUMENTS, ROOT / "docs" / "openapi.yaml"],
    ids=lambda path: str(path.relative_to(ROOT)),
)
def test_variables_that_a_document_names_are_settings(document):
    known = {field.metadata["variable"] for field in fields(Settings)}
    assert set(re.findall(r"MOBILESAM_\w+", document.read_text())) <= known


def test_no_figure_is_left_open():
    prose = re.sub(r"```.*?```", "", README, flags=re.DOTALL)
    left_open = {"CLICK", "BOX", "SCENES", "OBJECTS", "COCO_TEXT", "LOAD_TEXT", "TODO"}
    assert left_open.isdisjoint(re.findall(r"[A-Z_]+", prose))


def test_make_targets_exist():
    makefile = (ROOT / "Makefile").read_text()
    targets = set(re.findall(r"\bmake ([a-z]+)\b", README))
    assert targets >= {"demo", "serve", "test", "bench"}
    for target in targets:
        assert re.search(rf"^{target}:", makefile, re.MULTILINE), target


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_linked_files_exist(document):
    links = re.findall(r"\]\(([^)#]+)\)", document.read_text())
    for link in (link for link in links if "://" not in link):
        assert (document.parent / link).exists(), link


def test_python_example_runs(tmp_path, monkeypatch):
    (example,) = code_blocks("python")
    y, x = np.mgrid[0:720, 0:1280]
    image = np.full((720, 1280, 3), 60, np.uint8)
    image[np.hypot(x - 900, y - 370) < 150] = (200, 80, 80)
    Image.fromarray(image).save(tmp_path / "zidane.jpg")
    monkeypatch.chdir(tmp_path)
    names = {}
    exec(example.replace('"mobile_sam.pt"', '"demo"'), names)  # noqa: S102 - our own README
    assert names["result"].masks.shape == (1, 720, 1280)
    assert (tmp_path / "mask.png").exists()


def test_house_in_the_design_is_the_house_that_stands():
    design = (ROOT / "docs" / "design.md").read_text()
    for package in ("backend", "mobilesam"):
        (listed,) = re.findall(rf"^    {package}/.*\n((?:      .*\n)+)", design, re.MULTILINE)
        rooms = {path.parent.name for path in (ROOT / package).glob("*/__init__.py")}
        assert set(re.findall(r"^      (\w+)/", listed, re.MULTILINE)) == rooms


def test_tests_that_prove_a_promise_exist():
    tests = "".join(path.read_text() for path in (ROOT / "tests").rglob("*.py"))
    named = set(
        re.findall(r"`(?:[\w/.]+::)?(test_\w+)`", (ROOT / "docs/reliability.md").read_text())
    )
    assert len(named) > 40
    assert [name for name in sorted(named) if f"def {name}(" not in tests] == []


COMMAND = re.compile(r"^(?:.*`)?(python -m backend [^`#\n]+)", re.MULTILINE)


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_commands_of_the_service_are_ones_that_it_takes(document, monkeypatch):
    """Their arguments are parsed as by the command line; nothing is run."""
    find = cli._find
    ran = []

    def find_declarations(place):
        return find(place) if ":declare" in place else lambda *_: ran.append(place) or 0

    monkeypatch.setattr(cli, "_find", find_declarations)
    commands = [
        command
        for command in COMMAND.findall(document.read_text())
        if re.search(r" (serve|demo|connect|check)|--\w", command)
        and "..." not in command  # else a mention
    ]
    for command in commands:
        assert cli.main(shlex.split(command)[3:]) == 0, command
    assert len(ran) == len(commands)
    if document in (ROOT / "README.md", ROOT / "docs" / "coco.md"):
        assert len(commands) >= 3


@pytest.mark.parametrize(
    "page", sorted((ROOT / "docs" / "decisions").glob("0*.md")), ids=lambda path: path.stem
)
def test_decision_has_options_a_date_and_its_place_in_the_index(page):
    text = page.read_text()
    assert re.match(rf"# {int(page.name[:4])}\. .+\n\n\d{{4}}-\d\d-\d\d, accepted", text)
    parts = re.findall(r"^## (.+)$", text, re.MULTILINE)
    assert parts == ["Problem", "Rejected", "Decision", "Figure"]
    assert len(text.splitlines()) <= 60, "a decision is one page"
    assert f"]({page.name})" in page.with_name("README.md").read_text()
