"""What the service asks of its memory; its process as a whole is in test_service.py."""

import subprocess
import sys

import pytest

from backend.service import server

HOLES = """
import ctypes, re
from backend.service.server import _trim_malloc

def own_kb():
    with open("/proc/self/smaps_rollup") as file:
        return int(re.search(r"^Pss_Anon: +(\\d+)", file.read(), re.MULTILINE)[1])

libc = ctypes.CDLL("libc.so.6")
libc.malloc.restype, libc.free.argtypes = ctypes.c_void_p, [ctypes.c_void_p]
blocks = [libc.malloc(65536) for _ in range(1024)]
for block in blocks:
    ctypes.memset(block, 1, 65536)
for number, block in enumerate(blocks):
    if number % 128:  # of eight megabytes, one block stays
        libc.free(block)
before = own_kb()
_trim_malloc()
print(before - own_kb())
"""


@pytest.mark.skipif(server._glibc() is None, reason="another malloc than glibc's")
def test_memory_between_what_stays_is_given_back():
    done = subprocess.run(
        [sys.executable, "-c", HOLES], capture_output=True, text=True, check=True, timeout=120
    )
    assert int(done.stdout) > 48 * 1024


def test_other_mallocs_are_left_alone(monkeypatch):
    def not_there(_name):
        raise OSError

    monkeypatch.setattr(server.ctypes, "CDLL", not_there)
    assert server._glibc() is None
    server._bound_malloc()
    server._trim_malloc()
