"""Annotators for minutes or hours, with faults mixed in: `python -m benchmarks.soak --minutes 5`.

Each opens images of random sizes that nobody has seen, clicks, drags, takes away, goes back. Of the
image host's answers some are errors, cut, slow, no images, or far too large; Redis, where there is
a redis-server, is killed and comes back. Every mask is compared with the one that the model gives
alone. The exit status is 1 if a promise of docs/reliability.md breaks:

    wrong masks, failures that were not caused     0
    resident memory after warm-up                  within 5 %
    threads and file handles, when all is quiet    as many as after warm-up
"""

import argparse
import itertools
import os
import random
import shutil
import statistics
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path

import requests

from backend.commands.demo.child_process import free_port
from backend.label_studio import projects
from benchmarks.bench_scale import redis_server
from benchmarks.key_points import key_point
from benchmarks.machine import describe_machine
from benchmarks.process_watch import Usage, usage, usage_watch
from benchmarks.service_load import START_TIMEOUT_S, service, wait_until_idle
from benchmarks.soak_images import FAULTS, SoakImage, failing_host, make_images, random_fault
from benchmarks.weights import add_checkpoint
from mobilesam import Predictor

MAX_DRIFT_PCT = 5.0
SLACK = 8  # threads and handles that may be more by chance: pools fill when they are needed
WARM_UP_SHARE = 0.25  # of the time; the caches fill, and what grows once has grown
CACHE_MB = 16  # full during the warm-up; of each tier
FETCH_TIMEOUT_S = 3.0
FAULT_SHARE = 0.1  # of the images
REDIS_UP_S, REDIS_DOWN_S = 15.0, 4.0
LONGEST_PAUSE_S = 0.2  # of an annotator between two requests
CLICK_TIMEOUT_S = 120
SETTLE_S = 8.0  # until connections and timers of the last requests are gone


