import itertools

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from mobilesam import Masks, ObjectPrompt, PromptError, predict_refined
from mobilesam.refining import MAX_STEPS, rounded_logits
from mobilesam.scenes import generate_scene

POINTS = ((120.0, 130.0), (140.5, 100.25), (60.0, 200.0), (133.0, 128.0))
LABELS = (1, 1, 0, 0)
BOX = (90.0, 80.0, 180.0, 170.0)

coordinates = st.floats(0, 256)
clicks = st.lists(st.tuples(coordinates, coordinates, st.integers(0, 1)), max_size=MAX_STEPS + 5)


@pytest.fixture(scope="module")
def embedding(demo_predictor):
    return demo_predictor.embed(generate_scene(10_000_000).image)


@pytest.fixture
def decodes(demo_predictor, monkeypatch):
    """The number of points of every decode, and whether logits came along."""
    counted = []
    decode = demo_predictor.predict_object

    def count(embedding, **prompt):
        counted.append((len(prompt["points_xy"]), prompt["mask_logits"] is not None))
        return decode(embedding, **prompt)

    monkeypatch.setattr(demo_predictor, "predict_object", count)
    return counted


class Memory(dict):
    def put(self, prompt, logits):
        self[prompt] = logits


def of_clicks(count, box_xyxy=None):
    return ObjectPrompt(POINTS[:count], LABELS[:count], box_xyxy)


@pytest.mark.parametrize(
    ("prompt", "counts"),
    [
        pytest.param(of_clicks(1), [], id="one-click"),
        pytest.param(of_clicks(3), [1, 2], id="three-clicks"),
        pytest.param(of_clicks(0, BOX), [], id="box"),
        pytest.param(of_clicks(2, BOX), [0, 1], id="box-and-clicks"),
        pytest.param(ObjectPrompt(POINTS[:3], (0, 0, 1)), [], id="positive-click-last"),
        pytest.param(ObjectPrompt(POINTS, (0, 1, 0, 1)), [2, 3], id="positive-click-second"),
        pytest.param(ObjectPrompt(POINTS[:2], (0, 0)), [], id="negative-clicks"),
    ],
)
def test_beginnings_are_what_was_there_before_each_further_click(prompt, counts):
    assert [len(beginning.points_xy) for beginning in prompt.beginnings()] == counts


@given(clicks=clicks, box=st.none() | st.just(BOX))
def test_beginnings_say_where_the_object_is_and_are_few(clicks, box):
    points = tuple((x, y) for x, y, _ in clicks)
    labels = tuple(label for _, _, label in clicks)
    beginnings = ObjectPrompt(points, labels, box).beginnings()
    assert len(beginnings) <= MAX_STEPS
    for shorter in beginnings:
        count = len(shorter.points_xy)
        assert count < len(points)
        assert shorter == ObjectPrompt(points[:count], labels[:count], box)
        assert box is not None or 1 in shorter.point_labels
    for earlier, later in itertools.pairwise(beginnings):
        assert later.beginnings()[-1] == earlier


@pytest.mark.parametrize("box", [None, BOX], ids=["clicks", "box-and-clicks"])
def test_mask_is_the_same_whatever_is_remembered(demo_predictor, embedding, box):
    memory = Memory()
    for count in range(0 if box else 1, len(POINTS) + 1):
        prompt = of_clicks(count, box)
        remembering = predict_refined(demo_predictor, embedding, prompt, memory)
        anew = predict_refined(demo_predictor, embedding, prompt)
        np.testing.assert_array_equal(remembering.logits, anew.logits)
    memory.pop(of_clicks(2, box))
    with_a_gap = predict_refined(demo_predictor, embedding, of_clicks(3, box), memory)
    np.testing.assert_array_equal(rounded_logits(with_a_gap), memory[of_clicks(3, box)])


def test_further_click_is_one_decode_with_the_logits_of_the_mask_before(
    demo_predictor, embedding, decodes
):
    memory = Memory()
    for count in (1, 2, 3, 2, 3):  # the third was undone, and made again
        predict_refined(demo_predictor, embedding, of_clicks(count), memory)
    assert decodes == [(1, False), (2, True), (3, True), (2, True), (3, True)]


def test_what_is_not_remembered_is_decoded_first(demo_predictor, embedding, decodes):
    predict_refined(demo_predictor, embedding, of_clicks(3))
    assert decodes == [(1, False), (2, True), (3, True)]


def test_many_clicks_are_decoded_in_a_bounded_number_of_steps(demo_predictor, embedding, decodes):
    rng = np.random.default_rng(0)
    points = tuple(map(tuple, rng.uniform(0, 256, (100, 2)).tolist()))
    predict_refined(demo_predictor, embedding, ObjectPrompt(points, (1,) * 100))
    assert len(decodes) == MAX_STEPS + 1
    assert decodes[-1] == (100, True)


def test_logits_beyond_half_precision_are_fed_back_finite():
    low_res = torch.full((1, 256, 256), 1e6)
    low_res[0, 0, 0] = -1e6
    rounded = rounded_logits(Masks(low_res, np.ones(1, np.float32), (10, 10), 256))
    assert np.isfinite(rounded).all()
    assert (rounded[0, 0, 0] < 0) & (rounded[0, 1, 1] > 0)


def test_object_without_a_prompt_is_refused(demo_predictor, embedding):
    with pytest.raises(PromptError, match="nothing to predict from"):
        predict_refined(demo_predictor, embedding, ObjectPrompt())
