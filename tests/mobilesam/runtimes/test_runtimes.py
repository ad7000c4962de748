"""Runtimes and precisions: the choice, what they share, and that their masks are the same."""

import logging
import os
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace

import numpy as np
import openvino as ov
import pytest
import torch
from PIL import Image

from mobilesam import DeviceError, Embedding, Predictor, RuntimeChoiceError
from mobilesam.evaluation.mean_iou import compare, held_out_scenes
from mobilesam.images.resize import (
    pixel_statistics,
    to_input_pixels,
    to_model_input,
    to_model_input_on_device,
)
from mobilesam.mask_geometry import intersection_over_union
from mobilesam.runtimes import openvino_runtime
from mobilesam.runtimes.cuda_graph import captured
from mobilesam.runtimes.fixed_shape_decoder import ABSENT, PROMPT_TOKENS, pad
from mobilesam.runtimes.openvino_graphs import KEPT, PART_IS_LEFT_AFTER_S, load_graphs
from mobilesam.scenes import generate_scene
from mobilesam.weights.checkpoint import find_checkpoint, read_weights

STATISTICS = pixel_statistics(torch.device("cpu"))
CLICK = {"points_xy": [[150, 100]], "point_labels": [1]}


@pytest.fixture(scope="module")
def scene():
    return generate_scene(10_000_000, (200, 300))


@pytest.fixture(scope="module")
def fastest_predictor():
    return Predictor("demo", device="cpu", runtime="openvino")


