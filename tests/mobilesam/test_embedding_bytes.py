import json
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from mobilesam import Embedding, EmbeddingBytesError
from mobilesam.embedding_bytes import MAGIC, pack_features, unpack_features
from mobilesam.evaluation.mean_iou import coco_examples, held_out_scenes
from mobilesam.mask_geometry import bounding_box, central_point, intersection_over_union

COCO = Path(__file__).parents[3] / "shared" / "data" / "coco_small"
FEATURES = torch.linspace(-3, 3, 2 * 4 * 4).reshape(1, 2, 4, 4)
PACKED = pack_features(FEATURES, (30, 40), "model-1")


def with_header(**changes):
    """An entry whose checksum is right and whose header is not."""
    header = {"model_id": "m", "size_hw": [3, 4], "dtype": "float16", "shape": [1, 2, 4, 4]}
    text = json.dumps(header | changes).encode()
    body = struct.pack("<I", len(text)) + text + bytes(64)
    return MAGIC + struct.pack("<I", zlib.crc32(body)) + body


def mask_ious(predictor, image, masks):
    """IoU of the masks from an embedding with those from its bytes, a click and a box each."""
    embedding = predictor.embed(image)
    stored = predictor.unpack(predictor.pack(embedding))
    for mask in masks:
        prompts = [
            {"points_xy": [central_point(mask)], "point_labels": [1]},
            {"box_xyxy": bounding_box(mask)},
        ]
        for prompt in prompts:
            first, second = (
                predictor.predict_object(each, **prompt).masks[0] for each in (embedding, stored)
            )
            yield intersection_over_union(first, second) if first.any() else float(not second.any())


def test_unpacked_features_are_the_packed_ones_to_half_precision():
    features, size_hw, model_id = unpack_features(PACKED)
    assert features.dtype == torch.float32
    assert torch.equal(features, FEATURES.half().float())
    assert (size_hw, model_id) == ((30, 40), "model-1")
    assert len(PACKED) < 2 * FEATURES.numel() + 200


@pytest.mark.parametrize("value", [1e6, float("nan")], ids=["beyond-half", "not-a-number"])
def test_features_that_half_precision_cannot_hold_stay_single(value):
    features = FEATURES.clone()
    features[0, 0, 0, 0] = value
    unpacked, _, _ = unpack_features(pack_features(features, (30, 40), "model-1"))
    assert torch.equal(unpacked.nan_to_num(), features.nan_to_num())


@given(at=st.integers(0, len(PACKED) - 1), xor=st.integers(1, 255))
def test_any_changed_byte_is_recognised(at, xor):
    damaged = bytearray(PACKED)
    damaged[at] ^= xor
    with pytest.raises(EmbeddingBytesError):
        unpack_features(bytes(damaged))


@given(length=st.integers(0, len(PACKED) - 1))
def test_any_truncation_is_recognised(length):
    with pytest.raises(EmbeddingBytesError):
        unpack_features(PACKED[:length])


@pytest.mark.parametrize(
    "changes",
    [
        pytest.param({"dtype": "object"}, id="type"),
        pytest.param({"shape": [1, 2, 4, 5]}, id="shape"),
        pytest.param({"shape": "large"}, id="shape-is-text"),
        pytest.param({"size_hw": [3]}, id="size"),
        pytest.param({"size_hw": None}, id="no-size"),
    ],
)
def test_header_that_makes_no_sense_is_recognised(changes):
    unpack_features(with_header())
    with pytest.raises(EmbeddingBytesError, match="make no sense"):
        unpack_features(with_header(**changes))


def test_predictor_unpacks_what_it_packed(demo_predictor):
    embedding = demo_predictor.embed(np.full((60, 80, 3), 90, np.uint8))
    unpacked = demo_predictor.unpack(demo_predictor.pack(embedding))
    assert unpacked.size_hw == (60, 80)
    assert unpacked.features.device == embedding.features.device
    assert unpacked.features.dtype == embedding.features.dtype
    torch.testing.assert_close(unpacked.features, embedding.features, rtol=1e-3, atol=1e-6)


def test_predictor_refuses_the_embedding_of_other_weights(demo_predictor):
    other = Embedding(FEATURES, (30, 40), "mobilesam-other-weights-0")
    with pytest.raises(EmbeddingBytesError, match="mobilesam-other-weights-0"):
        demo_predictor.unpack(demo_predictor.pack(other))


def test_bytes_change_no_mask_of_scenes_visibly(demo_predictor):
    ious = [iou for scene in held_out_scenes(6) for iou in mask_ious(demo_predictor, *scene)]
    print(f"\n{len(ious)} masks of scenes, IoU mean {np.mean(ious):.5f}, least {min(ious):.4f}")
    assert np.mean(ious) >= 0.999
    assert min(ious) >= 0.99


@pytest.mark.skipif(not COCO.exists(), reason="the photographs are on the build machines only")
def test_bytes_change_no_mask_of_photographs_visibly(demo_predictor):
    examples = list(coco_examples(COCO / "instances.json", COCO / "images"))[:20]
    ious = [iou for image, masks in examples for iou in mask_ious(demo_predictor, image, masks[:4])]
    print(
        f"\n{len(ious)} masks of photographs, IoU mean {np.mean(ious):.5f}, least {min(ious):.4f}"
    )
    assert np.mean(ious) >= 0.999
