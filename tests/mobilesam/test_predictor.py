import math
from concurrent.futures import ThreadPoolExecutor
from dataclasses import FrozenInstanceError

import numpy as np
import pytest
import torch

from mobilesam import DeviceError, ImageError, Predictor, PromptError
from mobilesam.evaluation.mean_iou import inner_point
from mobilesam.mask_geometry import bounding_box
from mobilesam.scenes import generate_scene

THREADS = 32


@pytest.fixture(scope="module")
def scene():
    return generate_scene(10_000_000, (200, 300))


@pytest.fixture(scope="module")
def embedding(demo_predictor, scene):
    return demo_predictor.embed(scene.image)


def test_predict_returns_three_candidates_or_one_mask(demo_predictor, embedding):
    prompt = {"points_xy": [[150, 100]], "point_labels": [1]}
    three = demo_predictor.predict(embedding, **prompt, multimask=True)
    assert three.masks.shape == (3, 200, 300)
    assert three.masks.dtype == bool
    assert three.scores.shape == (3,)
    assert three.scores.dtype == np.float32
    assert three.logits.shape == (3, 256, 256)
    assert three.logits.dtype == np.float32
    one = demo_predictor.predict(embedding, **prompt, multimask=False)
    assert one.masks.shape == (1, 200, 300)


def test_best_is_the_candidate_with_the_highest_score(demo_predictor, embedding):
    three = demo_predictor.predict(embedding, points_xy=[[150, 100]], point_labels=[1])
    best = three.best()
    k = int(np.argmax(three.scores))
    assert best.scores[0] == three.scores[k]
    np.testing.assert_array_equal(best.masks[0], three.masks[k])


def test_one_click_is_ambiguous_and_more_prompts_are_not(demo_predictor, embedding):
    click = {"points_xy": [[150, 100]], "point_labels": [1]}
    candidates = demo_predictor.predict(embedding, **click, multimask=True)
    chosen = demo_predictor.predict_object(embedding, **click)
    np.testing.assert_array_equal(chosen.logits, candidates.best().logits)
    box = {"box_xyxy": [20, 20, 200, 150]}
    clear = demo_predictor.predict(embedding, **box, multimask=False)
    np.testing.assert_array_equal(
        demo_predictor.predict_object(embedding, **box).logits, clear.logits
    )


def test_logits_can_be_fed_back(demo_predictor, embedding):
    click = {"points_xy": [[150, 100]], "point_labels": [1]}
    first = demo_predictor.predict(embedding, **click)
    again = demo_predictor.predict(
        embedding, **click, mask_logits=first.logits[1:2], multimask=False
    )
    assert again.logits.shape == (1, 256, 256)
    assert not np.array_equal(
        again.logits, demo_predictor.predict(embedding, **click, multimask=False).logits
    )


def test_coordinates_are_not_rounded(demo_predictor, embedding):
    def predict(x):
        return demo_predictor.predict(embedding, points_xy=[[x, 100]], point_labels=[1]).logits

    assert not np.array_equal(predict(150.0), predict(150.4))


def test_embedding_is_immutable_and_knows_its_size(embedding):
    assert embedding.size_hw == (200, 300)
    assert embedding.nbytes == embedding.features.numel() * 4
    with pytest.raises(FrozenInstanceError):
        embedding.size_hw = (1, 1)


def test_embeddings_and_masks_are_equal_only_to_themselves(demo_predictor, scene, embedding):
    assert embedding != demo_predictor.embed(scene.image)
    click = {"points_xy": [[150, 100]], "point_labels": [1]}
    masks = demo_predictor.predict(embedding, **click)
    assert masks != demo_predictor.predict(embedding, **click)
    assert {embedding, masks} == {masks, embedding}  # as keys, which needs a hash


def test_concurrent_answers_equal_serial_ones(demo_predictor):
    """32 threads embed and predict different images at once; nothing leaks between them."""
    scenes = [generate_scene(10_000_100 + n, (64 + 8 * n, 256 - 4 * n)) for n in range(THREADS)]

    def answer(scene):
        embedding = demo_predictor.embed(scene.image)
        rng = np.random.default_rng(0)
        found = [embedding.features.numpy()]
        for mask in scene.masks:
            point = [inner_point(rng, mask)]
            click = demo_predictor.predict_object(embedding, points_xy=point, point_labels=[1])
            box = demo_predictor.predict_object(embedding, box_xyxy=bounding_box(mask))
            found += [click.logits, click.masks, click.scores, box.logits, box.masks]
        return found

    serial = [answer(scene) for scene in scenes]
    with ThreadPoolExecutor(THREADS) as pool:
        for _ in range(2):
            for one, other in zip(pool.map(answer, scenes), serial, strict=True):
                for ours, expected in zip(one, other, strict=True):
                    np.testing.assert_allclose(
                        np.float32(ours), np.float32(expected), rtol=0, atol=1e-4
                    )


