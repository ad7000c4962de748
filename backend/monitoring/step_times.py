"""How long the steps of a request took, wherever in the code and in whichever thread they ran.

    fetch    the image's bytes, or somebody else's fetch of them
    load     an embedding out of a slower tier of the cache
    wait     for the encoder, while it was at other images
    decode   the image's bytes to pixels
    encode   pixels to an embedding
    mask     a prompt to a mask of full size
    codec    a mask to regions

A thread's steps are added up in whatever `collecting_steps` was last given there; where nothing is
collected, they are forgotten.
"""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar

STEPS = ("fetch", "load", "wait", "decode", "encode", "mask", "codec")

StepTimes = dict[str, float]  # a step -> its seconds

_collected: ContextVar[StepTimes | None] = ContextVar("collected", default=None)


def collect_steps(times_s: StepTimes | None) -> None:
    """Add this thread's steps up in `times_s` from now on, or nowhere."""
    _collected.set(times_s)


@contextmanager
def collecting_steps(times_s: StepTimes) -> Iterator[None]:
    """Add the steps inside up in `times_s`."""
    token = _collected.set(times_s)
    try:
        yield
    finally:
        _collected.reset(token)


@contextmanager
def step(name: str) -> Iterator[None]:
    """Measure what is inside as a step, whether or not it succeeds."""
    started = time.perf_counter()
    try:
        yield
    finally:
        _add(name, time.perf_counter() - started)


@contextmanager
def observing_steps(observe: Callable[[str, float], None]) -> Iterator[None]:
    """Tell of each step inside, by its name and seconds, when all are over; add them up as well."""
    times_s: StepTimes = {}
    try:
        with collecting_steps(times_s):
            yield
    finally:
        for name, seconds in times_s.items():
            observe(name, seconds)
            _add(name, seconds)


@contextmanager
def waiting_for(work_s: StepTimes) -> Iterator[None]:
    """Measure a wait for work in another thread, as that work's steps and the `wait` before them.

    Who comes in the middle waits for the end only, so no step counts for more than was waited.

    Args:
        work_s: the steps of the work; complete when the wait is over.
    """
    started = time.perf_counter()
    try:
        yield
    finally:
        left_s = time.perf_counter() - started
        for name, seconds in reversed(work_s.items()):
            share_s = min(seconds, left_s)
            _add(name, share_s)
            left_s -= share_s
        _add("wait", left_s)


def _add(name: str, seconds: float) -> None:
    times_s = _collected.get()
    if times_s is not None:
        times_s[name] = times_s.get(name, 0.0) + seconds
