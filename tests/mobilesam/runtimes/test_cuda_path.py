"""What runs on a GPU, run on a played one (`played_gpu.py`): real code, float16, no CUDA.

The demo weights, since float16 takes a CPU long. What only a GPU can tell is left: its kernels,
its memory, how long anything takes.
"""

import dataclasses

import numpy as np
import pytest
import torch
from played_gpu import CUDA

from mobilesam import Embedding, ObjectPrompt, Predictor, predict_refined
from mobilesam.images.resize import LARGEST_SHRINK
from mobilesam.mask_geometry import intersection_over_union
from mobilesam.runtimes import cuda_graph
from mobilesam.runtimes.cuda_graph import captured
from mobilesam.runtimes.fixed_shape_decoder import PROMPT_TOKENS
from mobilesam.scenes import generate_scene
from mobilesam.weights.checkpoint import read_weights

CLICK = {"points_xy": [[150, 100]], "point_labels": [1]}
BOX = {"box_xyxy": [100, 50, 220, 160]}
ENCODER, DECODER = 0, 1  # the graphs, in the order of their capture


def many_clicks(count):
    points_xy = np.random.default_rng(0).uniform(90, 180, (count, 2))
    return {"points_xy": points_xy, "point_labels": [1] * count}


def nchw_in_memory_as_nhwc(features):
    return features.permute(0, 2, 3, 1).is_contiguous()


@pytest.fixture(scope="module")
def scene():
    return generate_scene(10_000_000, (200, 300))


@pytest.mark.parametrize("is_fed_back", [False, True], ids=["first", "fed-back"])
@pytest.mark.parametrize(
    ("prompt", "replays"),
    [
        pytest.param(CLICK, 1, id="click"),
        pytest.param(BOX, 1, id="box"),
        pytest.param(CLICK | BOX, 1, id="click-and-box"),
        pytest.param(many_clicks(PROMPT_TOKENS - 1), 1, id="longest-captured"),
        pytest.param(many_clicks(PROMPT_TOKENS + 5), 0, id="longer-than-captured"),
    ],
)
def test_masks_of_a_gpu_are_those_of_the_cpu(
    loaded_gpu, gpu_predictor, demo_predictor, scene, prompt, replays, is_fed_back
):
    embeddings = [one.embed(scene.image) for one in (gpu_predictor, demo_predictor)]
    if is_fed_back:
        earlier = demo_predictor.predict(embeddings[1], **CLICK, multimask=False)
        prompt = prompt | {"mask_logits": earlier.logits}
    loaded_gpu.forget()
    ours = gpu_predictor.predict(embeddings[0], **prompt)
    theirs = demo_predictor.predict(embeddings[1], **prompt)
    assert loaded_gpu.graphs[DECODER].replays == replays
    assert ours.low_res.device == CUDA
    np.testing.assert_allclose(ours.scores, theirs.scores, rtol=0, atol=0.01)
    for k in range(3):
        assert intersection_over_union(ours.masks[k], theirs.masks[k]) > 0.97
        runs = ours.runs(k)
        is_on = np.arange(runs.edges.size - 1) % 2 != runs.begins_true
        pixels = np.repeat(is_on, np.diff(runs.edges)).reshape(runs.size_hw)
        np.testing.assert_array_equal(pixels, ours.masks[k])


def test_graphs_are_captured_at_the_start_without_a_warning(played_gpu, caplog):
    """Whatever waits for the GPU inside of encoder or decoder would be one."""
    predictor = Predictor("demo", device="cuda")
    assert predictor.precision == "float16"
    assert len(played_gpu.graphs) == 2
    assert caplog.records == []


def test_images_of_any_sizes_are_embedded_together_as_alone(loaded_gpu, gpu_predictor):
    images = [generate_scene(10_000_000 + n, (100 + 60 * n, 190)).image for n in range(3)]
    together = gpu_predictor.embed_batch(images)
    assert loaded_gpu.graphs[ENCODER].replays == 0
    alone = [gpu_predictor.embed(image) for image in images]
    assert loaded_gpu.graphs[ENCODER].replays == 3
    for one, other in zip(together, alone, strict=True):
        assert one.features.device == other.features.device == CUDA
        assert one.features.dtype == other.features.dtype == torch.float16
        assert nchw_in_memory_as_nhwc(one.features)
        assert nchw_in_memory_as_nhwc(other.features)
        assert one.features.inner.untyped_storage().nbytes() == one.nbytes
        np.testing.assert_allclose(
            one.features.cpu().float(), other.features.cpu().float(), rtol=0, atol=0.02
        )


def test_encodes_cross_once_for_each_image_and_stay_off_the_clicks_stream(
    loaded_gpu, gpu_predictor, scene
):
    """Clicks wait for what is on their stream, each of their transfers does."""
    gpu_predictor.embed(scene.image)  # the first one also sends the channels' means
    loaded_gpu.forget()
    gpu_predictor.embed(scene.image)
    assert [transfer.to for transfer in loaded_gpu.transfers] == ["gpu"]
    assert loaded_gpu.waits == ["to gpu", "synchronize"]
    assert set(loaded_gpu.kernels[loaded_gpu.default_stream]) <= {"split"}
    loaded_gpu.forget()
    gpu_predictor.embed_batch([scene.image] * 3)
    assert [transfer.to for transfer in loaded_gpu.transfers] == ["gpu"] * 3
    assert set(loaded_gpu.kernels[loaded_gpu.default_stream]) <= {"split", "detach", "clone"}


