"""`python -m backend warm`: a whole project embedded ahead of time, into the disk or Redis tier."""

import argparse
import functools
import hashlib
import sys
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future
from contextlib import closing
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from backend.core.errors import BackendError, SettingsError
from backend.core.text import on_one_line
from backend.core.units import MEGABYTE
from backend.core.workers import Urgency, Workers
from backend.embeddings.slow_tiers import SlowTiers
from backend.embeddings.task_images import image_address
from backend.embeddings.tiers.base import EmbeddingKey
from backend.images.decode import decode_image
from backend.images.fetch import ImageLoader
from backend.label_studio.client import LabelStudio
from backend.label_studio.connections import Connections
from backend.label_studio.project_tasks import iterate_tasks
from backend.label_studio.projects import describe_project
from backend.labeling.config import ImageTag, LabelingConfig
from backend.labeling.parse_config import parse_labeling_config
from backend.labeling.task_data import find_value
from backend.segmentation.click_service import load_predictor
from backend.settings.settings import Settings
from mobilesam import Predictor

FAULTS_SHOWN = 20  # the rest is only counted


@dataclass
class WarmCounts:
    """What became of a project's images: embedded now, embedded already, or not usable."""

    embedded: int = 0
    there: int = 0
    failed: int = 0
    bytes: int = 0


class _Image(NamedTuple):
    task: dict[str, Any]
    tag: ImageTag
    page: int


class _Decoded(NamedTuple):
    key: EmbeddingKey
    place: str
    pixels: NDArray[np.uint8]


def declare_warm(parser: argparse.ArgumentParser) -> None:
    """Declare what warm takes."""
    parser.add_argument(
        "--project", type=int, required=True, metavar="ID", help="a project of LABEL_STUDIO_URL"
    )
    parser.add_argument(
        "--workers",
        type=positive,
        default=4,
        metavar="N",
        help="threads that fetch and decode; one more encodes (default: 4)",
    )


def run_warm(
    settings: Settings, *, project_id: int, workers: int, predictor: Predictor | None = None
) -> WarmCounts:
    """Embed all images of a project that no tier has yet, with a progress bar on stderr.

    What was done stays done, however it ends: the same command goes on from there, and fetches
    nothing again that it has seen. It takes an image for the one that was at its address before.

    Args:
        settings: which Label Studio, which weights, which tiers.
        project_id: of the project.
        workers: threads that fetch and decode.
        predictor: encodes; loaded from the settings if not given.

    Raises:
        SettingsError: no tier outlives this process, or Label Studio is not known.
        BackendError: Label Studio does not tell the tasks, no click could give a mask in the
            project, or no tier takes embeddings. An image that cannot be used is only counted.
        MobileSamError: the weights or the device cannot be used.
        KeyboardInterrupt: Ctrl-C.
    """
    check_warm(settings)
    connections = Connections(settings)
    server = connections.find(str(project_id))
    assert server is not None, "LABEL_STUDIO_URL is set"  # noqa: S101 - for the type checker
    with closing(server):
        project = describe_project(server, project_id)
        config = parse_labeling_config(project.label_config)
        config.require_usable()
        predictor = predictor or load_predictor(settings)
        loader = ImageLoader(settings, connections)
        with closing(SlowTiers.from_settings(settings, predictor)) as tiers:
            warming = _Warming(settings, predictor, tiers, loader, server, project_id)
            return warming.run(config, tasks=project.task_count, workers=workers)


