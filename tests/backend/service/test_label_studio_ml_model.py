"""The model class in label-studio-ml from the registry, started as docs/ says."""

import os
import re
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest
import requests
from fake_label_studio import FakeLabelStudio
from recordings import recording

from backend.codecs.brush import decode_brush
from backend.commands.demo.child_process import ChildProcess, free_port
from backend.images.samples import png_bytes
from backend.label_studio.projects import LABELING_CONFIG
from benchmarks.key_points import key_point
from mobilesam.scenes import generate_scene

ROOT = Path(__file__).parents[3]
PAGE = (ROOT / "docs" / "label-studio-ml.md").read_text()
PACKAGES = re.search(r"pip install (label-studio-ml==.*)", PAGE)[1].split()
INIT, START = re.findall(r"^label-studio-ml (?:init|start) .*", PAGE, re.MULTILINE)
START_TIMEOUT_S = 120
SIZE_HW = (240, 320)
CLICK_XY = (160, 120)


@pytest.fixture(scope="module")
def environment(tmp_path_factory):
    """The bin folder of an environment in which label-studio-ml's old packages come first."""
    folder = tmp_path_factory.mktemp("label-studio-ml")
    subprocess.run([sys.executable, "-m", "venv", folder], check=True)
    subprocess.run([folder / "bin" / "pip", "install", "--quiet", *PACKAGES], check=True)
    packages = folder / "lib" / f"python{sysconfig.get_python_version()}" / "site-packages"
    (packages / "ours.pth").write_text(f"{sysconfig.get_path('purelib')}\n{ROOT}\n")
    return folder / "bin"


@pytest.fixture(scope="module")
def label_studio():
    server = FakeLabelStudio()
    server.pages["/data/upload/1/scene.png"] = png_bytes(generate_scene(9, SIZE_HW).image)
    with server.running():
        yield server


@pytest.fixture(scope="module")
def service(environment, label_studio, tmp_path_factory):
    folder = tmp_path_factory.mktemp("hosted")
    variables = {
        **os.environ,
        "PATH": f"{environment}:{os.environ['PATH']}",
        "MOBILESAM_CHECKPOINT": "demo",
        "MOBILESAM_DEVICE": "cpu",
        "LABEL_STUDIO_URL": label_studio.url,
        "LABEL_STUDIO_API_KEY": label_studio.tokens.legacy,
    }
    (folder / "backend").symlink_to(ROOT / "backend")
    subprocess.run(["sh", "-c", INIT], cwd=folder, env=variables, check=True)
    port = free_port(9400)
    start = f"cd {folder} && exec {START} --port {port} --host 127.0.0.1"
    server = ChildProcess(
        "label-studio-ml", ["sh", "-c", start], environment=variables, log=folder / "log"
    )
    url = f"http://127.0.0.1:{port}"
    with server:
        server.wait_until_healthy(f"{url}/health", timeout_s=START_TIMEOUT_S)
        yield url


def predict(service, regions, *, image="/data/upload/1/scene.png", label_config=LABELING_CONFIG):
    body = {
        "tasks": [{"id": 1, "data": {"image": image}}],
        "project": "1.1795350403",
        "label_config": label_config,
        "params": {"context": {"result": regions}},
    }
    return requests.post(f"{service}/predict", json=body, timeout=60)


@pytest.fixture(scope="module")
def connected(service):
    """The service after Label Studio's /setup for a project, and another one's after it."""
    setup = recording("setup")["body"]
    for project, schema in (("1.1795350403", LABELING_CONFIG), ("2.5", setup["schema"])):
        body = setup | {"project": project, "schema": schema}
        answer = requests.post(f"{service}/setup", json=body, timeout=60)
        assert answer.status_code == 200, answer.text
        assert answer.json()["model_version"]
    return service


def test_click_gives_a_mask_of_its_own_project(connected):
    answer = predict(connected, [key_point(CLICK_XY, SIZE_HW)])
    assert answer.status_code == 200, answer.text
    (prediction,) = answer.json()["results"]
    assert prediction["model_version"].startswith("mobilesam-demo-weights-")
    (region,) = prediction["result"]
    assert region["from_name"] == "mask"
    mask = decode_brush(region["value"]["rle"], *SIZE_HW)
    assert mask[CLICK_XY[1], CLICK_XY[0]]
    assert mask.mean() < 0.9


def test_opened_task_gets_no_prediction(connected):
    body = {
        "tasks": [{"id": 1, "data": {"image": "/data/upload/1/scene.png"}}],
        "project": "1.1795350403",
        "label_config": LABELING_CONFIG,
        "params": {"context": None},
    }
    answer = requests.post(f"{connected}/predict", json=body, timeout=60)
    assert answer.json()["results"] == []


@pytest.mark.parametrize(
    ("change", "status", "words"),
    [
        pytest.param({"image": "/data/upload/1/none.png"}, 422, "none.png", id="image"),
        pytest.param({"label_config": "<View/>"}, 422, "Image tag", id="config"),
    ],
)
def test_errors_keep_their_status_and_show_no_traceback(connected, change, status, words):
    answer = predict(connected, [key_point(CLICK_XY, SIZE_HW)], **change)
    assert answer.status_code == status
    assert words in answer.json()["detail"]
    assert answer.json()["result"]["remedy"]
    assert "File " not in answer.text
    assert len(answer.json()["result"]["request_id"]) == 16
