"""The CUDA path on a GPU that is played: see `fake_cuda` for what that can show."""

import copy
import functools

import numpy as np
import pytest
import torch
from fake_cuda import DEVICE, Replay, Traffic, fake_cuda

from mobilesam import ObjectPrompt, Predictor
from mobilesam.model import SIZES, MobileSAM
from mobilesam.padded_decoder import PROMPT_TOKENS
from mobilesam.refining import predict_refined
from mobilesam.spilling_runtime import to_device_with_room
from mobilesam.torch_runtime import TorchRuntime

IMAGES = [np.zeros(shape, np.uint8) for shape in ((120, 160, 3), (90, 50, 3), (1, 1, 3))]
POINT = {"points_xy": [[40, 30]], "point_labels": [1]}


@functools.cache
def real_model(sizes):
    return MobileSAM(SIZES[sizes]).eval()


@pytest.fixture(params=["vit_t", "demo"])
def model(request, monkeypatch):
    model = copy.deepcopy(real_model(request.param))
    with fake_cuda(monkeypatch, model):
        yield model


@pytest.fixture
def predictor(model):
    return Predictor("demo", device="cuda")


def features_shape(model):
    sizes = model.sizes
    return sizes.embedding_dim, sizes.grid_size, sizes.grid_size


@pytest.mark.parametrize("count", [1, 3], ids=["one", "batch"])
def test_images_are_embedded_on_the_gpu_in_half_precision(model, count):
    runtime = TorchRuntime(model, DEVICE)
    features = runtime.encode(IMAGES[:count])
    assert runtime.precision == "float16"
    assert (features.device, features.dtype) == (DEVICE, torch.float16)
    assert features.shape == (count, *features_shape(model))
    assert features.is_contiguous(memory_format=torch.channels_last)  # as the decoder reads


@pytest.mark.parametrize("precision", ["auto", "float32"])
@pytest.mark.parametrize("tokens", [1, PROMPT_TOKENS, PROMPT_TOKENS + 1])
@pytest.mark.parametrize("refines", [False, True], ids=["first", "refines"])
@pytest.mark.parametrize("kept", [torch.float16, torch.float32], ids=str)
@pytest.mark.parametrize("model", ["demo"], indirect=True)
def test_every_prompt_is_decoded_on_the_gpu(model, precision, tokens, refines, kept):
    runtime = TorchRuntime(model, DEVICE, precision)
    features = torch.zeros(1, *features_shape(model), dtype=kept, device=DEVICE)
    side = 4 * features.shape[-1]
    logits = torch.zeros(1, side, side) if refines else None
    found, iou = runtime.decode(features, np.zeros((tokens, 2)), [1] * tokens, logits)
    assert (found.device, found.dtype, found.shape) == (DEVICE, torch.float32, (4, side, side))
    assert (iou.device, iou.dtype, iou.shape) == (DEVICE, torch.float32, (4,))


@pytest.mark.parametrize("read", [True, False], ids=["to-gpu", "stays"])
def test_embedding_that_another_service_made_is_decoded_on_the_gpu(predictor, model, read):
    features = torch.zeros(1, *features_shape(model))
    embedding = predictor.embed(IMAGES[0])
    if read:
        features = to_device_with_room(features, predictor.device)
        assert features.device == DEVICE
    found = type(embedding)(features, embedding.size_hw, embedding.model_id)
    assert predictor.predict_object(found, **POINT).are_on_gpu


def test_embedding_is_kept_and_packed(predictor):
    embedding = predictor.embed(IMAGES[0]).in_half_precision()
    assert embedding.features.device == DEVICE
    assert len(predictor.pack(embedding)) > embedding.nbytes


def test_click_after_click_is_answered_from_the_gpu(predictor):
    embedding = predictor.embed(IMAGES[0])
    prompt = ObjectPrompt(points_xy=((40, 30), (50, 30), (60, 30)), point_labels=(1, 0, 1))
    masks = predict_refined(predictor, embedding, prompt)
    assert masks.are_on_gpu
    assert masks.masks.shape == (1, 120, 160)
    assert masks.runs().size_hw == (120, 160)


def test_images_of_a_batch_keep_their_own_memory(predictor):
    embeddings = predictor.embed_batch(IMAGES)
    assert [each.size_hw for each in embeddings] == [(120, 160), (90, 50), (1, 1)]
    assert len({each.features.untyped_storage()._cdata for each in embeddings}) == len(IMAGES)


def test_a_click_goes_to_the_gpu_once_and_little_comes_back(predictor):
    embedding = predictor.embed(IMAGES[0])
    with Traffic() as traffic:
        masks = predictor.predict_object(embedding, **POINT)
    assert traffic.seen == {"to GPU": 1, "to CPU": 1}  # the prompt; how good the masks may be
    with Traffic() as traffic:
        masks.runs()
    assert traffic.seen == {"waits": 1, "to CPU": 1}  # how many runs; the runs
    with Traffic() as traffic:
        assert masks.logits.nbytes == 256 * 256 * 4
    assert traffic.seen == {"to CPU": 1}  # for the next click


def test_an_image_goes_to_the_gpu_once(predictor):
    with Traffic() as traffic:
        predictor.embed(IMAGES[0])
    assert traffic.seen == {"to GPU": 1}


@pytest.mark.parametrize(
    "fault",
    [
        pytest.param(lambda x: (x + torch.zeros(2, 2),), id="a-tensor-on-the-cpu"),
        pytest.param(lambda x: (x @ torch.zeros(2, 2, device=DEVICE),), id="another-type"),
        pytest.param(lambda x: (x if x.sum() else -x,), id="a-condition"),
        pytest.param(lambda x: (x.nonzero(),), id="an-unknown-length"),
        pytest.param(lambda x: (x.cpu().to(DEVICE),), id="by-way-of-the-cpu"),
        pytest.param(lambda x: (x + torch.ones(()).to(DEVICE),), id="a-number-from-the-cpu"),
    ],
)
@pytest.mark.parametrize("model", ["demo"], indirect=True)
def test_what_a_capture_refuses_is_refused_here(model, fault):
    example = torch.zeros(2, 2, dtype=torch.float16, device=DEVICE)
    with pytest.raises((RuntimeError, AssertionError)):
        Replay(fault, (example,))(example)
