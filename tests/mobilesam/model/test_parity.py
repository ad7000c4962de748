"""The official MobileSAM code's numbers, reproduced; see tests/golden/parity/README.md.

`pytest -s` on this file prints the largest difference of each kind.
"""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mobilesam import Predictor

GOLDEN = Path(__file__).parents[2] / "golden" / "parity"
REFERENCE = np.load(GOLDEN / "reference.npz")
CASES = json.loads(bytes(REFERENCE["cases.json"]))
EMBEDDING_TOLERANCE = LOGITS_TOLERANCE = 1e-3
IOU_TOLERANCE = 1e-4
DIFFERING_PIXELS = 1e-4


def case_id(case):
    return f"{case['image']}-{case['prompt']}-{'multi' if case['multimask'] else 'single'}"


@pytest.fixture(scope="module", params=["torch", "openvino"])
def predictor(request, parity_checkpoint):
    """Every runtime that computes in float32."""
    return Predictor(parity_checkpoint, device="cpu", runtime=request.param, precision="float32")


@pytest.fixture(scope="module")
def embeddings(predictor):
    images = ("a.png", "b.png")
    return {
        name: predictor.embed(np.asarray(Image.open(GOLDEN / name).convert("RGB")))
        for name in images
    }


@pytest.fixture(scope="module")
def largest():
    """Kind of number -> the largest difference seen; printed at the end."""
    differences = {}
    yield differences
    for kind, difference in differences.items():
        print(f"\nlargest difference of {kind}: {difference:.2g}", end="")


def note_largest(largest, kind, difference):
    largest[kind] = max(largest.get(kind, 0), float(difference))


def test_cases_cover_every_prompt_kind():
    kinds = {case["prompt"] for case in CASES}
    assert kinds == {"point", "two_points", "box", "box_and_points", "refine"}
    assert len(CASES) == 18


@pytest.mark.parametrize("name", ["a.png", "b.png"])
def test_embedding_equals_official(embeddings, largest, name):
    ours = embeddings[name].features.numpy()
    assert ours.shape == (1, 256, 64, 64)
    official = REFERENCE[f"{name}/embedding_every_4th"]
    note_largest(largest, "an embedding", np.abs(ours[0, ::4, ::4, ::4] - official).max())
    np.testing.assert_allclose(ours[0, ::4, ::4, ::4], official, rtol=0, atol=EMBEDDING_TOLERANCE)


@pytest.mark.parametrize("case", CASES, ids=case_id)
def test_prediction_equals_official(predictor, embeddings, largest, case):
    multi_or_single = "multi" if case["multimask"] else "single"
    key = f"{case['image']}/{case['prompt']}/{multi_or_single}"
    masks = predictor.predict(
        embeddings[case["image"]],
        points_xy=case["points"],
        point_labels=case["labels"],
        box_xyxy=case["box"],
        mask_logits=REFERENCE[f"{key}/mask_input"] if "mask_input" in case else None,
        multimask=case["multimask"],
    )
    width, height = case["size"]
    count = 3 if case["multimask"] else 1
    assert masks.masks.shape == (count, height, width)
    assert masks.logits.shape == (count, 256, 256)
    iou, logits = REFERENCE[f"{key}/iou"], REFERENCE[f"{key}/low_res_every_2nd"]
    note_largest(largest, "a predicted IoU", np.abs(masks.scores - iou).max())
    note_largest(largest, "the logits", np.abs(masks.logits[:, ::2, ::2] - logits).max())
    np.testing.assert_allclose(masks.scores, iou, rtol=0, atol=IOU_TOLERANCE)
    np.testing.assert_allclose(masks.logits[:, ::2, ::2], logits, rtol=0, atol=LOGITS_TOLERANCE)
    bits = np.unpackbits(REFERENCE[f"{key}/mask_bits"], count=count * height * width)
    differing = np.count_nonzero(masks.masks.ravel() != bits.astype(bool))
    note_largest(largest, "a mask, as a share of its pixels", differing / bits.size)
    assert differing < DIFFERING_PIXELS * bits.size
    areas = masks.masks.sum(axis=(1, 2))
    np.testing.assert_allclose(areas, case["area"], atol=DIFFERING_PIXELS * height * width)
