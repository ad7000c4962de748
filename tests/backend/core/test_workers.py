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
