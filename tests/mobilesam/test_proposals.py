from dataclasses import dataclass

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from mobilesam import SAM, PromptError
from mobilesam.mask_geometry import intersection_over_union
from mobilesam.proposals import (
    LEAST_BOX_IOU,
    MAX_MASK_IOU,
    grid_points,
    propose,
    stability_scores,
    suppress,
)
from mobilesam.scenes import generate_scene


@dataclass
class FakeMasks:
    logits: np.ndarray
    scores: np.ndarray


class FakePredictor:
    """Answers each click with the discs that hold it, the first of them as three candidates."""

    weights = "fake"
    input_size = 256

    def __init__(self, discs, scores=(0.95, 0.9, 0.5)):
        y, x = np.mgrid[0:256, 0:256] + 0.5
        self.discs = [
            (radius - np.hypot(x - cx, y - cy)).astype(np.float32) * 10 for cx, cy, radius in discs
        ]
        self.scores = np.array(scores, np.float32)
        self.clicks = []

    def predict(self, embedding, *, points_xy, point_labels, multimask):
        assert multimask
        assert point_labels == [1]
        ((x, y),) = points_xy
        self.clicks.append((x, y))
        scale = 256 / max(embedding.size_hw)
        cell = int(y * scale), int(x * scale)
        logits = next((d for d in self.discs if d[cell] > 0), np.full((256, 256), -10, np.float32))
        return FakeMasks(np.stack([logits] * 3), self.scores)


@dataclass
class FakeEmbedding:
    size_hw: tuple = (256, 256)


def squares(*boxes):
    """(N, 24, 24) bool."""
    masks = np.zeros((len(boxes), 24, 24), bool)
    for mask, (left, top, right, bottom) in zip(masks, boxes, strict=True):
        mask[top:bottom, left:right] = True
    return masks


box_sides = st.tuples(st.integers(0, 16), st.integers(0, 16), st.integers(1, 8), st.integers(1, 8))
candidates = st.lists(
    st.tuples(box_sides, st.sampled_from([0.5, 0.7, 0.7, 0.8, 0.9, 1.0])), max_size=25
).map(
    lambda found: (
        squares(*((x, y, x + w, y + h) for (x, y, w, h), _ in found)),
        np.array([score for _, score in found]),
    )
)


def box_iou(one, other):
    boxes = []
    for mask in (one, other):
        box = np.zeros_like(mask)
        ys, xs = np.nonzero(mask)
        box[ys.min() : ys.max() + 1, xs.min() : xs.max() + 1] = True
        boxes.append(box)
    return intersection_over_union(*boxes)


def are_duplicates(one, other):
    return (
        intersection_over_union(one, other) > MAX_MASK_IOU and box_iou(one, other) >= LEAST_BOX_IOU
    )


@given(candidates)
def test_suppression_keeps_no_two_that_show_the_same(found):
    masks, scores = found
    kept = suppress(masks, scores)
    for index, one in enumerate(kept):
        assert not any(are_duplicates(masks[one], masks[other]) for other in kept[:index])


@given(candidates)
def test_what_is_suppressed_has_a_better_one_in_its_place(found):
    masks, scores = found
    kept = suppress(masks, scores)
    for lost in set(range(len(masks))) - set(kept):
        assert any(
            scores[one] >= scores[lost] and are_duplicates(masks[one], masks[lost]) for one in kept
        )


@given(candidates)
def test_suppression_puts_the_best_first_and_changes_nothing_the_second_time(found):
    masks, scores = found
    kept = suppress(masks, scores)
    assert list(scores[kept]) == sorted(scores[kept], reverse=True)
    assert suppress(masks[kept], scores[kept]) == list(range(len(kept)))


@given(candidates, st.randoms(use_true_random=False))
def test_suppression_does_not_depend_on_the_order_of_different_scores(found, random):
    masks, scores = found
    scores = scores - np.arange(len(scores)) * 1e-6
    order = random.sample(range(len(masks)), len(masks))
    kept = suppress(masks[order], scores[order])
    assert [order[one] for one in kept] == suppress(masks, scores)


