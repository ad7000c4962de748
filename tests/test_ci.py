"""What runs on GitHub is valid, and does what people do by hand."""

import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[1]
WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
TOOLS = Path(sys.executable).parent


def read(name):
    # A plain "on" is true in YAML 1.1, which GitHub does not follow; BaseLoader keeps all as text.
    text = (ROOT / ".github" / "workflows" / name).read_text()
    return yaml.load(text, yaml.BaseLoader)  # noqa: S506 - it makes nothing but text


def commands(workflow):
    steps = [step for job in workflow["jobs"].values() for step in job["steps"]]
    return [step["run"] for step in steps if "run" in step]


def classifiers():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    found = [
        re.fullmatch(r"Programming Language :: Python :: (3\.\d+)", line)
        for line in project["classifiers"]
    ]
    return {match[1] for match in found if match}


def test_workflows_follow_githubs_schema():
    done = subprocess.run(
        [TOOLS / "check-jsonschema", "--builtin-schema", "vendor.github-workflows", *WORKFLOWS],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_every_push_runs_what_the_readme_says():
    assert ".ci/run" in commands(read("ci.yml"))
    assert "exec make test" in (ROOT / ".ci" / "run").read_text()


def test_pushes_and_nights_together_test_every_python_that_is_promised():
    jobs = read("ci.yml")["jobs"]
    pushed = {
        step["with"]["python-version"]
        for step in jobs["test"]["steps"]
        if "setup-python" in step.get("uses", "")
    }
    nightly = {*read("nightly.yml")["jobs"]["test"]["strategy"]["matrix"]["python"]}
    assert pushed | nightly == classifiers()
    assert {
        *read("nightly.yml")["jobs"]["install"]["strategy"]["matrix"]["python"]
    } == classifiers()


@pytest.mark.parametrize("job", ["wheel", "image"])
def test_tag_builds_only_after_the_tests(job):
    built = read("ci.yml")["jobs"][job]
    assert built["needs"] == "test"
    assert built["if"] == "startsWith(github.ref, 'refs/tags/v')"


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)
def test_workflow_may_only_read_unless_a_job_says_more(path):
    assert read(path.name)["permissions"] == {"contents": "read"}


def test_hooks_before_a_commit_are_programs_that_the_lock_installs():
    hooks = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text())["repos"][0]["hooks"]
    programs = [hook["entry"].split()[0] for hook in hooks]
    lock = (ROOT / "requirements-dev.lock").read_text()
    for program in programs:
        assert program.startswith(".venv/bin/")
        assert re.search(rf"^{Path(program).name}==", lock, re.MULTILINE), program


def test_quick_tests_are_folders_that_there_are():
    done = subprocess.run(
        ["make", "--dry-run", "unit"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    [line] = [line for line in done.stdout.splitlines() if "pytest" in line]
    paths = re.findall(r"tests/\S+", line)
    assert len(paths) >= 5
    assert [path for path in paths if not (ROOT / path).exists()] == []
