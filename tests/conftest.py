"""Fixtures that several folders of tests share."""

import contextlib

import pytest
import redis_server
from hypothesis import settings
from played_gpu import PlayedGpu
from small_objects import large_image, large_mask  # noqa: F401 - fixtures

from benchmarks.weights import write_full_size_weights
from mobilesam import Predictor
from mobilesam.runtimes import cuda_graph

# Hypothesis would fail an example that takes 200 ms, which a busy machine makes of any.
settings.register_profile("any-machine", deadline=None)
settings.load_profile("any-machine")


@pytest.fixture(scope="session")
def parity_checkpoint(tmp_path_factory):
    """Path of a checkpoint in the official layout, filled from a fixed seed."""
    path = tmp_path_factory.mktemp("parity") / "parity.pt"
    write_full_size_weights(path)
    return path


@pytest.fixture(scope="session")
def demo_predictor():
    """The bundled demo weights in torch: small, fast, and good on generated scenes."""
    return Predictor("demo", device="cpu", runtime="torch")


@pytest.fixture(scope="session")
def openvino_predictor():
    """The bundled demo weights in OpenVINO in float32."""
    return Predictor("demo", device="cpu", runtime="openvino", precision="float32")


@pytest.fixture
def redis_process():
    """A Redis that runs."""
    if redis_server.PROGRAM is None:
        pytest.fail("redis-server is not installed; `make test` installs it")
    server = redis_server.RedisServer()
    server.start()
    yield server
    server.kill()


@pytest.fixture
def played_gpu(monkeypatch):
    """A GPU in the place of torch's; see `played_gpu.py`."""
    with entered(PlayedGpu(), monkeypatch) as gpu:
        yield gpu


@pytest.fixture(scope="session")
def started_gpu():
    """A played GPU and the bundled demo weights on it, once: float16 takes a CPU long."""
    with pytest.MonkeyPatch.context() as patch, entered(PlayedGpu(), patch) as gpu:
        patch.setattr(cuda_graph, "WARM_UP_CALLS", 1)
        return gpu, Predictor("demo", device="cuda")


@pytest.fixture
def loaded_gpu(started_gpu, monkeypatch):
    """The played GPU that `gpu_predictor` computes on; has counted nothing yet."""
    gpu, _ = started_gpu
    gpu.forget()
    with entered(gpu, monkeypatch):
        yield gpu


@pytest.fixture
def gpu_predictor(started_gpu, loaded_gpu):
    """The bundled demo weights on a played GPU."""
    return started_gpu[1]


@contextlib.contextmanager
def entered(gpu, monkeypatch):
    """Let this thread use a played GPU."""
    gpu.play(monkeypatch)
    with gpu:
        yield gpu
