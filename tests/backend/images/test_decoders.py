"""Decoding in processes that may be killed."""

import io
import os
import signal
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from PIL import Image
from waiting import wait_until

from backend.core.errors import ImageTooLargeError, ImageUndecodableError
from backend.images import decoders as decoders_module
from backend.images.decode import decode_image
from backend.images.decoders import Decoders
from benchmarks.hostile_inputs import big_tiff_of_tags, bmp_of_runs, gif_of_comments

PIXELS = np.random.default_rng(1).integers(0, 256, (40, 60, 3), np.uint8)


def file(kind, **options):
    buffer = io.BytesIO()
    Image.fromarray(PIXELS).save(buffer, kind, **options)
    return buffer.getvalue()


def decode(decoders, data, max_pixels=10**6):
    return decoders.decode(data, name="image of task 4", max_pixels=max_pixels)


def pid(decoders):
    (child,) = [child for child in decoders._idle.queue if child is not None]
    return child._process.pid


@pytest.fixture(scope="module")
def decoders():
    pool = Decoders(1)
    yield pool
    pool.close()


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "AVIF"])
def test_pixels_are_those_of_decoding_in_this_process(decoders, kind):
    data = file(kind)
    image = decode(decoders, data)
    assert np.array_equal(image, decode_image(data, name="image", max_pixels=10**6))
    assert image.flags.writeable
    assert image.flags.c_contiguous


def test_errors_are_those_of_decoding_in_this_process(decoders):
    data = file("PNG")
    with pytest.raises(ImageTooLargeError, match="image of task 4: 60 x 40 pixels") as too_large:
        decode(decoders, data, max_pixels=10)
    assert too_large.value.reason == "Image too large: 60 x 40 pixels"
    with pytest.raises(ImageUndecodableError, match="PNG truncated") as damaged:
        decode(decoders, data[:200])
    assert "open it in a browser" in damaged.value.remedy
    assert np.array_equal(decode(decoders, data), PIXELS)


@pytest.mark.parametrize(
    "bomb",
    [
        pytest.param(gif_of_comments(2_000_000), id="gif-comments"),
        pytest.param(big_tiff_of_tags(300_000), id="tiff-tags"),
        pytest.param(bmp_of_runs(2000), id="bmp-runs"),
    ],
)
def test_file_that_takes_long_is_given_up_and_the_next_is_decoded(bomb):
    pool = Decoders(1, header_cpu_s=0.4)
    try:
        assert np.array_equal(decode(pool, file("PNG")), PIXELS)
        first = pid(pool)
        with pytest.raises(ImageUndecodableError, match="task 4: it takes too long; open it in an"):
            decode(pool, bomb, max_pixels=10**8)
        assert np.array_equal(decode(pool, file("PNG")), PIXELS)
        assert pid(pool) != first
    finally:
        pool.close()


def test_bomb_does_not_hold_up_another_file():
    """The second file is there while the first is still being decoded."""
    pool = Decoders(2, header_cpu_s=2)
    bomb = big_tiff_of_tags(1_000_000)
    with ThreadPoolExecutor(1) as thread:
        slow = thread.submit(decode, pool, bomb)
        wait_until(lambda: pool._idle.qsize() == 1)
        assert np.array_equal(decode(pool, file("PNG")), PIXELS)
        assert not slow.done()
        assert isinstance(slow.exception(), ImageUndecodableError)
    pool.close()


def test_killed_process_costs_at_most_one_file(decoders):
    decode(decoders, file("PNG"))
    os.kill(pid(decoders), signal.SIGKILL)
    wait_until(lambda: not decoders._idle.queue[-1].is_alive())
    assert np.array_equal(decode(decoders, file("PNG")), PIXELS)


def test_threads_share_the_processes():
    pool = Decoders(2)
    try:
        with ThreadPoolExecutor(8) as threads:
            images = list(threads.map(lambda _: decode(pool, file("PNG")), range(24)))
        assert all(np.array_equal(image, PIXELS) for image in images)
    finally:
        pool.close()


def test_where_no_process_starts_the_thread_decodes(monkeypatch):
    def refuse(*_arguments, **_named):
        raise OSError("no processes")

    monkeypatch.setattr(decoders_module.subprocess, "Popen", refuse)
    assert np.array_equal(decode(Decoders(1), file("PNG")), PIXELS)


def test_process_ends_with_its_pool():
    pool = Decoders(1)
    decode(pool, file("PNG"))
    number = pid(pool)
    pool.close()
    with pytest.raises(ProcessLookupError):
        os.kill(number, 0)
