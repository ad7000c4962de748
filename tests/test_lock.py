"""The lock files hold what the requirements ask for, exactly; the audit says what it found."""

import importlib.util
import json
import re
import subprocess
from pathlib import Path
from types import SimpleNamespace

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[1]
FILES = {"requirements.txt": "requirements.lock", "requirements-dev.txt": "requirements-dev.lock"}


def required(name):
    """Name -> version of a file of requirements and those that it includes."""
    found = {}
    for line in (ROOT / name).read_text().splitlines():
        text = line.partition("#")[0].strip()
        if text.startswith("-r "):
            found |= required(text[3:])
        elif text:
            requirement = Requirement(text)
            found[canonicalize_name(requirement.name)] = str(requirement.specifier)
    return found


def locked(name):
    """Name -> the versions, for different Pythons and systems, with their hashes."""
    text = (ROOT / name).read_text().replace("\\\n", " ")
    found = {}
    for line in text.splitlines():
        if line and not line.startswith("#"):
            requirement = Requirement(line.partition("--hash")[0].strip())
            hashes = re.findall(r"--hash=sha256:[0-9a-f]{64}\b", line)
            versions = found.setdefault(canonicalize_name(requirement.name), {})
            versions[str(requirement.specifier)] = hashes
    return found


@pytest.mark.parametrize("name", FILES)
def test_requirements_are_locked_at_their_versions(name):
    lock = locked(FILES[name])
    wrong = {
        package: (version, [*lock.get(package, {})])
        for package, version in required(name).items()
        if [*lock.get(package, {})] != [version]
    }
    assert wrong == {}, "run `make lock`"


@pytest.mark.parametrize("name", FILES.values())
def test_every_locked_package_has_one_version_and_its_hashes(name):
    for package, versions in locked(name).items():
        for version, hashes in versions.items():
            assert re.fullmatch(r"==[^*,]+", version), package
            assert hashes, package


def test_tests_run_with_the_versions_of_the_service():
    development = locked(FILES["requirements-dev.txt"])
    runtime = locked(FILES["requirements.txt"])
    assert {name: development.get(name) for name in runtime} == runtime


@pytest.mark.parametrize("name", FILES.values())
def test_lock_names_no_place_to_fetch_from(name):
    text = (ROOT / name).read_text()
    assert "://" not in text
    assert not re.search(r"^\s*--(?!hash=)", text, re.MULTILINE)


# The audit


@pytest.fixture
def audit(monkeypatch):
    """A function that runs the audit with what pip-audit prints, or raises."""
    spec = importlib.util.spec_from_file_location("audit", ROOT / ".ci" / "audit.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)

    def run(packages=None, error=None, stderr=""):
        def pip_audit(*_, **__):
            if error:
                raise error
            printed = "" if packages is None else json.dumps({"dependencies": packages})
            return SimpleNamespace(stdout=printed, stderr=stderr)

        monkeypatch.setattr(subprocess, "run", pip_audit)
        return module.main()

    return run


GOOD = {"name": "flask", "version": "3.1.3", "vulns": []}
BAD = {"name": "a", "version": "1", "vulns": [{"id": "PYSEC-1", "fix_versions": ["2"]}]}
SKIPPED = {"name": "b", "skip_reason": "not found"}


def test_vulnerability_fails_the_audit_and_is_named(audit, capsys):
    assert audit([GOOD, BAD, SKIPPED]) == 1
    assert capsys.readouterr().out.splitlines() == [
        "a 1: PYSEC-1, fixed in 2",
        "2 of 3 packages audited: 1 vulnerabilities",
    ]


def test_audit_without_a_vulnerability_passes(audit, capsys):
    assert audit([GOOD, SKIPPED]) == 0
    assert capsys.readouterr().out == "1 of 2 packages audited: 0 vulnerabilities\n"


@pytest.mark.parametrize(
    "outcome",
    [
        pytest.param({"stderr": "ERROR: Connection refused"}, id="unreachable"),
        pytest.param({"error": subprocess.TimeoutExpired("pip-audit", 120)}, id="no-answer"),
        pytest.param({"packages": [SKIPPED]}, id="knows-nothing"),
    ],
)
def test_service_that_cannot_be_asked_is_told_and_fails_nothing(audit, capsys, outcome):
    assert audit(**outcome) == 0
    assert capsys.readouterr().err.startswith("NOT AUDITED: ")