@pytest.mark.parametrize(
    ("prompt", "words"),
    [
        pytest.param({}, "nothing to predict from", id="nothing"),
        pytest.param({"points_xy": [[1, 2]]}, r"shapes \(1, 2\) and \(0,\)", id="no-labels"),
        pytest.param({"points_xy": [1, 2], "point_labels": [1]}, r"\(N, 2\)", id="flat-point"),
        pytest.param({"points_xy": [[1, 2]], "point_labels": [2]}, "1 .on. or 0", id="label-2"),
        pytest.param({"points_xy": [[1, math.nan]], "point_labels": [1]}, "finite", id="point-nan"),
        pytest.param(
            {"points_xy": [[1, 2], [3]], "point_labels": [1, 1]},
            "points_xy must be an array",
            id="ragged-points",
        ),
        pytest.param(
            {"points_xy": [[1, 2]], "point_labels": ["on"]},
            "point_labels must be an array",
            id="text-label",
        ),
        pytest.param({"box_xyxy": "abcd"}, "box_xyxy must be an array", id="text-box"),
        pytest.param({"box_xyxy": [1, 2, 3]}, "4 finite numbers", id="box-of-three"),
        pytest.param({"box_xyxy": [1, 2, math.inf, 4]}, "4 finite numbers", id="box-inf"),
        pytest.param({"box_xyxy": [5, 2, 5, 4]}, "left < right", id="box-without-width"),
        pytest.param(
            {"mask_logits": np.zeros((1, 64, 64))}, r"\(1, 256, 256\)", id="logits-of-another-size"
        ),
    ],
)
def test_prompts_that_are_none_are_named(demo_predictor, embedding, prompt, words):
    with pytest.raises(PromptError, match=words):
        demo_predictor.predict(embedding, **prompt)


def test_embedding_of_another_model_is_refused(demo_predictor, embedding):
    other = type(embedding)(embedding.features, embedding.size_hw, "mobilesam-other")
    with pytest.raises(PromptError, match="embed the image again"):
        demo_predictor.predict(other, points_xy=[[1, 1]], point_labels=[1])


@pytest.mark.parametrize(
    "image",
    [
        pytest.param(np.zeros((5, 5), np.uint8), id="grey"),
        pytest.param(np.zeros((5, 5, 4), np.uint8), id="rgba"),
        pytest.param(np.zeros((5, 5, 3), np.float32), id="float"),
        pytest.param(np.zeros((0, 5, 3), np.uint8), id="empty"),
    ],
)
def test_arrays_that_are_no_image_are_named(demo_predictor, image):
    with pytest.raises(ImageError, match=r"\(H, W, 3\) uint8 RGB"):
        demo_predictor.embed(image)


@pytest.mark.parametrize("size_hw", [(1, 1), (1, 900), (900, 1), (7, 5)], ids=str)
def test_images_of_any_shape_give_masks_of_their_size(demo_predictor, size_hw):
    embedding = demo_predictor.embed(np.full((*size_hw, 3), 90, np.uint8))
    masks = demo_predictor.predict(embedding, points_xy=[[0, 0]], point_labels=[1])
    assert masks.masks.shape == (3, *size_hw)


@pytest.mark.parametrize("device", ["gpu", "cuda:99", "meta", ""])
def test_devices_that_are_not_there_are_named(device):
    with pytest.raises(DeviceError, match="use auto"):
        Predictor("demo", device=device)


def test_device_auto_takes_cuda_where_there_is_one(demo_predictor):
    expected = "cuda" if torch.cuda.is_available() else "cpu"
    assert Predictor("demo", device="auto").device.type == expected
    assert demo_predictor.device.type == "cpu"


def test_model_id_names_the_weights(demo_predictor):
    assert demo_predictor.weights == "demo"
    assert demo_predictor.model_id.startswith("mobilesam-demo-weights-")