class _Warming:
    """One run: threads fetch and decode ahead, the caller's encodes, the threads write."""

    def __init__(
        self,
        settings: Settings,
        predictor: Predictor,
        tiers: SlowTiers,
        loader: ImageLoader,
        server: LabelStudio,
        project_id: int,
    ) -> None:
        self._settings = settings
        self._predictor = predictor
        self._tiers = tiers
        self._loader = loader
        self._server = server
        self._project_id = project_id
        self._counts = WarmCounts()
        self._embedded: set[EmbeddingKey] = set()  # for images that several tasks have
        self._writes: deque[Future[int]] = deque()

    def run(self, config: LabelingConfig, *, tasks: int, workers: int) -> WarmCounts:
        # Daemon threads, and not a pool of the library's: Ctrl-C would wait for slow hosts.
        threads = Workers("warm", workers)
        ahead: deque[tuple[_Image, Future[_Decoded | None]]] = deque()
        with tqdm(total=tasks * len(config.images), unit=" images", smoothing=0.1) as bar:
            try:
                for image in self._images(config, bar):
                    ahead.append((image, threads.call(Urgency.BATCH, self._look, image)))
                    if len(ahead) > 2 * workers:
                        self._finish(*ahead.popleft(), threads, bar)
                while ahead:
                    self._finish(*ahead.popleft(), threads, bar)
            except KeyboardInterrupt:
                bar.write("stopped; the same command goes on from here", file=sys.stderr)
                raise
            finally:
                self._await_writes(bar, left=0)
        return self._counts

    def _images(self, config: LabelingConfig, bar: Any) -> Iterator[_Image]:
        for task in iterate_tasks(self._server, self._project_id):
            bar.total -= len(config.images)
            for tag in config.of_task(task["data"]).images.values():
                value = find_value(task["data"], tag.data_key)
                pages = len(value) if isinstance(value, list) else 1
                bar.total += pages
                for page in range(pages):
                    yield _Image(task, tag, page)

    def _look(self, image: _Image) -> _Decoded | None:
        """Fetch and decode an image, or return None where a tier has its embedding."""
        task_id = image.task["id"]
        address = image_address(image.task, image.tag, image.page)
        place = f"{self._server.url} {task_id} {address}"
        noted = self._tiers.noted_image(place)
        if noted and self._tiers.has(EmbeddingKey(self._predictor.model_id, noted)):
            return None
        data = self._loader.fetch(address, task_id=task_id, project=str(self._project_id))
        key = EmbeddingKey(self._predictor.model_id, hashlib.sha256(data).hexdigest())
        if self._tiers.has(key):
            self._tiers.note_image(place, key.image_sha256)
            return None
        name = f"image of task {task_id}"
        return _Decoded(
            key, place, decode_image(data, name=name, max_pixels=self._settings.max_pixels)
        )

    def _finish(
        self, image: _Image, looking: Future[_Decoded | None], threads: Workers, bar: Any
    ) -> None:
        try:
            decoded = looking.result()
        except BackendError as error:
            self._counts.failed += 1
            if self._counts.failed <= FAULTS_SHOWN:
                fault = on_one_line(str(error))
                bar.write(f"task {image.task['id']}: {fault}", file=sys.stderr)
        else:
            if decoded is None or decoded.key in self._embedded:
                self._counts.there += 1
            else:
                embedding = self._predictor.embed(decoded.pixels)
                self._embedded.add(decoded.key)
                self._counts.embedded += 1
                write = functools.partial(self._write, decoded.key, decoded.place)
                self._writes.append(threads.call(Urgency.ANNOTATOR, write, embedding))
                self._await_writes(bar, left=4)
        bar.set_postfix_str(
            f"{self._counts.there} there already, {self._counts.failed} failed", refresh=False
        )
        bar.update()

    def _write(self, key: EmbeddingKey, place: str, embedding: Any) -> int:
        size = self._tiers.write(key, embedding)
        if size:
            self._tiers.note_image(place, key.image_sha256)
        return size

    def _await_writes(self, bar: Any, *, left: int) -> None:
        """Wait for the oldest writes, so that not too many embeddings wait in memory."""
        while len(self._writes) > left:
            size = self._writes.popleft().result()
            if not size:
                self._writes.clear()
                raise BackendError(
                    "no embedding can be kept",
                    remedy="see the warning above; make room in MOBILESAM_CACHE_DIR, or start "
                    "the Redis of MOBILESAM_REDIS_URL",
                )
            if not self._counts.bytes:
                self._check_room(size, bar)
            self._counts.bytes += size

    def _check_room(self, size: int, bar: Any) -> None:
        room, needed = self._settings.cache_dir_mb * MEGABYTE, size * bar.total
        if self._settings.cache_dir is not None and needed > room:
            bar.write(
                f"MOBILESAM_CACHE_DIR_MB={self._settings.cache_dir_mb} has room for {room // size} "
                f"of {bar.total} images; set it to {needed // MEGABYTE + 1} or more",
                file=sys.stderr,
            )


def check_warm(settings: Settings) -> None:
    """Refuse settings with which nothing could be kept or fetched.

    Raises:
        SettingsError: says what to set.
    """
    problems = []
    if settings.cache_dir is None and settings.redis_url is None:
        problems.append(
            "neither MOBILESAM_CACHE_DIR nor MOBILESAM_REDIS_URL is set: "
            "there is no place to keep embeddings in"
        )
    if settings.label_studio_url is None or settings.label_studio_api_key is None:
        problems.append("LABEL_STUDIO_URL and LABEL_STUDIO_API_KEY are not both set")
    if problems:
        raise SettingsError(
            "\n".join(problems), remedy="set them as for the service that is to find the embeddings"
        )


def positive(text: str) -> int:
    """Read an argument that counts something."""
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"{text} is not 1 or more")
    return number