class Tally:
    """What was answered. Safe under threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.right = self.wrong = self.opened = 0
        self.caused: Counter[str] = Counter()  # faults that were answered as they should be
        self.failed: Counter[str] = Counter()  # anything else

    def add(self, name: str, *, failed: str = "", caused: str = "") -> None:
        """Count one request."""
        with self._lock:
            if failed:
                self.failed[failed] += 1
            elif caused:
                self.caused[caused] += 1
            else:
                setattr(self, name, getattr(self, name) + 1)


@dataclass
class Soak:
    """One service under load."""

    url: str
    host: str
    images: list[SoakImage]
    tally: Tally
    numbers: "itertools.count[int]"  # of images that nobody has seen

    def annotate(self, seed: int, stop: threading.Event) -> None:
        """Work on one image after the other, as one annotator."""
        chance = random.Random(seed)  # noqa: S311 - not for secrets
        seen: list[int] = []
        while not stop.is_set():
            fault = random_fault(chance, FAULT_SHARE)
            if fault == "good" and seen and chance.random() < 0.3:
                number = chance.choice(seen[-50:])
            else:
                number = next(self.numbers)
            if chance.random() < 0.3:
                self._post(number, "good", None)
            if chance.random() < 0.05:
                self._set_up(chance)
            if fault == "good":
                seen.append(number)
                self._segment(number, chance, stop)
            else:
                self._meet(number, fault)

    def _segment(self, number: int, chance: random.Random, stop: threading.Event) -> None:
        image = self.images[number % len(self.images)]
        for prompt in image.prompts:
            for context, packed in zip(prompt.contexts, prompt.packed, strict=True):
                response = self._post(number, "good", context)
                if response is None:
                    return  # a negative click alone would refine what nobody has segmented
                is_right = image.is_right(response.json(), packed)
                self.tally.add("right" if is_right else "wrong")
                if stop.wait(chance.uniform(0, LONGEST_PAUSE_S)):
                    return

    def _meet(self, number: int, fault: str) -> None:
        """Click on an image that cannot be had; the answer has to say why."""
        region = key_point((5, 5), (100, 100))
        self._post(number, fault, [region])

    def _post(
        self, number: int, what: str, context: list[dict[str, object]] | None
    ) -> requests.Response | None:
        body = {
            "tasks": [{"id": number, "data": {"image": f"{self.host}/{what}/{number}.jpg"}}],
            "project": "1.0",
            "label_config": projects.LABELING_CONFIG,
            "params": {"context": None if context is None else {"result": context}},
        }
        try:
            response = requests.post(f"{self.url}/predict", json=body, timeout=CLICK_TIMEOUT_S)
        except requests.RequestException as error:
            self.tally.add("", failed=type(error).__name__)
            return None
        code = response.json()["error"]["code"] if response.status_code != 200 else ""
        if code != FAULTS.get(what, ""):
            said = f"{response.status_code} {code or 'without an error'}"
            self.tally.add("", failed=f"{said} for a {what} image")
            return None
        if code:
            self.tally.add("", caused=f"{code}: {what}")
            return None
        if context is None:
            self.tally.add("opened")
        return response

    def _set_up(self, chance: random.Random) -> None:
        body = {
            "project": f"{chance.randrange(2000)}.0",
            "schema": projects.LABELING_CONFIG,
            "hostname": self.host,
            "access_token": f"token {chance.random()}",
        }
        try:
            requests.post(f"{self.url}/setup", json=body, timeout=30).raise_for_status()
        except requests.RequestException as error:
            self.tally.add("", failed=f"setup: {type(error).__name__}")

    def run(self, annotators: int, seconds: float, seed: int) -> None:
        """Let annotators work for a while, and wait until they have their last answers."""
        stop = threading.Event()
        with ThreadPoolExecutor(annotators) as pool:
            work = [pool.submit(self.annotate, seed + each, stop) for each in range(annotators)]
            time.sleep(seconds)
            stop.set()
            for each in work:
                each.result()

    def fill_threads(self, threads: int) -> None:
        """Have every thread of the service started: clicks that wait, and are not counted."""

        def wait(number: int) -> None:
            region = key_point((5, 5), (100, 100))
            body = {
                "tasks": [{"id": number, "data": {"image": f"{self.host}/slow/{number}.jpg"}}],
                "label_config": projects.LABELING_CONFIG,
                "params": {"context": {"result": [region]}},
            }
            requests.post(f"{self.url}/predict", json=body, timeout=CLICK_TIMEOUT_S)

        with ThreadPoolExecutor(threads) as pool:
            list(pool.map(wait, (next(self.numbers) for _ in range(threads))))


@contextmanager
def unsteady_redis(port: int) -> Iterator[Counter[str]]:
    """Run a Redis that goes and comes back, and count how often."""
    times: Counter[str] = Counter()
    over = threading.Event()

    def go_and_come_back() -> None:
        while not over.is_set():
            with redis_server(port):
                over.wait(REDIS_UP_S)
            times["killed"] += 1
            over.wait(REDIS_DOWN_S)

    thread = threading.Thread(target=go_and_come_back)
    thread.start()
    try:
        yield times
    finally:
        over.set()
        thread.join()


def quiet_usage(pid: int, url: str, settle_s: float) -> Usage:
    """Return what the service takes when nobody has asked it anything for a while."""
    wait_until_idle(url)
    time.sleep(settle_s)
    return usage(pid)


def drift_pct(seen: list[Usage]) -> float:
    """Return by how much the last fifth's median memory is more than the first fifth's."""
    memory = [each.resident_mb for each in seen]
    fifth = max(1, len(memory) // 5)
    first, last = statistics.median(memory[:fifth]), statistics.median(memory[-fifth:])
    return 100 * (last - first) / first


def main(arguments: list[str] | None = None) -> int:
    """Run the soak and print the table; the exit status is 1 if a promise broke."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--minutes", type=float, default=5)
    parser.add_argument("--hours", type=float, default=0, help="on top of the minutes")
    parser.add_argument("--annotators", type=int, default=32)
    parser.add_argument("--images", type=int, default=60, help="pictures; files are without end")
    add_checkpoint(parser, default="demo")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--log", type=Path, default=Path("runs/soak.log"))
    options = parser.parse_args(arguments)
    seconds = 60 * options.minutes + 3600 * options.hours
    options.log.parent.mkdir(parents=True, exist_ok=True)
    print(describe_machine("torch", "openvino", "gunicorn", "redis"))
    images = make_images(Predictor(options.checkpoint), options.images, options.seed)
    tally = Tally()
    threads = options.annotators + 8
    settle_s = min(SETTLE_S, seconds / 10)
    port = free_port(16379 + os.getpid() % 2000)
    with_redis = shutil.which("redis-server") is not None
    with tempfile.TemporaryDirectory() as folder:
        environment = {
            "THREADS": str(threads),
            "MOBILESAM_CACHE_MB": str(CACHE_MB),
            "MOBILESAM_CACHE_DIR": folder,
            "MOBILESAM_CACHE_DIR_MB": str(CACHE_MB),
            "MOBILESAM_FETCH_TIMEOUT_S": str(FETCH_TIMEOUT_S),
            **({"MOBILESAM_REDIS_URL": f"redis://127.0.0.1:{port}/0"} if with_redis else {}),
        }
        backend, url = service(options.checkpoint, options.log, environment=environment)
        redis = unsteady_redis(port) if with_redis else nullcontext(Counter[str]())
        with redis as redis_times, failing_host(images) as host, backend:
            backend.wait_until_healthy(f"{url}/health", timeout_s=START_TIMEOUT_S)
            soak = Soak(url, host, images, tally, itertools.count(os.getpid() * 10**6))
            soak.fill_threads(threads)
            soak.run(options.annotators, WARM_UP_SHARE * seconds, options.seed + 10**6)
            before = quiet_usage(backend.pid, url, settle_s)
            answered, started = tally.right, time.monotonic()
            with usage_watch(backend.pid, interval_s=min(1.0, seconds / 50)) as seen:
                soak.run(options.annotators, (1 - WARM_UP_SHARE) * seconds, options.seed)
            rate = (tally.right - answered) / (time.monotonic() - started)
            after = quiet_usage(backend.pid, url, settle_s)
    return report(tally, redis_times["killed"], (before, after), drift_pct(seen), rate)


