import dataclasses
import tracemalloc

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backend.embeddings.shared_notes import SEAL_BYTES, sealed
from backend.labeling.prompts import Point, Prompt, Rectangle
from backend.segmentation import last_objects
from backend.segmentation.last_objects import LastObjects

KEY = ("7.1", 4, "image", None, ("Car",))
CLICK = Prompt("image", None, ("Car",), 0.0, points=(Point(12.3456789012345, 50.0, True),))

percents = st.floats(-1, 101)
points = st.lists(st.builds(Point, percents, percents, st.booleans())).map(tuple)
rectangles = st.builds(
    Rectangle, percents, percents, percents, percents, percents, percents, st.text()
)
prompts = st.builds(
    Prompt,
    st.text(),
    st.none() | st.integers(0, 100),
    st.lists(st.text()).map(tuple),
    percents,
    points,
    st.none() | rectangles,
)


class Shared:
    """Notes in a dict; gone while `is_gone`, takes no more while `is_full`."""

    def __init__(self):
        self.notes = {}
        self.is_gone = False
        self.is_full = False

    @property
    def is_up(self):
        return not self.is_gone

    def get(self, name, *, expire_s):
        return None if self.is_gone else self.notes.get(name)

    def put(self, name, value, *, expire_s):
        assert expire_s == last_objects.REMEMBERED_FOR_S
        if self.is_gone or self.is_full:
            return False
        self.notes[name] = value
        return True

    def remove(self, name):
        if not self.is_gone:
            self.notes.pop(name, None)


def test_object_is_remembered_by_its_key():
    remembered = LastObjects(None)
    remembered.put(KEY, CLICK)
    assert remembered.get(KEY) == CLICK
    assert remembered.get((*KEY[:4], ("Tree",))) is None


@pytest.mark.parametrize("shared", [None, Shared()], ids=["own", "shared"])
def test_object_of_too_many_points_is_not_remembered_nor_the_one_before_it(shared):
    remembered = LastObjects(shared)
    remembered.put(KEY, CLICK)
    points = last_objects.MOST_POINTS * CLICK.points
    remembered.put(KEY, full := dataclasses.replace(CLICK, points=points))
    assert remembered.get(KEY) == full
    remembered.put(KEY, dataclasses.replace(CLICK, points=points + CLICK.points))
    assert remembered.get(KEY) is None
    assert LastObjects(shared).get(KEY) is None


@given(prompt=prompts)
def test_shared_object_is_the_same_in_every_digit(prompt):
    shared = Shared()
    LastObjects(shared).put(KEY, prompt)
    # Image tag and labels are the key's.
    expected = dataclasses.replace(prompt, to_name=KEY[2], labels=KEY[4])
    assert LastObjects(shared).get(KEY) == expected


def test_last_object_of_another_service_comes_before_an_older_own_one():
    shared = Shared()
    first, second = LastObjects(shared), LastObjects(shared)
    first.put(KEY, CLICK)
    newer = Prompt("image", None, ("Car",), 0.0, points=(Point(1.0, 2.0, True),))
    second.put(KEY, newer)
    assert first.get(KEY) == newer


@pytest.mark.parametrize("fault", ["is_full", "is_gone"])
def test_object_that_could_not_be_shared_comes_before_an_earlier_one(fault):
    shared = Shared()
    first, second = LastObjects(shared), LastObjects(shared)
    second.put(KEY, CLICK)
    newer = Prompt("image", None, ("Car",), 0.0, points=(Point(1.0, 2.0, True),))
    setattr(shared, fault, True)
    first.put(KEY, newer)
    setattr(shared, fault, False)
    assert first.get(KEY) == newer
    if fault == "is_full":
        assert LastObjects(shared).get(KEY) is None  # better than the earlier one
    second.put(KEY, CLICK)
    first.put(KEY, newer)
    assert second.get(KEY) == newer


def test_own_object_is_left_when_the_shared_place_is_gone():
    shared = Shared()
    remembered = LastObjects(shared)
    shared.is_gone = True
    remembered.put(KEY, CLICK)
    assert remembered.get(KEY) == CLICK


@pytest.mark.parametrize(
    "damage",
    [
        pytest.param(lambda _: b"", id="empty"),
        pytest.param(lambda note: note[:-1], id="truncated"),
        pytest.param(lambda note: note.replace(b"12.34", b"12.35"), id="a-digit-changed"),
        pytest.param(lambda note: note[SEAL_BYTES:], id="without-its-seal"),
        pytest.param(lambda note: b"\xff" + note, id="foreign"),
    ],
)
def test_damaged_note_is_none(damage):
    shared = Shared()
    remembered = LastObjects(shared)
    remembered.put(KEY, CLICK)
    shared.notes = {name: damage(note) for name, note in shared.notes.items()}
    assert remembered.get(KEY) == CLICK
    assert LastObjects(shared).get(KEY) is None


def test_note_of_another_object_is_none():
    shared, other = Shared(), (*KEY[:4], ("Tree",))
    remembered = LastObjects(shared)
    for key in (KEY, other):
        remembered.put(key, CLICK)
    one, two = shared.notes
    shared.notes = {one: shared.notes[two], two: shared.notes[one]}
    assert LastObjects(shared).get(KEY) is None


@pytest.mark.parametrize(
    "note", [b"{", b"[]", b"{}", b'{"rectangle": null, "points": [{}], "labels": []}']
)
def test_note_of_another_version_is_none(note):
    shared = Shared()
    LastObjects(shared).put(KEY, CLICK)
    (name,) = shared.notes
    shared.notes[name] = sealed(name, note)
    assert LastObjects(shared).get(KEY) is None


def test_objects_of_the_longest_labels_and_most_points_take_a_bounded_room():
    """Each with texts of its own, as a request brings them."""
    objects = LastObjects(None)
    tracemalloc.start()
    try:
        before, _ = tracemalloc.get_traced_memory()
        for number in range(3 * last_objects.OBJECTS_REMEMBERED):
            labels = (f"{number}" + "\U0001f600" * 9_000,)
            prompt = Prompt("image" * 100, None, labels, 0.0, (Point(number / 7, 1.0, True),))
            objects.put(("1.0", number, "image" * 100, None, labels), prompt)
        after, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert after - before < 4_000_000
    assert objects.get(("1.0", number, "image" * 100, None, labels)).points == prompt.points


def test_note_that_is_gone_while_others_answer_is_not_replaced_by_an_older_object():
    """Another service has removed or overwritten it: what this one remembers is an earlier one."""
    shared = Shared()
    here = LastObjects(shared)
    here.put(KEY, CLICK)
    shared.notes.clear()
    assert here.get(KEY) is None
    shared.is_gone = True
    assert here.get(KEY) == CLICK
