import threading

import pytest

from backend.core.workers import Urgency, Workers

DEADLINE_S = 10


def test_call_hands_over_what_a_function_returns_or_raises():
    workers = Workers("test", threads=1)
    assert workers.call(Urgency.BATCH, divmod, 7, 2).result(DEADLINE_S) == (3, 1)
    with pytest.raises(ZeroDivisionError):
        workers.call(Urgency.BATCH, divmod, 7, 0).result(DEADLINE_S)


def test_urgent_calls_overtake_others():
    workers = Workers("test", threads=1)
    go_on = threading.Event()
    order = []
    workers.submit(Urgency.ANNOTATOR, lambda: go_on.wait(DEADLINE_S))
    later = workers.call(Urgency.PREFETCH, order.append, "upcoming")
    workers.call(Urgency.ANNOTATOR, order.append, "annotator")
    go_on.set()
    later.result(DEADLINE_S)
    assert order == ["annotator", "upcoming"]


def test_reserved_thread_is_left_for_annotators():
    workers = Workers("test", threads=2, reserved=1)
    go_on, order = threading.Event(), []
    guesses = [workers.call(Urgency.OPENED_TASK, lambda: go_on.wait(DEADLINE_S)) for _ in range(5)]
    workers.call(Urgency.ANNOTATOR, order.append, "annotator").result(DEADLINE_S)
    assert not any(guess.done() for guess in guesses)
    go_on.set()
    assert all(guess.result(DEADLINE_S) for guess in guesses)


def test_closed_workers_leave_no_thread():
    workers = Workers("closing", threads=3, reserved=1)
    workers.call(Urgency.BATCH, int).result(DEADLINE_S)
    workers.close(DEADLINE_S)
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("closing")]