def report(
    tally: Tally, redis_kills: int, quiet: tuple[Usage, Usage], drift: float, rate: float
) -> int:
    """Print the table; return 1 if a promise broke."""
    before, after = quiet
    quiet_drift = 100 * (after.resident_mb - before.resident_mb) / before.resident_mb
    rows = [
        ("right masks", tally.right, True),
        ("wrong masks", tally.wrong, tally.wrong == 0),
        ("right masks / s after warm-up", f"{rate:.1f}", True),
        ("tasks opened", tally.opened, True),
        ("faults of images, answered by name", sum(tally.caused.values()), True),
        *((f"- {name}", count, True) for name, count in sorted(tally.caused.items())),
        ("Redis killed", redis_kills, True),
        ("failures that were not caused", sum(tally.failed.values()), not tally.failed),
        *((f"- {name}", count, False) for name, count in sorted(tally.failed.items())),
        ("resident memory after warm-up, quiet, MB", f"{before.resident_mb:.0f}", True),
        ("- at the end, quiet, MB", f"{after.resident_mb:.0f}", True),
        ("- drift, quiet, %", f"{quiet_drift:+.1f}", quiet_drift <= MAX_DRIFT_PCT),
        ("- drift, under load, %", f"{drift:+.1f}", drift <= MAX_DRIFT_PCT),
        *(
            (f"{name} after warm-up, at the end", f"{first}, {last}", last <= first + SLACK)
            for name, first, last in (
                ("threads", before.threads, after.threads),
                ("file handles", before.handles, after.handles),
            )
        ),
    ]
    print("\n| what | figure | promise |\n| --- | --- | --- |")
    for name, figure, is_kept in rows:
        print(f"| {name} | {figure} | {'' if is_kept else '**broken**'} |")
    return 0 if all(is_kept for _, _, is_kept in rows) else 1


if __name__ == "__main__":
    sys.exit(main())
