import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from small_objects import LARGE_HW

from mobilesam import SAM, ObjectPrompt, PromptError, predict_refined
from mobilesam.mask_geometry import bounding_box, central_point, intersection_over_union
from mobilesam.zoom import (
    ImagePixels,
    View,
    Window,
    choose_window,
    extent_window,
    mask_extent,
    predict_zoomed,
)


class Remembering(ImagePixels):
    """Counts encodes, and keeps views as the service does."""

    def __init__(self, predictor, image):
        super().__init__(predictor, image)
        self.views = {}

    def view(self, prompt):
        return self.views.get(prompt)

    def keep_view(self, prompt, view):
        self.views[prompt] = view

    @property
    def windows(self):
        return list(self._embeddings)


windows = st.builds(Window, st.integers(-90, 90), st.integers(-90, 90), st.integers(1, 120))


@given(windows, st.integers(1, 80), st.integers(1, 80))
def test_pixels_that_a_window_shows_come_back_to_their_places(window, height, width):
    rng = np.random.default_rng(0)
    image = rng.integers(0, 256, (height, width, 3)).astype(np.uint8)
    cut = window.cut(image)
    assert cut.shape == (window.side, window.side, 3)
    y, x = np.mgrid[0:height, 0:width]
    shown = (
        (x >= window.left)
        & (x < window.left + window.side)
        & (y >= window.top)
        & (y < window.top + window.side)
    )
    red = window.paste(cut[..., 0] >= 128, (height, width))
    assert np.array_equal(red, shown & (image[..., 0] >= 128))


@given(windows, st.lists(st.tuples(st.floats(-100, 200), st.floats(-100, 200)), max_size=5))
def test_window_keeps_a_prompts_positive_points_and_box_and_drops_negatives_outside(window, points):
    labels = tuple(index % 2 for index in range(len(points)))
    box = (1.0, 2.0, 30.0, 40.5)
    inner = window.of_prompt(ObjectPrompt(tuple(points), labels, box))
    back = [(x + window.left, y + window.top) for x, y in inner.points_xy]
    kept = [
        (xy, label) for xy, label in zip(points, labels, strict=True) if label or window.holds(xy)
    ]
    assert inner.point_labels == tuple(label for _, label in kept)
    assert np.allclose(back, [xy for xy, _ in kept]) if kept else not back
    assert inner.box_xyxy == (
        1.0 - window.left, 2.0 - window.top, 30.0 - window.left, 40.5 - window.top,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("extent", "window"),
    [
        pytest.param((100, 100, 140, 120), Window(60, 50, 120), id="three-times-its-long-side"),
        pytest.param((100, 100, 110, 104), Window(73, 70, 64), id="no-less-than-the-model-can-use"),
        pytest.param((0, 0, 266, 100), Window(-266, -349, 798), id="over-the-borders"),
        pytest.param((100, 100, 400, 400), None, id="too-large-to-gain"),
        *(
            pytest.param(tuple(np.roll((odd, 1, 9, 9), place)), None, id=f"{odd}-at-{place}")
            for odd in (np.nan, np.inf, -np.inf)
            for place in range(4)
        ),
    ],
)
def test_window_is_about_the_object_where_that_pays(extent, window):
    assert extent_window(extent, LARGE_HW, 256) == window


def test_box_of_a_small_object_is_decoded_in_a_window(demo_predictor, large_image, large_mask):
    image = Remembering(demo_predictor, large_image)
    prompt = ObjectPrompt(box_xyxy=tuple(bounding_box(large_mask)))
    off = predict_refined(demo_predictor, demo_predictor.embed(large_image), prompt)
    on = predict_zoomed(demo_predictor, image, prompt)
    assert image.windows == [choose_window(demo_predictor, image, prompt)]
    assert on.masks.shape == (1, *LARGE_HW)
    iou_on = intersection_over_union(on.masks[0], large_mask)
    assert iou_on > intersection_over_union(off.masks[0], large_mask) + 0.1
    assert iou_on > 0.75


def test_runs_of_a_window_are_those_of_its_mask_in_the_image(
    demo_predictor, large_image, large_mask
):
    prompt = ObjectPrompt(box_xyxy=tuple(bounding_box(large_mask)))
    masks = predict_zoomed(demo_predictor, ImagePixels(demo_predictor, large_image), prompt)
    runs = masks.runs()
    assert runs.size_hw == LARGE_HW
    lengths = np.diff(runs.edges)
    values = (np.arange(len(lengths)) % 2 == 0) == runs.begins_true
    assert np.array_equal(np.repeat(values, lengths).reshape(LARGE_HW), masks.masks[0])


