"""The child that `decoders.py` starts: decodes one file after the other, and may be killed for it.

Files and pixels go through memory that has a descriptor (memfd), so that nothing is copied through
a pipe; a Docker container's /dev/shm would hold 64 MB.
"""

import json
import mmap
import os
import signal
import socket
import sys
import threading
from typing import Any

import cv2

from backend.core.errors import BackendError
from backend.images.decode import decode_image

MESSAGE_BYTES = 2**16


def main() -> None:
    """Answer requests on the descriptor that is the only argument, until it is closed."""
    threading.Thread(target=_end_with_parent, daemon=True).start()
    cv2.setNumThreads(1)
    with socket.socket(fileno=int(sys.argv[1])) as parent:
        while True:
            request, descriptors, _, _ = socket.recv_fds(parent, MESSAGE_BYTES, 1)
            if not request:
                return
            _answer(parent, json.loads(request), descriptors[0])


def _answer(parent: socket.socket, request: dict[str, Any], descriptor: int) -> None:
    with open(descriptor, "rb") as file:
        data = file.read()

    def allow(pixels: int) -> None:
        # The kernel ends this process when the time is used up, whatever C code it is in.
        budget_s = request["header_cpu_s"] + request["cpu_s_per_pixel"] * pixels
        signal.setitimer(signal.ITIMER_PROF, budget_s)

    allow(0)
    try:
        image = decode_image(
            data, name=request["name"], max_pixels=request["max_pixels"], on_size=allow
        )
    except BackendError as error:
        fault = {
            "error": type(error).__name__,
            "message": error.message,
            "remedy": error.remedy,
            "reason": error.reason,
        }
        parent.send(json.dumps(fault).encode())
        return
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
    pixels = os.memfd_create("pixels")
    try:
        os.truncate(pixels, image.nbytes)
        with mmap.mmap(pixels, image.nbytes) as shared:
            shared[:] = image.data.cast("B")
        socket.send_fds(parent, [json.dumps({"shape": image.shape}).encode()], [pixels])
    finally:
        os.close(pixels)


def _end_with_parent() -> None:
    os.read(0, 1)  # nothing is ever written there; it ends when the parent does
    os._exit(0)


if __name__ == "__main__":
    main()
