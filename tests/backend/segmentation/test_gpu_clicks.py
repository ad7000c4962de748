"""A click's way through a GPU, played (`played_gpu.py`): what crosses, and what is waited for."""

import numpy as np
import pytest
import torch

from backend.embeddings.encode_batches import EncodeBatches
from backend.embeddings.tiers.base import EmbeddingKey, LruCache
from backend.segmentation.cleaning import Cleaning
from backend.segmentation.click_logits import ClickLogits
from backend.segmentation.object_masks import ObjectMasks
from mobilesam import MaskRuns, ObjectPrompt
from mobilesam.scenes import generate_scene

CLICKS = ObjectPrompt(((150.0, 100.0), (160.0, 110.0)), (1, 1))
LOGITS_BYTES = 4 * 256 * 256


@pytest.fixture
def embedding(gpu_predictor):
    scene = generate_scene(10_000_000, (200, 300))
    return EncodeBatches(gpu_predictor).embed(lambda: scene.image).in_half_precision()


@pytest.fixture
def object_masks(gpu_predictor):
    return ObjectMasks(gpu_predictor, ClickLogits(None), Cleaning())


def test_a_click_sends_one_transfer_and_fetches_no_pixels(
    loaded_gpu, gpu_predictor, object_masks, embedding
):
    """To the host: the scores, the logits that the next click refines, and the mask's runs."""
    key = EmbeddingKey(gpu_predictor.model_id, "0" * 64)
    for count in (1, 2):
        prompt = ObjectPrompt(CLICKS.points_xy[:count], CLICKS.point_labels[:count])
        loaded_gpu.forget()
        runs, _ = object_masks.segment(key, embedding, prompt, fetch=bytes, runs_will_do=True)
        assert isinstance(runs, MaskRuns)
        sent, *fetched = loaded_gpu.transfers
        assert sent.to == "gpu"
        assert sent.nbytes < LOGITS_BYTES
        assert [transfer.to for transfer in fetched] == ["host"] * 3
        assert sum(transfer.nbytes for transfer in fetched) < LOGITS_BYTES + 200 * 300 / 4
        assert loaded_gpu.waits == ["to host", "to host", "nonzero", "to host"]


def test_a_mask_to_be_cleaned_is_the_one_whose_runs_would_come(
    gpu_predictor, object_masks, embedding
):
    key = EmbeddingKey(gpu_predictor.model_id, "0" * 64)
    runs, score = object_masks.segment(key, embedding, CLICKS, fetch=bytes, runs_will_do=True)
    mask, same_score = object_masks.segment(key, embedding, CLICKS, fetch=bytes, runs_will_do=False)
    assert score == same_score
    is_on = np.arange(runs.edges.size - 1) % 2 != runs.begins_true
    np.testing.assert_array_equal(np.repeat(is_on, np.diff(runs.edges)).reshape(mask.shape), mask)


def test_embeddings_stay_on_the_gpu_in_half_precision_until_they_are_stored(
    loaded_gpu, gpu_predictor, embedding
):
    cache = LruCache(10_000_000)
    key = EmbeddingKey(gpu_predictor.model_id, "0" * 64)
    cache.put(key, embedding)
    kept = cache.get(key)
    assert kept.features.device.type == "cuda"
    assert kept.features.dtype == torch.float16
    assert cache.state().bytes == kept.features.numel() * 2
    loaded_gpu.forget()
    stored = gpu_predictor.pack(kept)
    assert [transfer.to for transfer in loaded_gpu.transfers] == ["host"]
    unpacked = gpu_predictor.unpack(stored).in_half_precision()
    np.testing.assert_array_equal(unpacked.features.cpu(), kept.features.cpu())
