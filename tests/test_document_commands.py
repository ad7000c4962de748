"""Every command of the README and of docs/ is run by a test, or says here why it cannot be.

A new command in a document fails here until it has its place in one of the two tables.
"""

import re
import shlex
import subprocess
import sys
from collections.abc import Callable
from typing import NamedTuple

import pytest
from documents import LIVE, ROOT, commands

from backend import cli
from mobilesam import __main__ as mobilesam_commands

COMMANDS = commands()
DOCKER = ROOT / "docker"
SETTINGS = (ROOT / "docs" / "settings.md").read_text()

# Command, or a pattern of several -> the tests that run it.
LIVE_TESTS = "tests/browser/test_document_commands_live.py::test_"
MODEL = "tests/mobilesam/test_main.py::test_"
BENCH = "tests/benchmarks/test_bench_"
RUN = {
    **{pattern: f"{LIVE_TESTS}{name}" for name, pattern in LIVE.items()},
    r"python -m mobilesam evaluate .+--everything": MODEL + "evaluate_everything_says",
    r"python -m mobilesam evaluate .+": MODEL + "evaluate_prints_the_same_numbers_twice",
    r"python -m mobilesam clicks .+": MODEL + "clicks_prints_the_same_table_twice",
    r"FUZZ_EXAMPLES=\d+ python -m pytest -s tests/fuzz": "tests/fuzz/test_schema_fuzz.py::test_",
    r"python -m benchmarks.soak.*": "tests/benchmarks/test_soak.py::test_short_soak",
    r"python -m mobilesam compare .+": MODEL + "compare_prints_the_runtime",
    r"python -m mobilesam train .+": "tests/mobilesam/training/test_train_command.py"
    "::test_train_writes_weights",
    r"python -m benchmarks.bench_service.*": "tests/backend/service/test_service.py"
    "::test_benchmark_of_the_service_runs",
    r"python -m benchmarks.bench_memory.*": BENCH + "memory.py::test_",
    r"python -m benchmarks.bench_scale.*": BENCH + "scale.py::test_",
    r"python -m benchmarks.bench_earlier_regions.*": BENCH + "earlier_regions.py::test_",
    r"python -m benchmarks.bench_model.*": BENCH + "model.py::test_",
    r"python -m benchmarks.bench_export.*": BENCH + "export.py::test_",
    r"python -m benchmarks.bench_brush.*": BENCH + "brush.py::test_",
    r"python -m benchmarks.bench_reduced_jpeg.*": BENCH + "reduced_jpeg.py::test_",
    r"python -m pytest tests/test_played_gpu.py .*": "tests/test_played_gpu.py::test_",
    r"python -m pytest -s .*test_parity.py": "tests/mobilesam/model/test_parity.py::test_",
    r"python -m pytest -s -k own_export .*": "tests/browser/test_coco.py"
    "::test_label_studios_own_export",
    r"pip install \.": "tests/test_package.py::test_installed_mobilesam_predicts",
    r"label-studio-ml .*|export PATH=.*|\S*pip install .*|python3.11 -m venv \S+": "tests/backend"
    "/service/test_label_studio_ml_model.py::test_click_gives_a_mask_of_its_own_project",
}


class Unrun(NamedTuple):
    """A command that no test runs: why not, and what of it is checked all the same."""

    pattern: str
    reason: str
    check: Callable[[str], None]


