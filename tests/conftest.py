"""Fixtures that several folders of tests share."""

import importlib.util
from pathlib import Path

import pytest
import redis_server
import torch
from hypothesis import settings

from mobilesam import Predictor

GOLDEN = Path(__file__).with_name("golden")

# Hypothesis would fail an example that takes 200 ms, which a busy machine makes of any.
settings.register_profile("any-machine", deadline=None)
settings.load_profile("any-machine")


@pytest.fixture(scope="session")
def parity_checkpoint(tmp_path_factory):
    """Path of a checkpoint in the official layout, filled from a fixed seed."""
    source = GOLDEN / "parity" / "parity_weights.py"
    spec = importlib.util.spec_from_file_location(source.stem, source)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    state = {name: torch.from_numpy(value) for name, value in module.make_state(seed=0).items()}
    path = tmp_path_factory.mktemp("parity") / "parity.pt"
    torch.save(state, path)
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
