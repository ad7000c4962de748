"""The image and the compose files, as far as they can be checked where no Docker engine runs."""

import itertools
import json
import os
import re
import shutil
import subprocess
import sys
import threading
import tomllib
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from werkzeug.serving import make_server

from backend.commands.demo import label_studio_server
from backend.monitoring.activity import Activity
from backend.service.app import create_app
from backend.service.server import GRACEFUL_TIMEOUT_S
from backend.settings.settings import Settings
from mobilesam.weights.download import default_checkpoint_path

ROOT = Path(__file__).parents[2]
DOCKER = ROOT / "docker"
TOOLS = Path(sys.executable).parent
COMPOSE_FILES = ["compose.yml", "compose.gpu.yml", "compose.scale.yml", "compose.monitoring.yml"]
SETTINGS_VARIABLES = {field.metadata["variable"] for field in fields(Settings)}
VARIABLE = re.compile(r"\$\{(\w+)(?::([-?])([^}]*))?\}")  # ${NAME}, ${NAME:-default}, ${NAME:?why}


def read_dockerfile() -> list[tuple[str, str]]:
    """(instruction, its arguments) of the Dockerfile, continued lines joined."""
    lines = (DOCKER / "Dockerfile").read_text().splitlines(keepends=True)
    text = "".join(line for line in lines if not line.startswith("#")).replace("\\\n", "")
    return [tuple(line.split(maxsplit=1)) for line in text.splitlines() if line.strip()]


INSTRUCTIONS = read_dockerfile()


def arguments_of(instruction: str) -> list[str]:
    return [arguments for name, arguments in INSTRUCTIONS if name == instruction]


def image_environment(device: str) -> dict[str, str]:
    [text] = arguments_of("ENV")
    return dict(pair.replace("$DEVICE", device).split("=", 1) for pair in text.split())


def copied_sources() -> list[str]:
    return [source for copy in arguments_of("COPY") for source in copy.split()[:-1]]


class ComposeLoader(yaml.SafeLoader):
    """Knows compose's own tag: what follows replaces a list, which would be added to otherwise."""


ComposeLoader.add_constructor("!override", lambda loader, node: loader.construct_sequence(node))


def read_compose(name: str) -> dict:
    return yaml.load((DOCKER / name).read_text(), ComposeLoader)  # noqa: S506 - it is a safe one


def filled_in(node: Any, variables: dict[str, str]) -> Any:
    """A part of a compose file, with its variables replaced as compose does it."""

    def replace(match: re.Match[str]) -> str:
        name, kind, text = match.groups()
        value = variables.get(name, "")
        assert value or kind == "-", f"{name}: {text}"
        return value or text

    if isinstance(node, dict):
        return {key: filled_in(value, variables) for key, value in node.items()}
    if isinstance(node, list):
        return [filled_in(value, variables) for value in node]
    return VARIABLE.sub(replace, node) if isinstance(node, str) else node


def environment_example() -> dict[str, str]:
    lines = (DOCKER / ".env.example").read_text().splitlines()
    return dict(line.split("=", 1) for line in lines if line and not line.startswith("#"))


@pytest.fixture
def backend_service() -> dict:
    """The backend's part of compose.yml, as it is with a filled in .env."""
    secrets = ("LABEL_STUDIO_USERNAME", "LABEL_STUDIO_PASSWORD", "LABEL_STUDIO_USER_TOKEN")
    variables = environment_example() | dict.fromkeys(secrets, "chosen")
    return filled_in(read_compose("compose.yml")["services"]["backend"], variables)


# The image


