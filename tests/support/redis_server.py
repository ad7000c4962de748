"""A real Redis on a free loopback port, which a test can kill, stop and start again."""

import os
import shutil
import signal
import subprocess
import time
from contextlib import suppress

import redis

from backend.commands.demo.child_process import free_port

PROGRAM = shutil.which("redis-server")
FIRST_PORT = 16379
DEADLINE_S = 20


class RedisServer:
    """`redis-server` without a file of its own: what it held is gone when it ends."""

    def __init__(self, *, password=None):
        self.port = free_port(FIRST_PORT + os.getpid() % 2000)
        self.password = password
        self._process = None

    @property
    def url(self):
        login = f":{self.password}@" if self.password else ""
        return f"redis://{login}127.0.0.1:{self.port}/0"

    def start(self):
        options = ["--port", str(self.port), "--bind", "127.0.0.1", "--save", ""]
        if self.password:
            options += ["--requirepass", self.password]
        self._process = subprocess.Popen(
            [PROGRAM, *options], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        end = time.monotonic() + DEADLINE_S
        with redis.Redis.from_url(self.url) as client:
            while True:
                with suppress(redis.ConnectionError):
                    client.ping()
                    return
                assert time.monotonic() < end
                time.sleep(0.02)

    def kill(self):
        if self._process is not None:
            self.go_on()
            self._process.kill()
            self._process.wait()
            self._process = None

    def hang(self):
        """Answer nothing, but keep the connections."""
        os.kill(self._process.pid, signal.SIGSTOP)

    def go_on(self):
        os.kill(self._process.pid, signal.SIGCONT)

    def client(self):
        return redis.Redis.from_url(self.url)
