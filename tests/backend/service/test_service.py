"""The service as a process: it starts or says why not, answers under load, and ends cleanly."""

import os
import signal
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
import requests

from backend.commands.demo.child_process import free_port
from benchmarks import bench_service, service_load
from benchmarks.service_load import START_TIMEOUT_S

SIZE_HW = (600, 800)


@pytest.fixture(scope="module")
def service(tmp_path_factory):
    backend, url = service_load.service("demo", tmp_path_factory.mktemp("service") / "log")
    with backend:
        backend.wait_until_healthy(f"{url}/health", timeout_s=START_TIMEOUT_S)
        yield url


@pytest.fixture(scope="module")
def small_service(tmp_path_factory):
    backend, url = service_load.service(
        "demo",
        tmp_path_factory.mktemp("small") / "log",
        environment={"MOBILESAM_MAX_REQUEST_MB": "1"},
    )
    with backend:
        backend.wait_until_healthy(f"{url}/health", timeout_s=START_TIMEOUT_S)
        yield url


@pytest.fixture(scope="module")
def tasks(demo_predictor):
    return service_load.make_tasks(demo_predictor, 8, SIZE_HW)


def run_backend(*arguments, **environment):
    kept = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
    return subprocess.run(
        [sys.executable, "-m", "backend", *arguments],
        env=kept | environment,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def test_health_names_model_device_and_weights(service):
    health = requests.get(f"{service}/health", timeout=10).json()
    assert health["status"] == "UP"
    assert health["model_class"] == "MobileSAM"
    assert health["weights"] == "demo"
    assert health["model_version"].startswith("mobilesam-demo-weights-")
    assert health["device"]
    assert health["runtime"] in ("openvino", "torch")
    assert health["precision"] in ("float32", "bfloat16", "float16")
    assert health["runtime_reason"].count("; ") == 2  # of device, runtime and precision


def test_eight_annotators_on_eight_images_get_their_own_masks(service, tasks):
    with service_load.image_host(tasks) as images:
        clicks = service_load.all_at_once(
            lambda task: service_load.annotate(service, images, task, 4), tasks
        )
    assert [click.fault() for click in clicks] == [""] * 32


def test_error_travels_in_the_status_line_of_a_real_server(service):
    body = {"project": "1", "schema": "<View/>"}
    response = requests.post(f"{service}/setup", json=body, timeout=10)
    assert response.status_code == 422
    assert response.reason == "No Image tag in the labeling config"
    assert response.json()["error"]["reason"] == response.reason


@pytest.mark.parametrize("length", [True, False], ids=["with-length", "chunked"])
def test_real_server_bounds_the_bytes_of_a_request(small_service, length):
    pieces = [b" " * 2**20] * 3
    for path in ("/predict", "/webhook"):
        body = b"".join(pieces) if length else iter(pieces)
        try:
            response = requests.post(f"{small_service}{path}", data=body, timeout=30)
        except requests.ConnectionError:  # it need not read what it refuses
            continue
        assert response.status_code == 413
        assert response.reason == "Request too large: more than 1 MB"
    response = requests.post(f"{small_service}/webhook", json={"action": "TASK"}, timeout=30)
    assert response.status_code == 200


def test_benchmark_of_the_service_runs(capsys, tmp_path):
    tiny = ["--checkpoint", "demo", "--annotators", "2", "--clicks", "2"]
    tiny += ["--width", "120", "--height", "100", "--log", str(tmp_path / "log")]
    assert bench_service.main(tiny) == 0
    printed = capsys.readouterr().out
    rows = [line.strip("| ").split(" | ") for line in printed.splitlines() if line.startswith("| ")]
    assert [row[0] for row in rows[1:]] == [
        *("first", "warm", "returning", "opened", "came next", "beside 4 encodes"),
        *("first", "warm"),
    ]
    assert all(row[-1] == "0" for row in rows[1:])
    # What was opened or came next was embedded before its first click.
    assert (tmp_path / "log").read_text().count("cache=encoder") == bench_service.REPEATED + 2
    assert "failed or wrong: 0 of" in printed


def test_wrong_settings_stop_the_start_all_at_once():
    result = run_backend("serve", PORT="0", MOBILESAM_CACHE_MB="lots")
    assert result.returncode == 2
    assert "PORT='0'" in result.stderr
    assert "MOBILESAM_CACHE_MB='lots' is not a whole number of megabytes" in result.stderr
    assert "Traceback" not in result.stderr


def test_serve_refuses_other_weights_than_asked_for(tmp_path):
    """Without the official weights and without a way to them, it must not fall back by itself."""
    nowhere = "http://127.0.0.1:9"
    result = run_backend(
        "serve", XDG_CACHE_HOME=str(tmp_path), https_proxy=nowhere, http_proxy=nowhere
    )
    assert result.returncode == 1
    assert "MOBILESAM_CHECKPOINT=demo" in result.stderr
    assert "Traceback" not in result.stderr


@pytest.mark.parametrize(
    ("variables", "words"),
    [
        pytest.param({"MOBILESAM_CHECKPOINT": "gone.pt"}, "no weights file at gone.pt", id="gone"),
        pytest.param({"MOBILESAM_CHECKPOINT": __file__}, "is no torch file", id="no-weights"),
        pytest.param({"MOBILESAM_DEVICE": "cuda:77"}, "use auto or cpu", id="no-such-device"),
    ],
)
def test_weights_or_device_that_cannot_be_used_end_the_start(variables, words):
    port = str(free_port(20000))
    result = run_backend("serve", PORT=port, **({"MOBILESAM_CHECKPOINT": "demo"} | variables))
    assert result.returncode != 0
    assert words in result.stderr
    assert "Traceback" not in result.stderr


def test_sigterm_lets_the_running_click_finish(tasks, tmp_path):
    backend, url = service_load.service("demo", tmp_path / "log")
    asked, answer_now = threading.Event(), threading.Event()
    with (
        service_load.image_host(tasks[:1], asked, answer_now) as images,
        ThreadPoolExecutor(1) as annotator,
        backend,
    ):
        backend.wait_until_healthy(f"{url}/health", timeout_s=START_TIMEOUT_S)
        running = annotator.submit(service_load.click, url, images, tasks[0], 0)
        assert asked.wait(30)
        os.kill(backend.pid, signal.SIGTERM)
        answer_now.set()
        assert running.result(30).fault() == ""