def test_ring_and_what_lies_in_it_are_two_objects_though_their_boxes_are_alike():
    ring, inner = squares((2, 2, 20, 20), (4, 4, 18, 18))
    ring &= ~inner
    assert box_iou(ring, inner) > LEAST_BOX_IOU
    assert suppress(np.stack([ring, inner]), np.array([0.9, 0.8])) == [0, 1]


def test_nothing_is_suppressed_where_there_is_nothing():
    assert suppress(np.zeros((0, 4, 4), bool), np.zeros(0)) == []


@given(arrays(np.float32, (2, 5, 5), elements=st.floats(-3, 3, width=32)))
def test_stability_is_the_iou_of_the_mask_cut_higher_and_lower(logits):
    for found, one in zip(stability_scores(logits), logits, strict=True):
        high, low = one > 1, one > -1
        expected = (high & low).sum() / (high | low).sum() if (high | low).any() else 0
        assert found == pytest.approx(expected)


def test_grid_points_are_the_centers_of_equal_cells():
    points = grid_points(2, (100, 400))
    assert points.tolist() == [[100, 25], [300, 25], [100, 75], [300, 75]]


def test_each_object_is_proposed_once_however_many_points_are_on_it():
    predictor = FakePredictor([(60, 60, 40), (190, 190, 50)])
    found = propose(predictor, FakeEmbedding(), points_per_side=8)
    assert len(predictor.clicks) == 64
    assert [float(masks.scores[0]) for masks in found] == pytest.approx([0.95, 0.95])
    assert sorted(masks.masks[0].sum() for masks in found) == pytest.approx(
        [np.pi * 40**2, np.pi * 50**2], rel=0.02
    )


def test_masks_are_brought_to_the_size_of_the_image():
    predictor = FakePredictor([(128, 64, 40)])
    (found,) = propose(predictor, FakeEmbedding((500, 1000)), points_per_side=8)
    assert found.masks.shape == (1, 500, 1000)
    assert found.masks[0, 250, 500]
    assert found.masks[0].sum() == pytest.approx(np.pi * (40 * 1000 / 256) ** 2, rel=0.02)


@pytest.mark.parametrize(
    "disc",
    [
        pytest.param((64, 64, 2), id="speck"),
        pytest.param((128, 128, 400), id="ground"),
        pytest.param((10, -38, 40), id="sliver-at-the-edge"),
    ],
)
def test_specks_slivers_and_the_ground_are_no_objects(disc):
    assert propose(FakePredictor([disc]), FakeEmbedding(), points_per_side=64) == []


@pytest.mark.parametrize("scores", [(0.5, 0.6, 0.87)], ids=str)
def test_unsure_candidates_are_no_proposals(scores):
    predictor = FakePredictor([(60, 60, 40)], scores)
    assert propose(predictor, FakeEmbedding(), points_per_side=4) == []
    assert len(propose(predictor, FakeEmbedding(), points_per_side=4, min_score=0.86)) == 1


def test_candidates_whose_edge_depends_on_the_threshold_are_no_proposals():
    predictor = FakePredictor([(60, 60, 40)])
    predictor.discs[0] /= 50
    assert propose(predictor, FakeEmbedding(), points_per_side=4) == []


@pytest.mark.parametrize("points_per_side", [0, 65])
def test_grid_without_points_or_with_too_many_is_refused(points_per_side):
    with pytest.raises(PromptError, match="points_per_side must be 1 to 64"):
        propose(FakePredictor([]), FakeEmbedding(), points_per_side=points_per_side)


def test_objects_of_a_scene_are_found_without_a_prompt():
    scene = generate_scene(10_000_001)
    result = SAM("demo", device="cpu").everything(scene.image, points_per_side=12)
    best = [
        max(intersection_over_union(mask, wanted) for mask in result.masks)
        for wanted in scene.masks
    ]
    assert np.mean(np.array(best) > 0.5) >= 0.75
    assert list(result.scores) == sorted(result.scores, reverse=True)
