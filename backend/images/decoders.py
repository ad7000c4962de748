"""Decoding for a service: in processes of their own that may be killed, whatever a file does.

A JPEG's work is bounded by its header (`jpeg.py`) and done here, without Python's lock. All other
formats go to a child: some are read in Python loops (a BMP's run lengths, a GIF's comments, a
TIFF's tags), which would slow every click down, and none can be stopped in a thread.
"""

import atexit
import functools
import json
import logging
import mmap
import os
import queue
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from backend.core.errors import ImageError, ImageTooLargeError, ImageUndecodableError
from backend.images import decode_process
from backend.images.decode import decode_image

MAX_PROCESSES = 4  # 35 MB each
# Of a processor's time, which a loaded machine does not stretch: what any header may take, and what
# each pixel may add. AVIF takes most, 14 s for 100 megapixels of noise.
HEADER_CPU_S = 3.0
CPU_S_PER_PIXEL = 3e-7
JPEG_START = b"\xff\xd8\xff"

_ERRORS = {error.__name__: error for error in (ImageTooLargeError, ImageUndecodableError)}

log = logging.getLogger(__name__)


class Decoders:
    """A pool of decoding processes, each started when it is first needed. Safe under threads.

    They end with this process. Where they cannot be started, files are decoded in the thread.

    Args:
        processes: how many files are decoded at once; who comes on top waits.
        header_cpu_s: processor seconds after which a file is given up, pixels apart.
    """

    def __init__(self, processes: int, *, header_cpu_s: float = HEADER_CPU_S) -> None:
        self._budget = {"header_cpu_s": header_cpu_s, "cpu_s_per_pixel": CPU_S_PER_PIXEL}
        # Last in, first out: the second process starts when two files come at once.
        self._idle: queue.LifoQueue[_Child | None] = queue.LifoQueue()
        for _ in range(processes):
            self._idle.put(None)

    def decode(self, data: bytes, *, name: str, max_pixels: int) -> NDArray[np.uint8]:
        """Decode an image file; see `decode.decode_image`.

        Raises:
            ImageTooLargeError: more than `max_pixels`.
            ImageUndecodableError: not a picture, damaged, or it takes too long.
        """
        if data.startswith(JPEG_START) or not hasattr(os, "memfd_create"):
            return decode_image(data, name=name, max_pixels=max_pixels)
        child = self._idle.get()
        try:
            if child is not None and not child.is_alive():
                child.close()
                child = None
            child = child or _Child()
            request = {"name": name, "max_pixels": max_pixels, **self._budget}
            return child.decode(data, name, json.dumps(request).encode())
        except OSError as error:  # no process, no memory for one
            log.warning("an image is decoded in the service's own process: %s", error)
            return decode_image(data, name=name, max_pixels=max_pixels)
        finally:
            self._idle.put(child)

    def close(self) -> None:
        """End the processes that are idle; a next file starts them anew."""
        for child in [self._idle.get() for _ in range(self._idle.qsize())]:
            if child is not None:
                child.close()
            self._idle.put(None)


class _Child:
    """One process, asked by one thread at a time."""

    def __init__(self) -> None:
        self._socket, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        root = str(Path(__file__).parents[2])
        with theirs, ExitStack() as undone:
            undone.callback(self._socket.close)
            self._process = subprocess.Popen(
                [sys.executable, "-m", decode_process.__name__, str(theirs.fileno())],
                stdin=subprocess.PIPE,  # closed when this process ends, however it does
                pass_fds=[theirs.fileno()],
                env={**os.environ, "PYTHONPATH": os.pathsep.join([root, *sys.path])},
                process_group=0,  # Ctrl-C in a terminal is for the service
            )
            undone.pop_all()

    def is_alive(self) -> bool:
        return self._process.poll() is None

    def close(self) -> None:
        self._socket.close()
        self._process.kill()
        self._process.wait()
        if self._process.stdin is not None:
            self._process.stdin.close()

    def decode(self, data: bytes, name: str, request: bytes) -> NDArray[np.uint8]:
        with _memory(data) as file:
            socket.send_fds(self._socket, [request], [file])
        message, descriptors, _, _ = socket.recv_fds(self._socket, decode_process.MESSAGE_BYTES, 1)
        if not message:
            raise self._died(name)
        answer = json.loads(message)
        if "error" in answer:
            raise _ERRORS[answer["error"]](
                answer["message"], remedy=answer["remedy"], reason=answer["reason"]
            )
        height, width, channels = answer["shape"]
        try:
            pixels = mmap.mmap(descriptors[0], height * width * channels)
        finally:
            os.close(descriptors[0])
        return np.frombuffer(pixels, np.uint8).reshape(height, width, channels)

    def _died(self, name: str) -> ImageError:
        status = self._process.wait()
        self.close()
        why = "it takes too long" if status == -signal.SIGPROF else f"the decoder ended ({status})"
        return ImageUndecodableError(
            f"cannot decode {name}: {why}",
            remedy="open it in an image editor, and save it again as PNG or JPEG",
            reason=f"Image not decodable: {why}",
        )


@contextmanager
def _memory(data: bytes) -> Iterator[int]:
    """Put bytes into memory that has a descriptor."""
    descriptor = os.memfd_create("image")
    try:
        os.write(descriptor, data)
        os.lseek(descriptor, 0, os.SEEK_SET)
        yield descriptor
    finally:
        os.close(descriptor)


@functools.cache
def shared_decoders() -> Decoders:
    """Return the pool of this process."""
    decoders = Decoders(min(MAX_PROCESSES, os.cpu_count() or 1))
    atexit.register(decoders.close)
    return decoders