def check_make(command: str) -> None:
    """Its target is there, and make can say what it would do."""
    target = re.search(r"\bmake (\w+)", command)[1]
    done = subprocess.run(
        ["make", "--dry-run", target], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    for variable in re.findall(r"([A-Z_]+)=", command):
        assert f"`{variable}`" in SETTINGS


def check_compose(command: str) -> None:
    """Its files are there (tests/docker holds them to the specification), and so is its service."""
    words = shlex.split(command)
    files = [words[number + 1] for number, word in enumerate(words) if word == "-f"]
    assert files
    assert all((ROOT / name).is_file() for name in files)
    action, *rest = [word for word in words[2:] if word != "-f" and word not in files]
    assert action in ("up", "exec", "logs", "build", "pull")
    if action in ("exec", "logs"):
        assert re.search(rf"^  {rest[0]}:$", (ROOT / files[0]).read_text(), re.MULTILINE)
    if "python" in rest:
        check_backend(shlex.join(rest[rest.index("python") :]))


def check_docker(command: str) -> None:
    """Its Dockerfile and build arguments, or the settings and volume that it passes, are there."""
    dockerfile = (DOCKER / "Dockerfile").read_text()
    for argument in re.findall(r"--build-arg (\w+)=", command):
        assert f"ARG {argument}" in dockerfile
    for file in re.findall(r"-f (\S+)", command):
        assert (ROOT / file).is_file()
    for port in re.findall(r"-p \d+:(\d+)", command):
        assert f"EXPOSE {port}" in dockerfile
    for volume in re.findall(r"-v [\w-]+:(\S+)", command):
        assert f"VOLUME {volume}" in dockerfile
    assert all(f"`{name}`" in SETTINGS for name in re.findall(r"-e (\w+)=", command))


def check_backend(command: str) -> None:
    """The command line knows it."""
    words = shlex.split(command)
    assert words[3] in cli.COMMANDS


def check_download(command: str) -> None:
    """Its arguments are taken (tests/mobilesam/test_download.py downloads from a server)."""
    mobilesam_commands._parser().parse_args(shlex.split(command)[3:])


def check_names(command: str) -> None:
    """The document's tables name tests that there are."""
    [document] = COMMANDS[command]
    tests = "".join(path.read_text() for path in (ROOT / "tests").rglob("test_*.py"))
    names = re.findall(r"`(test_\w+)`", (ROOT / "docs" / document).read_text())
    assert [name for name in names if f"def {name}(" not in tests] == []


def check_copy(command: str) -> None:
    """What is copied is there."""
    assert (ROOT / shlex.split(command)[1]).is_file()


def check_random(command: str) -> None:
    """It makes the token that docker/.env.example asks for."""
    assert command in (DOCKER / ".env.example").read_text()


UNRUN = [
    Unrun(
        r"(\S+=\S+ )*make (demo|serve|test|unit|lint|coverage|bench|lock|audit)",
        "demo and serve first make an environment of 7 GB, test would run itself, bench takes half"
        " an hour, lock and audit ask a package index, the others are a part of test; what they"
        " start has tests of its own",
        check_make,
    ),
    Unrun(r"docker compose .+", "there is no Docker daemon where tests run", check_compose),
    Unrun(r"docker (build|run) .+", "there is no Docker daemon where tests run", check_docker),
    Unrun(r"python -m mobilesam download .*", "needs the internet", check_download),
    Unrun(r"cp docker/.env.example docker/.env", "would write into the repository", check_copy),
    Unrun(r"python -m pytest -k NAME", "NAME stands for the tests in its tables", check_names),
    Unrun(r"openssl rand -hex 20", "nothing of ours", check_random),
    Unrun(
        r"python -m backend (connect|check|warm|prelabel|export-coco|import-coco)",
        "a mention without its options; with them it is run",
        check_backend,
    ),
]


def test_commands_are_found_where_they_are():
    assert "README.md" in COMMANDS["make demo"]
    assert "coco.md" in COMMANDS["python -m backend export-coco --from export.json --out coco/"]
    assert len(COMMANDS) > 50


@pytest.mark.parametrize("command", COMMANDS)
def test_command_is_run_by_a_test_or_says_why_not(command):
    for unrun in UNRUN:
        if re.fullmatch(unrun.pattern, command):
            unrun.check(command)
            return
    runs = [test for pattern, test in RUN.items() if re.fullmatch(pattern, command)]
    assert runs, f"no test runs `{command}` of {COMMANDS[command]}"
    path, _, name = runs[0].partition("::")
    assert f"def {name}" in (ROOT / path).read_text()


def test_tables_have_no_command_that_no_document_has():
    patterns = [*RUN, *(unrun.pattern for unrun in UNRUN)]
    idle = [
        pattern
        for pattern in patterns
        if not any(re.fullmatch(pattern, command) for command in COMMANDS)
    ]
    assert idle == []


@pytest.mark.parametrize(
    "module",
    sorted(set(re.findall(r"python -m ((?:benchmarks|mobilesam)[.\w]*)", " ".join(COMMANDS)))),
)
def test_module_of_a_command_says_how_it_is_used(module):
    done = subprocess.run(
        [sys.executable, "-m", module, "--help"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("usage:")
