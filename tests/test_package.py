"""The wheel, installed into an environment of its own, works from any folder.

What it depends on is lent by the environment of the tests, so that nothing is downloaded.
"""

import json
import os
import re
import subprocess
import sys
import sysconfig
import tomllib
from pathlib import Path

import numpy as np
import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from PIL import Image

import mobilesam

ROOT = Path(__file__).parents[1]
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
PROJECT = PYPROJECT["project"]


def requirements(lines):
    """Name -> requirement, of lines that may be comments or include other files."""
    texts = (line.partition("#")[0].strip() for line in lines)
    found = [Requirement(text) for text in texts if text and not text.startswith("-r ")]
    return {canonicalize_name(requirement.name): requirement for requirement in found}


@pytest.fixture(scope="module")
def installed(tmp_path_factory):
    """A function that runs an installed program in an empty folder and returns what it did."""
    place = tmp_path_factory.mktemp("package")
    pip = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check"]
    build = ["wheel", "--no-deps", "--no-build-isolation", "--wheel-dir", place, ROOT]
    subprocess.run([*pip, *build], check=True)
    [wheel] = place.glob("*.whl")
    environment = place / "environment"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", environment], check=True)
    [packages] = environment.glob("lib/python*/site-packages")
    (packages / "lent.pth").write_text(sysconfig.get_path("purelib"))
    target = ["--python", environment / "bin" / "python", "install", "--no-deps", "--no-index"]
    subprocess.run([*pip, *target, wheel], check=True)
    elsewhere = place / "elsewhere"
    elsewhere.mkdir()
    ours = ("MOBILESAM_", "LABEL_STUDIO_", "BASIC_AUTH_", "PYTHONPATH")
    variables = {name: value for name, value in os.environ.items() if not name.startswith(ours)}

    def run(program, *arguments, **settings):
        return subprocess.run(
            [environment / "bin" / program, *arguments],
            cwd=elsewhere,
            env=variables | {"XDG_CACHE_HOME": str(place / "cache")} | settings,
            capture_output=True,
            text=True,
            check=False,
        )

    run.folder = elsewhere
    run.packages = packages
    return run


def test_programs_are_the_wheels_and_know_their_version(installed):
    where = installed(
        "python",
        "-c",
        "import backend, mobilesam; print(*map(str, [backend.__file__, mobilesam.__file__]))",
    )
    assert all(Path(file).is_relative_to(installed.packages) for file in where.stdout.split())
    for program in ("mobilesam", "mobilesam-backend"):
        said = installed(program, "--version").stdout.strip()
        assert said == f"{program} {mobilesam.__version__}"


def test_installed_mobilesam_predicts_with_the_bundled_weights(installed):
    y, x = np.mgrid[0:240, 0:320]
    image = np.full((240, 320, 3), 60, np.uint8)
    disk = np.hypot(x - 160, y - 120) < 60
    image[disk] = (200, 80, 80)
    Image.fromarray(image).save(installed.folder / "disk.png")
    done = installed(
        *("mobilesam", "predict", "disk.png", "--point", "160", "120"),
        *("--checkpoint", "demo", "--device", "cpu", "--out", "mask.png"),
    )
    assert done.returncode == 0, done.stderr
    assert re.fullmatch(r"wrote mask.png; predicted IoU [01]\.\d+\n", done.stdout)
    drawn = np.asarray(Image.open(installed.folder / "mask.png").convert("RGB")).astype(int)
    changed = (np.abs(drawn - image) > 20).any(axis=-1)
    assert (changed & disk).sum() / (changed | disk).sum() > 0.9


def test_installed_backend_checks_its_chain(installed):
    done = installed(
        *("mobilesam-backend", "check", "--json", "--backend-url", "http://127.0.0.1:9"),
        MOBILESAM_CHECKPOINT="demo",
        MOBILESAM_DEVICE="cpu",
    )
    assert done.returncode == 1, done.stderr  # there is no Label Studio
    links = {link["name"]: link for link in json.loads(done.stdout)["links"]}
    assert links["weights"]["status"] == "ok"
    assert links["label_studio"]["status"] == "failed"
    assert links["label_studio"]["remedy"]


def test_every_file_of_the_packages_is_in_the_wheel(installed):
    listed = subprocess.run(
        ["git", "ls-files", "backend", "mobilesam"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    names = listed.stdout.split()
    assert {"mobilesam/weights/demo.pt", "backend/service/page/static/page.html"} <= {*names}
    assert [name for name in names if not (installed.packages / name).is_file()] == []
    assert {"mobilesam/py.typed", "backend/py.typed"} <= {*names}


def test_version_is_the_newest_release_of_the_changelog():
    releases = re.findall(r"^## \[(\d[\d.]*)\]", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)
    assert releases[0] == mobilesam.__version__


def test_dependencies_are_ranges_around_the_versions_that_are_pinned():
    pinned = requirements((ROOT / "requirements.txt").read_text().splitlines())
    ranges = requirements(PROJECT["dependencies"])
    assert ranges.keys() == pinned.keys(), "a requirement goes into both files"
    for name, requirement in pinned.items():
        [version] = [one.version for one in requirement.specifier]
        operators = {one.operator for one in ranges[name].specifier}
        assert version in ranges[name].specifier, name
        assert operators == {">=", "<"}, name


def test_extra_that_trains_asks_for_the_versions_of_the_whole():
    whole = requirements(PROJECT["dependencies"])
    for name, requirement in requirements(PROJECT["optional-dependencies"]["torch"]).items():
        assert whole[name].specifier == requirement.specifier


@pytest.mark.parametrize("python", ["3.11", "3.12", "3.13"])
def test_lock_is_one_for_every_python_that_is_promised(python):
    assert f"Programming Language :: Python :: {python}" in PROJECT["classifiers"]
    lock = (ROOT / "requirements.lock").read_text().replace("\\\n", " ")
    locked = [
        Requirement(line.partition("--hash")[0].strip())
        for line in lock.splitlines()
        if line and not line.startswith("#")
    ]
    system = {
        "python_version": python,
        "python_full_version": f"{python}.0",
        "sys_platform": "linux",
    }
    applies = {
        canonicalize_name(one.name)
        for one in locked
        if not one.marker or one.marker.evaluate(system)
    }
    assert requirements(PROJECT["dependencies"]).keys() <= applies
