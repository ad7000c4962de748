import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backend.monitoring import request_record
from backend.monitoring.request_record import collecting_steps, observing_steps, step, waiting_for


class Clock:
    """A clock that a test sets."""

    now_s = 0.0

    def perf_counter(self):
        return self.now_s


@pytest.fixture
def clock(monkeypatch):
    clock = Clock()
    monkeypatch.setattr(request_record, "time", clock)
    return clock


def test_steps_are_added_up_by_name_in_their_order(clock):
    times_s = {}
    with collecting_steps(times_s):
        for name, seconds in [("mask", 2), ("codec", 1), ("mask", 3)]:
            with step(name):
                clock.now_s += seconds
    assert list(times_s.items()) == [("mask", 5), ("codec", 1)]


def test_step_that_fails_is_measured_too(clock):
    times_s = {}

    def fetch():
        with step("fetch"):
            clock.now_s += 4
            raise ZeroDivisionError

    with collecting_steps(times_s), pytest.raises(ZeroDivisionError):
        fetch()
    assert times_s == {"fetch": 4}


def test_steps_are_told_of_and_added_up(clock):
    times_s, told = {"decode": 1}, []

    def decode():
        with step("decode"):
            clock.now_s += 4
            raise ZeroDivisionError

    with (
        collecting_steps(times_s),
        pytest.raises(ZeroDivisionError),
        observing_steps(lambda *told_of: told.append(told_of)),
    ):
        decode()
    assert told == [("decode", 4)]
    assert times_s == {"decode": 5}


def test_steps_outside_of_what_is_collected_are_forgotten(clock):
    times_s = {}
    with step("fetch"):
        clock.now_s += 1
    with collecting_steps(times_s), collecting_steps({}), step("fetch"):
        clock.now_s += 1
    with collecting_steps(times_s), step("decode"):
        clock.now_s += 1
    assert times_s == {"decode": 1}


def test_threads_collect_their_own_steps():
    times_s = {}
    with collecting_steps(times_s):
        thread = threading.Thread(target=lambda: step("fetch").__enter__())
        thread.start()
        thread.join()
    assert times_s == {}


@pytest.mark.parametrize(
    ("waited_s", "expected"),
    [
        pytest.param(10, {"encode": 4, "decode": 2, "wait": 4}, id="from-before-it-began"),
        pytest.param(6, {"encode": 4, "decode": 2, "wait": 0}, id="all-of-it"),
        pytest.param(5, {"encode": 4, "decode": 1, "wait": 0}, id="from-the-middle"),
        pytest.param(3, {"encode": 3, "decode": 0, "wait": 0}, id="its-end"),
    ],
)
def test_wait_for_work_counts_as_much_of_its_steps_as_was_waited(clock, waited_s, expected):
    times_s = {}
    with collecting_steps(times_s), waiting_for({"decode": 2, "encode": 4}):
        clock.now_s += waited_s
    assert times_s == expected


@given(
    waited_s=st.floats(0, 1e6),
    work_s=st.dictionaries(st.sampled_from(["decode", "encode"]), st.floats(0, 1e6)),
)
def test_steps_of_a_wait_sum_up_to_the_wait(waited_s, work_s):
    times_s, clock = {}, Clock()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(request_record, "time", clock)
        with collecting_steps(times_s), waiting_for(work_s):
            clock.now_s += waited_s
    assert sum(times_s.values()) == pytest.approx(waited_s)
    assert min(times_s.values()) >= 0
