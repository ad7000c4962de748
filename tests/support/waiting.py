"""Waiting for what a thread or another process does."""

import time

DEADLINE_S = 60  # of a busy machine; a test that passes waits for nothing


def wait_until(condition):
    end = time.monotonic() + DEADLINE_S
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.01)