def test_dockerfile_passes_the_linter():
    linter = [TOOLS / "hadolint", "--no-color", DOCKER / "Dockerfile"]
    done = subprocess.run(linter, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_image_python_is_supported():
    [base] = arguments_of("FROM")
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    version = re.fullmatch(r"python:([\d.]+)-slim", base)[1]
    assert SpecifierSet(project["requires-python"]).contains(version)


def test_image_copies_what_exists_and_what_the_builder_is_sent():
    ignore = (ROOT / ".dockerignore").read_text().splitlines()
    assert "*" in ignore
    assert sorted(copied_sources()) == sorted(line[1:] for line in ignore if line[:1] == "!")
    assert [name for name in copied_sources() if not (ROOT / name).exists()] == []


def test_image_command_starts_with_only_what_is_copied(tmp_path: Path):
    """It gets as far as its settings, of which it is given a wrong one."""
    for name in copied_sources():
        source, target = ROOT / name, tmp_path / name
        shutil.copytree(source, target) if source.is_dir() else shutil.copy(source, target)
    [command] = arguments_of("CMD")
    program, *arguments = json.loads(command)
    assert program == "python"
    done = subprocess.run(
        [sys.executable, *arguments],
        cwd=tmp_path,
        env=os.environ | image_environment("cpu") | {"PORT": "none"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2, done.stderr
    assert "PORT='none'" in done.stderr


@pytest.mark.parametrize("device", ["cuda", "cpu"])
def test_image_environment_is_known_settings(device: str):
    environment = image_environment(device)
    assert environment.keys() - SETTINGS_VARIABLES == {"PYTHONUNBUFFERED", "XDG_CACHE_HOME"}
    settings = Settings.from_environment(environment)
    assert settings.device == device
    assert arguments_of("EXPOSE") == [str(settings.port)]
    assert (settings.host, settings.port) == (Settings().host, Settings().port)


def test_image_keeps_the_weights_in_its_volume(monkeypatch: pytest.MonkeyPatch):
    [volume] = arguments_of("VOLUME")
    monkeypatch.setenv("XDG_CACHE_HOME", image_environment("cpu")["XDG_CACHE_HOME"])
    assert default_checkpoint_path().is_relative_to(volume)
    [make_volume] = [run for run in arguments_of("RUN") if "install" in run and volume in run]
    assert "useradd --uid 1000" in make_volume


def test_image_does_not_run_as_root():
    names = [name for name, _ in INSTRUCTIONS]
    assert arguments_of("USER") == ["1000:1000"]
    assert "RUN" not in names[names.index("USER") :]


@pytest.mark.parametrize(
    ("device", "index_url", "expected"),
    [
        pytest.param("cpu", "", "--require-hashes --requirement requirements.lock", id="cpu"),
        pytest.param("cuda", "", "--require-hashes --requirement requirements.lock", id="cuda"),
        pytest.param(
            "cpu",
            "http://i/cpu",
            "--requirement requirements.txt --constraint versions.txt "
            "--extra-index-url http://i/cpu",
            id="index",
        ),
        pytest.param("tpu", "", None, id="unknown device"),
    ],
)
def test_image_installs_by_build_argument(
    tmp_path: Path, device: str, index_url: str, expected: str | None
):
    """Runs the instruction itself, with a pip that only says what it was asked."""
    pip = tmp_path / "pip"
    pip.write_text('#!/bin/sh\necho "pip $*"\n')
    pip.chmod(0o755)
    shutil.copy(ROOT / "requirements.lock", tmp_path)
    script = arguments_of("RUN")[0].split(maxsplit=1)[1]  # without its --mount
    done = subprocess.run(
        ["/bin/sh", "-c", script],
        cwd=tmp_path,
        env={"PATH": f"{tmp_path}:/usr/bin:/bin", "DEVICE": device, "TORCH_INDEX_URL": index_url},
        capture_output=True,
        text=True,
        check=False,
    )
    if expected is None:
        assert done.returncode != 0
        assert (done.stdout, done.stderr) == ("", "DEVICE=tpu is neither cuda nor cpu\n")
    else:
        assert done.stdout == f"pip install {expected}\n"
    if index_url:
        versions = (tmp_path / "versions.txt").read_text().splitlines()
        packages = [Requirement(line).name for line in versions if line[:1] != "#"]
        assert {"torch", "flask"} <= set(packages)


@pytest.fixture
def app_port() -> Iterator[int]:
    """The app with a model that is not there, with Basic auth on."""
    settings = Settings(basic_auth_user="ann", basic_auth_pass="secret")
    app = create_app(
        settings, click_service=SimpleNamespace(describe=dict, activity=Activity(dict))
    )
    server = make_server("127.0.0.1", 0, app)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield server.port
    server.shutdown()
    thread.join()
    server.server_close()


def run_health_check(port: int) -> int:
    [check] = arguments_of("HEALTHCHECK")
    program, *arguments = json.loads(check.partition("CMD ")[2])
    assert program == "python"
    environment = os.environ | {"PORT": str(port), "http_proxy": "http://127.0.0.1:9"}
    command = [sys.executable, *arguments]
    return subprocess.run(command, env=environment, capture_output=True, check=False).returncode


def test_health_check_is_answered_by_the_app(app_port: int):
    assert run_health_check(app_port) == 0


def test_health_check_fails_on_an_error_and_without_a_server():
    def failing_app(_, start_response):
        start_response("503 Service Unavailable", [])
        return [b""]

    with make_server("127.0.0.1", 0, failing_app) as server:
        thread = threading.Thread(target=server.handle_request)
        thread.start()
        assert run_health_check(server.port) != 0
        thread.join()
    assert run_health_check(server.port) != 0


# The compose files


@pytest.mark.parametrize("name", COMPOSE_FILES)
def test_compose_file_follows_the_specification(name: str, tmp_path: Path):
    untagged = tmp_path / name
    untagged.write_text(json.dumps(read_compose(name)))
    checker = [TOOLS / "check-jsonschema", "--builtin-schema", "vendor.compose-spec"]
    done = subprocess.run([*checker, untagged], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


def test_compose_builds_the_image(backend_service: dict):
    build = backend_service["build"]
    context = (DOCKER / build["context"]).resolve()
    assert context == ROOT
    assert (context / build["dockerfile"]).is_file()
    gpu_build = read_compose("compose.gpu.yml")["services"]["backend"]["build"]
    declared = {argument.partition("=")[0] for argument in arguments_of("ARG")}
    assert build["args"].keys() | gpu_build["args"].keys() == declared
    assert (build["args"]["DEVICE"], gpu_build["args"]["DEVICE"]) == ("cpu", "cuda")


def test_compose_gpu_file_adds_to_a_service_of_the_other():
    services = read_compose("compose.yml")["services"]
    gpu_services = read_compose("compose.gpu.yml")["services"]
    assert gpu_services.keys() <= services.keys()
    assert gpu_services["backend"]["image"] != services["backend"]["image"]


def test_compose_label_studio_is_the_version_that_the_demo_and_the_tests_use():
    service = read_compose("compose.yml")["services"]["label-studio"]
    assert service["image"] == f"heartexlabs/label-studio:{label_studio_server.VERSION}"
    for name in ("LABEL_STUDIO_USE_DEFAULT_BANNED_SUBNETS", "LABEL_STUDIO_ENABLE_LEGACY_API_TOKEN"):
        assert service["environment"][name] == label_studio_server.SETTINGS[name]


def test_compose_offers_every_setting_once(backend_service: dict):
    offered = backend_service["environment"].keys()
    assert offered | {"MOBILESAM_DEVICE", "MOBILESAM_HOST", "PORT"} == SETTINGS_VARIABLES
    assert not offered & image_environment("cpu").keys()


def test_compose_settings_are_the_defaults_and_reach_label_studio(backend_service: dict):
    settings = Settings.from_environment(backend_service["environment"])
    default = Settings()
    changed = {
        field.name
        for field in fields(Settings)
        if getattr(settings, field.name) != getattr(default, field.name)
    }
    assert changed == {"label_studio_url", "label_studio_api_key"}
    label_studio = read_compose("compose.yml")["services"]["label-studio"]
    [published] = label_studio["ports"]
    port = published.rpartition(":")[2]
    assert settings.label_studio_url == f"http://label-studio:{port}"
    assert f"http://127.0.0.1:{port}/health/" in label_studio["healthcheck"]["test"]


def test_compose_publishes_the_backend_port_on_loopback_only(backend_service: dict):
    assert backend_service["ports"] == [f"127.0.0.1:9090:{Settings().port}"]


def test_compose_volumes_are_declared_and_mounted_where_data_is(backend_service: dict):
    compose = read_compose("compose.yml")
    mounts = [mount for service in compose["services"].values() for mount in service["volumes"]]
    assert {mount.split(":")[0] for mount in mounts} == compose["volumes"].keys()
    assert backend_service["volumes"] == [f"backend-cache:{arguments_of('VOLUME')[0]}"]


def test_compose_starts_the_backend_after_a_service_that_has_a_health_check(backend_service: dict):
    services = read_compose("compose.yml")["services"]
    for name, wait in backend_service["depends_on"].items():
        assert wait == {"condition": "service_healthy"}
        assert "healthcheck" in services[name]


def test_compose_stops_no_sooner_than_gunicorn(backend_service: dict):
    assert int(backend_service["stop_grace_period"].removesuffix("s")) > GRACEFUL_TIMEOUT_S


# The variables


def test_environment_example_has_every_variable_and_no_other():
    used = {
        match[1]: match
        for name in COMPOSE_FILES
        for match in VARIABLE.finditer((DOCKER / name).read_text())
    }
    example = environment_example()
    assert example.keys() == used.keys()
    for name, match in used.items():
        assert example[name] == (match[3] if match[2] == "-" else ""), name


@pytest.mark.parametrize(
    "name", ["LABEL_STUDIO_USERNAME", "LABEL_STUDIO_PASSWORD", "LABEL_STUDIO_USER_TOKEN"]
)
def test_compose_has_no_default_for_a_secret(name: str):
    texts = [match[0] for match in VARIABLE.finditer((DOCKER / "compose.yml").read_text())]
    ours = {text for text in texts if text.startswith(f"${{{name}")}
    assert ours == {f"${{{name}:?set it in docker/.env}}"}


def test_environment_with_secrets_is_ignored_by_git():
    assert "/.env" in (DOCKER / ".gitignore").read_text().splitlines()


@pytest.mark.parametrize("name", ["compose.yml", "compose.scale.yml", "compose.monitoring.yml"])
def test_compose_explains_every_variable(name: str):
    lines = (DOCKER / name).read_text().splitlines()
    unexplained = [
        line
        for before, line in itertools.pairwise(lines)
        if re.match(r" +[A-Z_]+: ", line) and not before.lstrip().startswith("#")
    ]
    assert unexplained == []
