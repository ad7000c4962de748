"""What a real GPU, its driver and CUDA's libraries say when they cannot go on."""

import copy

import numpy as np
import pytest
import torch

from mobilesam import DeviceError, DeviceLostError, Predictor
from mobilesam.runtimes import cuda_device
from mobilesam.runtimes.cuda_graph import captured
from mobilesam.runtimes.device_memory import is_out_of_memory, with_room
from mobilesam.runtimes.float16_check import float16_fault
from mobilesam.runtimes.oom_fallback import OomFallback
from mobilesam.scenes import generate_scene

CLICK = {"points_xy": [[150, 100]], "point_labels": [1]}
FULL = [
    pytest.param(torch.OutOfMemoryError("CUDA out of memory. Tried to allocate"), id="torch"),
    pytest.param(
        RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"),
        id="cublas",
    ),
    pytest.param(RuntimeError("cuDNN error: CUDNN_STATUS_ALLOC_FAILED"), id="cudnn"),
    pytest.param(
        RuntimeError("cuDNN error: CUDNN_STATUS_INTERNAL_ERROR_DEVICE_ALLOCATION_FAILED"),
        id="cudnn-9",
    ),
    pytest.param(RuntimeError("GET was unable to find an engine to execute this"), id="plans"),
    pytest.param(torch.AcceleratorError("CUDA error: out of memory"), id="graph"),
]
NAN = float("nan")
ILLEGAL = torch.AcceleratorError("CUDA error: an illegal memory access was encountered")
NO_KERNEL = torch.AcceleratorError("CUDA error: no kernel image is available for execution\nmore")


@pytest.fixture(scope="module")
def image():
    return generate_scene(10_000_000, (200, 300)).image


class Broken:
    """A GPU's runtime whose every call raises an error; or does what it is told."""

    name, precision, batch_size = "torch", "float16", 1
    device = torch.device("cuda", 0)

    def __init__(self, inner, error=None):
        self._inner = inner
        self.error = error

    def encode(self, images):
        if self.error is not None:
            raise self.error
        return self._inner.encode(images)

    def decode(self, *prompt):
        if self.error is not None:
            raise self.error
        return self._inner.decode(*prompt)


def broken(predictor, monkeypatch, error):
    """Let a predictor's GPU raise an error; its CPU goes on."""
    inner = predictor._runtime
    fallback = OomFallback(Broken(inner, error), lambda: inner)
    monkeypatch.setattr(predictor, "_runtime", fallback)
    return fallback


@pytest.mark.parametrize("error", FULL)
def test_full_gpu_is_recognised_whichever_library_says_it(
    demo_predictor, monkeypatch, image, error
):
    expected = demo_predictor.predict_object(demo_predictor.embed(image), **CLICK)
    broken(demo_predictor, monkeypatch, error)
    masks = demo_predictor.predict_object(demo_predictor.embed(image), **CLICK)
    np.testing.assert_array_equal(masks.masks, expected.masks)


@pytest.mark.parametrize(
    "error",
    [ILLEGAL, NO_KERNEL, RuntimeError("mat1 and mat2 shapes cannot be multiplied")],
    ids=str,
)
def test_other_errors_are_not_taken_for_a_full_gpu(error):
    def fail():
        raise error

    assert not is_out_of_memory(error)
    with pytest.raises(RuntimeError):
        with_room(fail, lambda: pytest.fail("it went on"))


@pytest.mark.parametrize("error", FULL)
def test_full_gpu_while_a_graph_is_captured_is_not_swallowed(played_gpu, error):
    """Else there would be no graph for the life of the process."""

    def full(_x):
        raise error

    with pytest.raises(RuntimeError):
        captured(full, (torch.ones(1, device="cuda"),))


def test_gpu_that_torch_has_no_code_for_leaves_the_work_to_the_cpu(played_gpu, image, caplog):
    """`torch.cuda.is_available()` is true for it."""
    played_gpu.allocates_until, played_gpu.fault = 0, NO_KERNEL
    predictor = Predictor("demo", device="auto")
    assert predictor.device.type == "cpu"
    assert "CUDA cannot be used (CUDA error: no kernel image is" in predictor.runtime_reason
    assert "more" not in predictor.runtime_reason
    assert predictor.predict_object(predictor.embed(image), **CLICK).masks.any()
    with pytest.raises(DeviceError, match=r"no kernel.*A played GPU \(sm_90\), driver"):
        Predictor("demo", device="cuda")


def test_gpu_that_fails_while_it_is_prepared_leaves_the_work_to_the_cpu(
    played_gpu, monkeypatch, caplog
):
    def refuse(*_):
        raise RuntimeError("No execution plans support the graph")

    monkeypatch.setattr("mobilesam.runtimes.choice._open_gpu", lambda *_, **__: refuse())
    assert "(No execution plans" in Predictor("demo", device="auto").runtime_reason
    with pytest.raises(DeviceError, match=r"No execution plans.*driver"):
        Predictor("demo", device="cuda")


def test_driver_that_is_too_old_is_named(monkeypatch):
    def refuse():
        raise RuntimeError("The NVIDIA driver on your system is too old (found version 11040).")

    monkeypatch.setattr(torch.cuda, "init", refuse)
    found = cuda_device.find_device("auto")
    assert found.device.type == "cpu"
    assert "driver on your system is too old (found version 11040)" in found.reason
    with pytest.raises(DeviceError, match="too old"):
        cuda_device.find_device("cuda")