def test_first_click_is_answered_from_the_whole_image_bit_for_bit(demo_predictor, large_image):
    image = Remembering(demo_predictor, large_image)
    prompt = ObjectPrompt(((700.0, 500.0),), (1,))
    off = predict_refined(demo_predictor, demo_predictor.embed(large_image), prompt)
    on = predict_zoomed(demo_predictor, image, prompt)
    assert image.windows == [None]
    assert np.array_equal(on.logits, off.logits)
    assert np.array_equal(on.masks, off.masks)


def test_first_click_is_zoomed_where_the_size_of_its_kind_is_known(
    demo_predictor, large_image, large_mask
):
    image = Remembering(demo_predictor, large_image)
    left, top, right, bottom = bounding_box(large_mask)
    size = max(right - left, bottom - top)
    prompt = ObjectPrompt((central_point(large_mask),), (1,))
    predict_zoomed(demo_predictor, image, prompt, known_size_px=size)
    (window,) = image.windows
    assert window.side == max(round(4 * size), 64)
    assert window.holds(prompt.points_xy[0])


def test_window_follows_the_mask_from_the_second_click_on(demo_predictor, large_image, large_mask):
    image = Remembering(demo_predictor, large_image)
    inside = central_point(large_mask)
    near = (inside[0] + 2, inside[1] + 1)
    first, second = ObjectPrompt((inside,), (1,)), ObjectPrompt((inside, near), (1, 1))
    predict_zoomed(demo_predictor, image, first)
    predict_zoomed(demo_predictor, image, second)
    assert image.windows[0] is None
    assert image.windows[1] == image.views[second].window is not None
    assert image.windows[1].holds(inside)
    assert image.windows[1].holds(near)


@pytest.mark.parametrize("forgets", [False, True], ids=["remembers", "forgets"])
def test_mask_does_not_depend_on_what_is_remembered(
    demo_predictor, large_image, large_mask, forgets
):
    """A replica that has never seen the earlier clicks answers the same."""
    x, y = central_point(large_mask)
    points = ((x, y), (x + 2, y + 1), (x - 40, y - 40), (x + 1, y + 3))
    labels = (1, 1, 0, 1)
    image = Remembering(demo_predictor, large_image)
    for count in range(1, 5):
        if forgets:
            image.views.clear()
        step = ObjectPrompt(points[:count], labels[:count])
        masks = predict_zoomed(demo_predictor, image, step)
    at_once = predict_zoomed(
        demo_predictor, ImagePixels(demo_predictor, large_image), ObjectPrompt(points, labels)
    )
    assert np.array_equal(masks.masks, at_once.masks)


def test_positive_click_outside_the_window_moves_it(demo_predictor, large_image):
    image = Remembering(demo_predictor, large_image)
    before = ObjectPrompt(((100.0, 100.0),), (1,))
    image.keep_view(before, View(Window(68, 68, 64), (90.0, 90.0, 110.0, 110.0)))
    after = ObjectPrompt(((100.0, 100.0), (150.0, 100.0)), (1, 1))
    window = choose_window(demo_predictor, image, after)
    assert window == extent_window((90.0, 90.0, 150.0, 110.0), LARGE_HW, 256)
    negative = ObjectPrompt(((100.0, 100.0), (150.0, 100.0)), (1, 0))
    assert choose_window(demo_predictor, image, negative) == Window(68, 68, 64)


def test_extent_is_of_the_parts_under_positive_points(demo_predictor, large_image, large_mask):
    image = ImagePixels(demo_predictor, large_image)
    prompt = ObjectPrompt(box_xyxy=tuple(bounding_box(large_mask)))
    window = choose_window(demo_predictor, image, prompt)
    masks = predict_zoomed(demo_predictor, image, prompt)
    assert mask_extent(masks, window, prompt, LARGE_HW) is None
    at = ObjectPrompt((central_point(masks.masks[0]),), (1,))
    extent = mask_extent(masks, window, at, LARGE_HW)
    per_cell = window.side / 256
    assert np.allclose(extent, bounding_box(masks.masks[0]), atol=per_cell + 2)


def test_sam_zooms_by_itself_and_not_when_told_so(demo_predictor, large_image, large_mask):
    model = SAM("demo", device="cpu", runtime="torch")
    box = bounding_box(large_mask)
    off = model.predict(large_image, bboxes=box, zoom="off")
    on = model.predict(large_image, bboxes=box)
    expected = predict_zoomed(
        demo_predictor, ImagePixels(demo_predictor, large_image), ObjectPrompt(box_xyxy=tuple(box))
    )
    assert np.array_equal(on.masks, expected.masks)
    assert not np.array_equal(on.masks, off.masks)
    click = {"points": [700, 500], "labels": [1]}
    whole = model.predict(large_image, **click, zoom="off")
    assert np.array_equal(model.predict(large_image, **click).masks, whole.masks)
    with pytest.raises(PromptError, match="zoom must be one of auto, on, off, got 'yes'"):
        model.predict(large_image, bboxes=box, zoom="yes")
