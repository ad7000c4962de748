import numpy as np
import pytest

from backend.embeddings.tiers.base import EmbeddingKey
from backend.segmentation import click_logits
from backend.segmentation.click_logits import LOGITS_KEPT, ClickLogits
from mobilesam import ObjectPrompt

IMAGE = EmbeddingKey("weights-1", "a" * 64)
CLICK = ObjectPrompt(((12.3456789012345, 50.0),), (1,))
LOGITS = np.random.default_rng(0).normal(0, 10, (1, 256, 256)).astype(np.float16)


class Shared:
    """Notes in a dict."""

    def __init__(self):
        self.notes = {}

    def get(self, name, *, expire_s):
        return self.notes.get(name)

    def put(self, name, value, *, expire_s):
        assert expire_s == click_logits.SHARED_FOR_S
        self.notes[name] = value
        return True


def remembering(shared=None):
    logits = ClickLogits(shared)
    logits.of_image(IMAGE).put(CLICK, LOGITS)
    return logits


@pytest.mark.parametrize("shared", [None, Shared()], ids=["alone", "shared"])
def test_logits_are_remembered_as_they_were(shared):
    remembered = remembering(shared)
    np.testing.assert_array_equal(remembered.of_image(IMAGE).get(CLICK), LOGITS)


@pytest.mark.parametrize(
    "shared", [pytest.param(None, id="alone"), pytest.param(Shared(), id="shared")]
)
@pytest.mark.parametrize(
    ("image", "prompt"),
    [
        pytest.param(EmbeddingKey("weights-1", "b" * 64), CLICK, id="another-image"),
        pytest.param(EmbeddingKey("weights-2", "a" * 64), CLICK, id="other-weights"),
        pytest.param(IMAGE, ObjectPrompt(CLICK.points_xy, (0,)), id="negative"),
        pytest.param(IMAGE, ObjectPrompt(((12.3456789012346, 50.0),), (1,)), id="moved"),
        pytest.param(IMAGE, ObjectPrompt(*[x * 2 for x in (CLICK.points_xy, (1,))]), id="longer"),
        pytest.param(
            IMAGE, ObjectPrompt(CLICK.points_xy, (1,), (0.0, 0.0, 9.0, 9.0)), id="with-a-box"
        ),
    ],
)
def test_logits_are_of_one_image_one_model_and_one_prompt(shared, image, prompt):
    assert remembering(shared).of_image(image).get(prompt) is None


def test_another_service_finds_logits_in_every_bit():
    shared = Shared()
    remembering(shared)
    other = ClickLogits(shared).of_image(IMAGE)
    found = other.get(CLICK)
    assert found.dtype == np.float16
    np.testing.assert_array_equal(found, LOGITS)
    shared.notes.clear()
    assert other.get(CLICK) is not None  # kept here from now on


@pytest.mark.parametrize(
    "damage",
    [
        pytest.param(lambda _: b"", id="empty"),
        pytest.param(lambda note: note[:-2], id="truncated"),
        pytest.param(lambda note: note[:500] + b"\0\1" + note[502:], id="changed"),
        pytest.param(lambda _: b"\xff" * 131_076, id="other-bytes"),
    ],
)
def test_damaged_note_is_none(damage):
    shared = Shared()
    remembering(shared)
    shared.notes = {name: damage(note) for name, note in shared.notes.items()}
    assert ClickLogits(shared).of_image(IMAGE).get(CLICK) is None


def test_note_at_the_place_of_another_one_is_none():
    shared = Shared()
    remembered = remembering(shared).of_image(IMAGE)
    other = ObjectPrompt(((1.0, 2.0),), (1,))
    remembered.put(other, -LOGITS)
    first, second = shared.notes
    shared.notes[first] = shared.notes[second]
    assert ClickLogits(shared).of_image(IMAGE).get(CLICK) is None


def test_boxes_without_points_fill_no_memory():
    shared = Shared()
    remembered = ClickLogits(shared).of_image(IMAGE)
    box = ObjectPrompt(box_xyxy=(0.0, 0.0, 9.0, 9.0))
    remembered.put(box, LOGITS)
    assert remembered.get(box) is None
    assert not shared.notes


def test_logits_end_after_a_while(monkeypatch):
    monkeypatch.setattr(click_logits, "KEPT_FOR_S", 0)
    assert remembering().of_image(IMAGE).get(CLICK) is None


def test_oldest_logits_go_where_many_are_kept():
    remembered = remembering().of_image(IMAGE)
    for number in range(LOGITS_KEPT):
        remembered.put(ObjectPrompt(((float(number), 0.0),), (1,)), LOGITS)
    assert remembered.get(CLICK) is None
    assert remembered.get(ObjectPrompt(((0.0, 0.0),), (1,))) is not None