def test_machine_without_a_gpu_is_told_nothing_of_drivers(monkeypatch):
    for error in (
        RuntimeError("Found no NVIDIA driver on your system."),
        AssertionError("Torch not compiled with CUDA enabled"),
    ):
        monkeypatch.setattr(torch.cuda, "init", lambda error=error: (_ for _ in ()).throw(error))
        assert cuda_device.find_device("auto").reason == "no CUDA device is there"


def test_second_gpu_that_is_not_there_is_named(played_gpu):
    with pytest.raises(DeviceError, match="torch sees 1 CUDA devices"):
        Predictor("demo", device="cuda:1")


def test_amd_is_said_to_be_not_supported(played_gpu, monkeypatch):
    monkeypatch.setattr(torch.version, "hip", "7.2")
    assert "ROCm is not supported" in cuda_device.find_device("auto").reason


def test_cudnns_attention_is_off_on_a_gpu(played_gpu, gpu_predictor):
    assert not torch.backends.cuda.cudnn_sdp_enabled()
    assert not torch.backends.cuda.matmul.allow_fp16_reduced_precision_reduction


def one_for_all(rows):
    return [torch.ones_like(row) for row in rows]


def spoil(found):
    return found[0], found[1] * NAN


class Exact:
    """A runtime without a network: features are pixels, a mask is where they are bright."""

    name, precision, batch_size = "torch", "float32", 4
    device = torch.device("cpu")

    def encode(self, images):
        rows = [torch.from_numpy(image[::8, ::8].copy()).permute(2, 0, 1) for image in images]
        return [row[None].float() for row in rows]

    def decode(self, features, *_):
        return features[0, [0, 0, 1, 2]] - 100, torch.tensor([0.9, 0.8, 0.7, 0.6])


def wrapped(runtime, **changed):
    """Return a runtime with some methods replaced by functions of what they would return."""
    other = copy.copy(runtime)
    for name, change in changed.items():
        method = getattr(runtime, name)
        setattr(other, name, lambda *given, change=change, method=method: change(method(*given)))
    return other


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        pytest.param({"encode": one_for_all}, "1 at once", id="same"),
        pytest.param({"encode": lambda rows: [x * NAN for x in rows]}, "1 at once", id="nan"),
        pytest.param(
            {"encode": lambda rows: [x * len(rows) for x in rows]}, "2 at once", id="batch"
        ),
        pytest.param(
            {"encode": lambda rows: rows[:2] + rows[:1] * (len(rows) - 2)},
            "4 at once",
            id="large-batch",
        ),
        pytest.param({"decode": spoil}, "scores", id="score"),
        pytest.param({"decode": lambda found: (-found[0], found[1])}, "IoU", id="mask"),
    ],
)
def test_float16_that_differs_from_float32_is_found(changed, words):
    """Finite numbers are no proof: an encoder was seen to give one embedding for all images."""
    exact = Exact()
    assert float16_fault(wrapped(exact), exact) is None
    assert words in float16_fault(wrapped(exact, **changed), exact)


def test_clicks_that_float16_spoils_are_answered_from_float32(
    demo_predictor, monkeypatch, image, caplog
):
    expected = demo_predictor.predict_object(demo_predictor.embed(image), **CLICK)
    inner = demo_predictor._runtime
    spoilt = wrapped(inner, decode=spoil)
    monkeypatch.setattr(demo_predictor, "_runtime", OomFallback(spoilt, lambda: inner))
    embedding = demo_predictor.embed(image)
    for _ in range(2):
        masks = demo_predictor.predict_object(embedding, **CLICK)
        np.testing.assert_array_equal(masks.scores, expected.scores)
        np.testing.assert_array_equal(masks.masks, expected.masks)
    assert caplog.text.count("gave no number") == 1


def test_gpu_that_fails_for_good_is_told_from_one_that_fails_once(
    played_gpu, demo_predictor, monkeypatch, image
):
    lost = []
    broken(demo_predictor, monkeypatch, ILLEGAL)
    demo_predictor.on_device_lost(lost.append)
    with pytest.raises(torch.AcceleratorError):  # the next kernel runs
        demo_predictor.embed(image)
    assert lost == []
    played_gpu.allocates_until, played_gpu.fault = 0, ILLEGAL
    with pytest.raises(DeviceLostError, match=r"illegal memory access.*restart"):
        demo_predictor.embed(image)
    assert [type(error) for error in lost] == [DeviceLostError]


def test_service_whose_gpu_is_lost_ends_so_that_it_is_started_anew(monkeypatch, caplog):
    from backend.service import server  # noqa: PLC0415 - the only test of it here

    ended = []
    monkeypatch.setattr(server.os, "_exit", ended.append)
    monkeypatch.setattr(server.logging, "shutdown", lambda: None)
    server._end_process(DeviceLostError("cuda:0 computes nothing any more"))
    assert ended == [1]  # gunicorn ends as well for 3 and 4
    assert "cuda:0 computes nothing any more; this worker ends" in caplog.text