def test_embeddings_are_said_to_be_in_use_by_clicks(loaded_gpu, gpu_predictor, scene):
    """Else their memory may be used again while a click that dropped them last reads it still."""
    features = gpu_predictor.embed(scene.image).features
    assert any(
        tensor.inner.data_ptr() == features.inner.data_ptr() and stream is loaded_gpu.default_stream
        for tensor, stream in loaded_gpu.recorded
    )


def test_clicks_go_before_encodes(loaded_gpu, gpu_predictor):
    encoder, decoder = loaded_gpu.graphs
    assert decoder.stream.priority < encoder.stream.priority


def test_embeddings_come_back_from_bytes_onto_the_gpu(gpu_predictor, demo_predictor, scene):
    embedding = gpu_predictor.embed(scene.image)
    expected = gpu_predictor.predict_object(embedding, **CLICK).masks
    data = gpu_predictor.pack(embedding)
    again = gpu_predictor.unpack(data).in_half_precision()
    assert again.features.device == CUDA
    assert again.nbytes == embedding.nbytes
    assert nchw_in_memory_as_nhwc(again.features)
    np.testing.assert_array_equal(gpu_predictor.predict_object(again, **CLICK).masks, expected)
    elsewhere = demo_predictor.predict_object(demo_predictor.unpack(data), **CLICK).masks
    assert intersection_over_union(elsewhere[0], expected[0]) > 0.99


def test_embeddings_that_the_cpu_made_are_decoded_on_the_gpu(gpu_predictor, demo_predictor, scene):
    """As those are that did not fit into the GPU's memory."""
    made = demo_predictor.embed(scene.image)
    ours = gpu_predictor.predict_object(
        Embedding(made.features, made.size_hw, made.model_id), **CLICK
    )
    theirs = demo_predictor.predict_object(made, **CLICK)
    assert ours.are_on_gpu
    assert intersection_over_union(ours.masks[0], theirs.masks[0]) > 0.99


def test_further_clicks_refine_on_the_gpu_as_on_the_cpu(gpu_predictor, demo_predictor, scene):
    prompt = ObjectPrompt(((150.0, 100.0), (160.0, 110.0), (20.0, 20.0)), (1, 1, 0))
    ours, theirs = (
        predict_refined(one, one.embed(scene.image), prompt).masks[0]
        for one in (gpu_predictor, demo_predictor)
    )
    assert intersection_over_union(ours, theirs) > 0.99


def test_images_too_large_for_the_gpus_kernel_are_resized_before(
    loaded_gpu, gpu_predictor, demo_predictor
):
    """Torch's antialiasing refuses them: "Too much shared memory required"."""
    width = LARGEST_SHRINK * gpu_predictor.input_size + 1
    image = np.random.default_rng(0).integers(0, 256, (80, width, 3), np.uint8)
    ours = gpu_predictor.embed(image).features.cpu().float()
    kernels = {name for counts in loaded_gpu.kernels.values() for name in counts}
    assert "_upsample_bilinear2d_aa" not in kernels
    np.testing.assert_allclose(ours, demo_predictor.embed(image).features, rtol=0, atol=0.05)
    gpu_predictor.embed(image[:, : width - 1])
    kernels = {name for counts in loaded_gpu.kernels.values() for name in counts}
    assert "_upsample_bilinear2d_aa" in kernels


def test_weights_beyond_float16_are_computed_in_float32(played_gpu, monkeypatch, scene, caplog):
    """The norm behind takes the factor out again, in float32."""
    name = "image_encoder.neck.0.weight"

    def read(path):
        weights = read_weights(path)
        scaled = {name: 1e5 * weights.tensors[name].float()}
        return dataclasses.replace(weights, tensors={**weights.tensors, **scaled})

    monkeypatch.setattr("mobilesam.predictor.read_weights", read)
    monkeypatch.setattr(cuda_graph, "WARM_UP_CALLS", 1)
    predictor = Predictor("demo", device="cuda")
    assert predictor.precision == "float32"
    assert "the GPU uses float32, float16 differs with these weights" in caplog.text
    assert predictor.predict_object(predictor.embed(scene.image), **CLICK).masks.any()


def test_what_waits_for_the_gpu_is_not_captured(played_gpu, caplog):
    example = torch.ones(2, device="cuda")
    scaled = captured(lambda x: (x * x.sum().item(),), (example,))
    assert "no CUDA graph" in caplog.text
    assert scaled(example)[0].cpu().tolist() == [2, 2]


def test_replays_keep_earlier_answers_whatever_the_streams(played_gpu):
    double = captured(lambda x: (2 * x, x.view(1, 2) + 1), (torch.zeros(2, device="cuda"),))
    streams = [torch.cuda.Stream() for _ in range(2)]
    answers = []
    for number, stream in enumerate([*streams, *streams]):
        with torch.cuda.stream(stream):
            answers.append(double(torch.full((2,), float(number), device="cuda")))
    torch.cuda.synchronize()
    for number, (doubled, more) in enumerate(answers):
        assert doubled.cpu().tolist() == [2 * number] * 2
        assert more.cpu().tolist() == [[number + 1] * 2]