@pytest.fixture
def cache(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    return tmp_path / "mobilesam" / "openvino"


def test_predictor_names_its_runtime_and_precision(demo_predictor, openvino_predictor):
    assert (demo_predictor.runtime, demo_predictor.precision) == ("torch", "float32")
    assert (openvino_predictor.runtime, openvino_predictor.precision) == ("openvino", "float32")


def test_auto_takes_openvino_on_a_cpu():
    assert Predictor("demo", device="cpu").runtime == "openvino"


def test_auto_falls_back_to_torch_with_a_warning(monkeypatch, caplog, scene):
    monkeypatch.setitem(
        sys.modules, "mobilesam.runtimes.openvino_runtime", None
    )  # its import fails
    predictor = Predictor("demo", device="cpu")
    assert predictor.runtime == "torch"
    assert "slower than OpenVINO" in caplog.text
    assert "OpenVINO cannot be used here, see the log" in predictor.runtime_reason
    assert predictor.predict_object(predictor.embed(scene.image), **CLICK).masks.any()
    with pytest.raises(RuntimeChoiceError, match="openvino cannot be used here"):
        Predictor("demo", device="cpu", runtime="openvino")


@pytest.mark.parametrize(
    ("asked", "reason"),
    [
        pytest.param({"device": "cpu"}, "cpu was asked for; OpenVINO is the fastest", id="cpu"),
        pytest.param(
            {"runtime": "openvino", "precision": "float32"},
            "OpenVINO runs on the CPU; openvino was asked for; float32 was asked for",
            id="openvino",
        ),
        pytest.param(
            {"device": "cpu", "runtime": "torch"},
            "cpu was asked for; torch was asked for; torch computes in float32 on a CPU",
            id="torch",
        ),
    ],
)
def test_choice_is_explained(asked, reason):
    assert Predictor("demo", **asked).runtime_reason.startswith(reason)


def test_choice_of_a_gpu_is_explained(gpu_predictor):
    assert gpu_predictor.runtime_reason == (
        "cuda was asked for; torch runs on CUDA; float16 is the fastest on CUDA"
    )


@pytest.mark.parametrize(
    ("choice", "error", "words"),
    [
        pytest.param({"runtime": "onnx"}, RuntimeChoiceError, "use auto, torch", id="runtime"),
        pytest.param({"precision": "int8"}, RuntimeChoiceError, "use auto, float32", id="int8"),
        pytest.param(
            {"precision": "float16", "device": "cpu"},
            RuntimeChoiceError,
            "only torch computes in float16",
            id="float16",
        ),
        pytest.param(
            {"runtime": "openvino", "device": "cuda:99"}, DeviceError, "use auto or cpu", id="cuda"
        ),
    ],
)
def test_choices_that_are_not_there_are_named(choice, error, words):
    with pytest.raises(error, match=words):
        Predictor("demo", **choice)


def test_fastest_precision_keeps_the_masks(fastest_predictor, demo_predictor):
    """`python -m mobilesam compare` is the same on 200 scenes and on photographs."""
    found = compare(fastest_predictor, demo_predictor, held_out_scenes(8))
    assert len(found["click"]) > 20
    assert np.mean(found["click"]) >= 0.995
    assert np.mean(found["box"]) >= 0.995


def test_compare_sees_masks_that_differ(demo_predictor, monkeypatch):
    coarse = Predictor("demo", device="cpu", runtime="torch")
    encode = coarse._runtime.encode
    monkeypatch.setattr(
        coarse._runtime, "encode", lambda images: [x.round() for x in encode(images)]
    )
    found = compare(coarse, demo_predictor, held_out_scenes(2))
    assert np.mean(found["click"]) < 0.995


def test_embeddings_are_interchangeable_between_runtimes(demo_predictor, fastest_predictor, scene):
    """On purpose: replicas on different machines share them."""
    assert demo_predictor.model_id == fastest_predictor.model_id
    expected = demo_predictor.predict_object(demo_predictor.embed(scene.image), **CLICK).masks[0]
    for maker, reader in (
        (demo_predictor, fastest_predictor),
        (fastest_predictor, demo_predictor),
    ):
        made = maker.embed(scene.image)
        half = Embedding(made.features.half(), made.size_hw, made.model_id)
        for embedding in (made, half):
            mask = reader.predict_object(embedding, **CLICK).masks[0]
            assert intersection_over_union(mask, expected) > 0.98


@pytest.mark.parametrize("clicks", [1, PROMPT_TOKENS - 1, PROMPT_TOKENS, 60])
def test_prompts_of_any_length_give_the_same_logits(
    demo_predictor, openvino_predictor, scene, clicks
):
    embedding = demo_predictor.embed(scene.image)
    prompt = {
        "points_xy": np.random.default_rng(0).uniform(0, 200, (clicks, 2)),
        "point_labels": [number % 3 != 1 for number in range(clicks)],
    }
    one = demo_predictor.predict(embedding, **prompt)
    other = openvino_predictor.predict(embedding, **prompt)
    np.testing.assert_allclose(other.logits, one.logits, rtol=0, atol=1e-3)
    np.testing.assert_allclose(other.scores, one.scores, rtol=0, atol=1e-4)


def test_a_mask_prompt_gives_the_same_logits(demo_predictor, openvino_predictor, scene):
    embedding = demo_predictor.embed(scene.image)
    first = demo_predictor.predict(embedding, **CLICK).logits[:1]
    one, other = (
        predictor.predict(embedding, **CLICK, mask_logits=first, multimask=False).logits
        for predictor in (demo_predictor, openvino_predictor)
    )
    np.testing.assert_allclose(other, one, rtol=0, atol=1e-3)


def test_padding_says_which_tokens_are_absent():
    prompt = pad(np.array([[3.25, 4.5], [5, 6]]), [1, 0])
    assert prompt.shape == (1, PROMPT_TOKENS, 3)
    assert prompt[0, :2].tolist() == [[3.25, 4.5, 1], [5, 6, 0]]
    assert (prompt[0, 2:, 2] == ABSENT).all()


def test_openvino_has_seen_an_array_before_threads_bring_theirs(monkeypatch):
    """Its first one in several threads at once was a deadlock, in one of ten starts."""
    seen = []
    tensor = openvino_runtime.ov.Tensor
    monkeypatch.setattr(
        openvino_runtime.ov,
        "Tensor",
        lambda array, **named: seen.append(array) or tensor(array, **named),
    )
    Predictor("demo", device="cpu", runtime="openvino")
    assert len(seen) == 1


def test_openvino_answers_many_threads_as_it_answers_one(openvino_predictor):
    scenes = [generate_scene(10_000_100 + n, (64 + 8 * n, 256 - 4 * n)) for n in range(16)]

    def answer(scene):
        embedding = openvino_predictor.embed(scene.image)
        return [openvino_predictor.predict(embedding, **CLICK).logits for _ in range(4)]

    serial = [answer(scene) for scene in scenes]
    with ThreadPoolExecutor(16) as pool:
        for one, other in zip(pool.map(answer, scenes), serial, strict=True):
            np.testing.assert_allclose(one, other, rtol=0, atol=1e-4)


@pytest.mark.parametrize("name", ["demo_predictor", "openvino_predictor"])
def test_embed_batch_equals_embed(request, name, monkeypatch):
    predictor = request.getfixturevalue(name)
    if name == "demo_predictor":
        monkeypatch.setattr(predictor, "batch_size", 2)
    images = [generate_scene(10_000_000 + n, (100 + n, 90)).image for n in range(3)]
    together = predictor.embed_batch(images)
    assert predictor.embed_batch([]) == []
    for embedding, image in zip(together, images, strict=True):
        alone = predictor.embed(image)
        assert embedding.size_hw == alone.size_hw
        assert embedding.features.untyped_storage().nbytes() == embedding.nbytes
        np.testing.assert_allclose(embedding.features, alone.features, rtol=0, atol=1e-4)


@pytest.mark.parametrize("size_hw", [(200, 300), (1200, 1600), (40, 30), (1, 7)], ids=str)
def test_resizing_on_the_device_equals_pils(size_hw):
    image = np.asarray(Image.fromarray(generate_scene(10_000_000, (200, 300)).image))
    image = np.asarray(Image.fromarray(image).resize(size_hw[::-1]))
    ours = to_model_input_on_device(torch.from_numpy(image.copy()), 256, STATISTICS)
    theirs = to_model_input(image, 256)
    assert ours.shape == theirs.shape == (1, 3, 256, 256)
    one_grey_level = 1.001 / 57.12
    assert (ours - theirs).abs().max() <= one_grey_level


def test_resizing_on_the_device_keeps_the_masks(demo_predictor, monkeypatch):
    other = Predictor("demo", device="cpu", runtime="torch")
    monkeypatch.setattr(
        other._runtime,
        "_to_input",
        lambda image: to_model_input_on_device(
            torch.from_numpy(image), other.input_size, STATISTICS
        ),
    )
    found = compare(other, demo_predictor, held_out_scenes(4))
    assert np.mean(found["click"] + found["box"]) > 0.99


def test_input_pixels_are_the_formula_to_the_last_bit(scene):
    pixels = to_input_pixels(scene.image[:, :256], 256)
    mean = np.array([123.675, 116.28, 103.53], np.float32)
    std = np.array([58.395, 57.12, 57.375], np.float32)
    np.testing.assert_array_equal(pixels[:200], (np.float32(scene.image[:, :256]) - mean) / std)
    assert not pixels[200:].any()


def test_a_graph_that_cannot_be_captured_is_a_warning(monkeypatch, caplog):
    def refuse(_device, priority):
        raise RuntimeError("no CUDA")

    monkeypatch.setattr(torch.cuda, "Stream", refuse)
    double = captured(lambda x: (2 * x,), (torch.zeros(1),))
    assert double(torch.ones(1))[0] == 2
    assert "no CUDA graph" in caplog.text


def graphs_of(weights):
    return load_graphs(ov.Core(), weights, "0" * 64)


def test_graphs_are_converted_once_and_damage_is_repaired(cache, monkeypatch, caplog):
    weights = read_weights(find_checkpoint("demo"))
    conversions = []
    convert = ov.convert_model
    monkeypatch.setattr(
        "mobilesam.runtimes.openvino_graphs.ov.convert_model",
        lambda program: conversions.append(1) or convert(program),
    )
    graphs_of(weights)
    graphs_of(weights)
    assert len(conversions) == 3  # encoder, decoder and mask adder
    (folder,) = cache.iterdir()
    (folder / "encoder.bin").write_bytes(b"cut")
    graphs_of(weights)
    assert len(conversions) == 6
    assert "damaged" in caplog.text


def test_graphs_are_bounded(cache):
    weights = read_weights(find_checkpoint("demo"))
    for number in range(KEPT):
        (cache / f"old-{number}").mkdir(parents=True)
        (cache / f"old-{number}" / "encoder.xml").touch()
    graphs_of(weights)
    assert len(list(cache.iterdir())) == KEPT


def test_what_a_killed_start_left_in_the_cache_is_removed(cache):
    for name, age_s in (("part-left", PART_IS_LEFT_AFTER_S + 60), ("part-in-use", 60)):
        (cache / name / "whole").mkdir(parents=True)
        os.utime(cache / name, times=(time.time() - age_s,) * 2)
    graphs_of(read_weights(find_checkpoint("demo")))
    assert not (cache / "part-left").exists()
    assert (cache / "part-in-use").exists()


def test_a_cache_that_cannot_be_written_is_a_warning(cache, caplog):
    cache.parent.mkdir(parents=True)
    cache.write_text("a file where the folder should be")
    with caplog.at_level(logging.WARNING):
        graphs = graphs_of(read_weights(find_checkpoint("demo")))
    assert len(graphs) == 3
    assert "cannot keep the model" in caplog.text


def test_precision_that_does_not_compile_becomes_float32(monkeypatch, caplog):
    class Picky(openvino_runtime._Compiled):
        def __init__(self, core, graph, precision):
            if precision != "float32":
                raise RuntimeError("unsupported")
            super().__init__(core, graph, precision)

    monkeypatch.setattr(openvino_runtime, "_Compiled", Picky)
    monkeypatch.setattr(openvino_runtime, "_native_precision", lambda _core: "bfloat16")
    assert Predictor("demo", device="cpu", runtime="openvino").precision == "float32"
    assert "bfloat16 failed" in caplog.text


@pytest.mark.parametrize(
    ("native", "expected"),
    [(ov.Type.f32, "float32"), (ov.Type.bf16, "bfloat16"), (ov.Type.f16, "bfloat16")],
    ids=str,
)
def test_native_precision_follows_the_processor(native, expected):
    core = SimpleNamespace(get_property=lambda *_: native)
    assert openvino_runtime._native_precision(core) == expected
