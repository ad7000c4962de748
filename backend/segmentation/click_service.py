"""Tasks and prompts to predictions: the one place where the other modules meet."""

import functools
import logging
import time
from collections.abc import Callable
from dataclasses import asdict
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from backend.core.errors import RequestError, RequestTooLargeError
from backend.core.units import MEGABYTE
from backend.core.workers import Urgency
from backend.embeddings.embedder import Embedder
from backend.embeddings.encode_batches import EncodeBatches
from backend.embeddings.pixels import PixelCache
from backend.embeddings.prefetch import Prefetcher
from backend.embeddings.slow_tiers import SlowTiers
from backend.embeddings.task_images import TaskImages
from backend.embeddings.tiers.base import LruCache
from backend.images.fetch import ImageLoader
from backend.label_studio.connections import Connections
from backend.labeling.config import LabelingConfig, MaskControl
from backend.labeling.parse_config import parse_labeling_config
from backend.labeling.prompts import Prompt
from backend.labeling.read_prompts import read_prompts
from backend.labeling.regions import mask_regions
from backend.monitoring.activity import Activity
from backend.monitoring.request_record import RequestRecord, current_record, step
from backend.segmentation.cleaning import Cleaning
from backend.segmentation.click_logits import ClickLogits
from backend.segmentation.last_objects import LastObjects
from backend.segmentation.object_masks import ObjectMasks
from backend.segmentation.sent_images import Playground
from backend.segmentation.zoomed_clicks import ZoomChoice
from backend.settings.settings import Settings
from mobilesam import DeviceLostError, MaskRuns, ObjectPrompt, Predictor, predict_refined

log = logging.getLogger(__name__)


def load_predictor(settings: Settings) -> Predictor:
    """Load the model that the settings name, where and as they say.

    Raises:
        MobileSamError: the weights, the device or the runtime cannot be used.
    """
    return Predictor(
        settings.checkpoint,
        settings.device,
        runtime=settings.runtime,
        precision=settings.precision,
    )


class ClickService:
    """Answers Label Studio's requests; safe under threads, holds no current image.

    `activity` tells what it has done.

    Args:
        predictor: the loaded model.
        settings: bounds, and how Label Studio is reached.
        encode_s: seconds of an encode on this machine, for MOBILESAM_ZOOM=auto; None if unknown.

    Attributes:
        playground: masks for images that the page sends, from the same model and cache.
    """

    def __init__(
        self, predictor: Predictor, settings: Settings, *, encode_s: float | None = None
    ) -> None:
        self._predictor = predictor
        self._zoom = ZoomChoice.of(
            settings.zoom, encode_s, is_on_gpu=str(predictor.device) != "cpu"
        )
        self.activity = Activity(self.describe)
        self._connections = Connections(settings)
        batches = EncodeBatches(predictor)
        is_on_gpu = str(predictor.device) != "cpu"
        self._embedder = Embedder(
            LruCache(settings.cache_mb * MEGABYTE),
            SlowTiers.from_settings(settings, predictor, with_memory=is_on_gpu),
            threads=batches.threads,
            tier="device" if is_on_gpu else "memory",
        )
        self._images = TaskImages(
            predictor.model_id,
            batches,
            ImageLoader(settings, self._connections),
            self._embedder,
            self.activity,
            max_pixels=settings.max_pixels,
            max_waiting=settings.max_waiting or settings.threads - max(1, settings.threads // 8),
            pixels=PixelCache(settings.pixels_mb * MEGABYTE) if self._zoom.is_on else None,
        )
        self._max_tasks = settings.max_tasks
        self._max_regions = settings.max_regions
        self._output = settings.output
        self._polygon_tolerance_px = settings.polygon_tolerance_px
        self._prefetcher = Prefetcher(self._connections, self._images, settings.prefetch_tasks)
        self._last_objects = LastObjects(self._embedder.slow_tiers.shared_notes)
        self._masks = ObjectMasks(
            predictor,
            ClickLogits(self._embedder.slow_tiers.shared_notes),
            Cleaning.from_settings(settings),
            self._images if self._zoom.is_on else None,
        )
        self.playground = Playground(predictor.model_id, self._images, self._masks)

    @classmethod
    def from_settings(cls, settings: Settings) -> Self:
        """Load the model and run it once, so that the first click does not pay for that.

        Raises:
            MobileSamError: the weights, the device or the runtime cannot be used.
        """
        started = time.perf_counter()
        predictor = load_predictor(settings)
        embedding = predictor.embed(np.zeros((64, 64, 3), np.uint8))
        begun = time.perf_counter()
        predictor.embed(np.zeros((64, 64, 3), np.uint8))
        encode_s = time.perf_counter() - begun
        two_clicks = ObjectPrompt(((32.0, 32.0), (16.0, 16.0)), (1, 1))  # all that a click may need
        predict_refined(predictor, embedding, two_clicks)
        log.info(
            "loaded %s in %s %s on %s in %.1f s: %s",
            predictor.model_id,
            predictor.runtime,
            predictor.precision,
            predictor.device,
            time.perf_counter() - started,
            predictor.runtime_reason,
        )
        return cls(predictor, settings, encode_s=encode_s)

    def on_device_lost(self, act: Callable[[DeviceLostError], None]) -> None:
        """Have something done when the GPU fails for good."""
        self._predictor.on_device_lost(act)

    def flush(self, timeout_s: float) -> bool:
        """Wait until all embeddings are in the tiers; say whether that was in time."""
        return self._embedder.slow_tiers.flush(timeout_s)

    def close(self) -> None:
        """End all threads and connections; a service ends with its process instead.

        What is not written yet is not written any more; see `flush`.
        """
        self._prefetcher.close()
        self._images.close()
        self._embedder.close()
        self._embedder.slow_tiers.close()
        self._connections.close()

    @property
    def images(self) -> TaskImages:
        """What gives the embeddings of tasks' images."""
        return self._images

    @property
    def model_version(self) -> str:
        """What Label Studio stores with each prediction; the same in /setup and /predict."""
        return self._predictor.model_id

    def describe(self) -> dict[str, Any]:
        """Return what /health says of the model and of each tier of the cache."""
        fastest = {self._embedder.tier: self._embedder.cache.state()}
        tiers = fastest | self._embedder.slow_tiers.state()
        return {
            "model_class": "MobileSAM",
            "model_version": self.model_version,
            "weights": self._predictor.weights,
            "device": str(self._predictor.device),
            "runtime": self._predictor.runtime,
            "precision": self._predictor.precision,
            "runtime_reason": self._predictor.runtime_reason,
            "zoom": asdict(self._zoom),
            "cache": {name: asdict(state) for name, state in tiers.items()},
            "waiting_for_encoder": self._embedder.waiting(),
        }

    def set_up(
        self,
        *,
        project: str,
        label_config: str,
        hostname: str | None,
        access_token: str | None,
        sender: str | None = None,
    ) -> None:
        """Take in what a /setup request says of a project; `Connections.remember` has the rest.

        Args:
            project: "<id>.<unix time of creation>".
            label_config: the project's XML.
            hostname: Label Studio's address as it knows it.
            access_token: legacy token of the project's creator.
            sender: IP address that the request came from; None if a password has vouched for it.

        Raises:
            LabelingConfigError: no click could ever give a mask with this labeling config.
        """
        self._connections.remember(project, hostname, access_token, sender=sender)
        parse_labeling_config(label_config).require_usable()

    def predict(
        self,
        *,
        tasks: list[dict[str, Any]],
        project: str,
        label_config: str,
        context: list[Any] | None,
    ) -> list[dict[str, Any]]:
        """Answer a /predict request.

        Args:
            tasks: with `id` and `data` each.
            project: "<id>.<unix time of creation>".
            label_config: the project's XML.
            context: regions that prompt, on the one task; None when a task was opened or
                predictions are retrieved.

        Returns:
            One prediction for the prompts; nothing without prompts, since an empty prediction would
            be stored, but the tasks' images are embedded in the background.

        Raises:
            BackendError: anything that kept a prompt from being answered.
        """
        record = current_record()
        record.concerns(project, tasks)
        _check_count("tasks", len(tasks), self._max_tasks, "MOBILESAM_MAX_TASKS")
        _check_count("regions", len(context or ()), self._max_regions, "MOBILESAM_MAX_REGIONS")
        config = parse_labeling_config(label_config)
        for task in tasks:
            if type(task.get("id")) is not int:  # True neither, which equals 1
                kind = type(task.get("id")).__name__
                raise RequestError(
                    f"a task's id is of type {kind}",
                    remedy="send its number",
                    reason="A task's id is not a number",
                )
        if context is None:
            urgency = Urgency.OPENED_TASK if len(tasks) == 1 else Urgency.BATCH
            for task in tasks:
                self._images.prepare(task, config, project, urgency)
            if urgency is Urgency.OPENED_TASK:
                self._prefetcher.prepare_after(tasks[0]["id"], config, project)
            return []
        if len(tasks) != 1:
            raise RequestError(
                f"prompts came with {len(tasks)} tasks",
                remedy="send them with the one they are on",
                reason="Prompts need exactly one task",
            )
        shown = config.of_task(tasks[0].get("data"))
        answer = self._answer(record, tasks[0], project, shown, context)
        self._prefetcher.prepare_after(tasks[0]["id"], config, project)
        return [answer]

    def _answer(
        self,
        record: RequestRecord,
        task: dict[str, Any],
        project: str,
        config: LabelingConfig,
        context: list[Any],
    ) -> dict[str, Any]:
        prompts = read_prompts(context, config, output=self._output)
        record.prompted(
            [label for prompt in prompts for label in prompt.point_labels],
            boxes=sum(prompt.rectangle is not None for prompt in prompts),
        )
        # Before any image is fetched: what cannot be answered anyway.
        controls = [
            config.mask_control(prompt.to_name, prompt.labels, output=self._output)
            for prompt in prompts
        ]
        regions: list[dict[str, Any]] = []
        scores: list[float] = []
        for prompt, control in zip(prompts, controls, strict=True):
            mask, score = self._segment(task, project, config, prompt, control)
            if mask.any():
                scores.append(score)
                with step("codec"):
                    regions += mask_regions(
                        mask,
                        control=control,
                        prompt=prompt,
                        score=score,
                        polygon_tolerance_px=self._polygon_tolerance_px,
                    )
        record.masks = len(scores)
        return {
            "model_version": self.model_version,
            "score": float(np.mean(scores)) if scores else 0.0,
            "result": regions,
        }

    def _segment(
        self,
        task: dict[str, Any],
        project: str,
        config: LabelingConfig,
        prompt: Prompt,
        control: MaskControl,
    ) -> tuple[NDArray[np.bool_] | MaskRuns, float]:
        """Return the mask (H, W) of a prompt, cleaned as the settings say, and its score."""
        key = (project, task["id"], prompt.to_name, prompt.item_index, prompt.labels)
        prompt = self._last_objects.completed(key, prompt)
        image_key, embedding = self._images.embedding(
            task, config.images[prompt.to_name], prompt.item_index, project
        )
        points_xy_px = prompt.points_xy_px(embedding.size_hw)
        object_prompt = ObjectPrompt(
            tuple(points_xy_px), tuple(prompt.point_labels), prompt.box_xyxy_px(embedding.size_hw)
        )
        fetch = functools.partial(
            self._images.fetch_file, task, config.images[prompt.to_name], prompt.item_index, project
        )
        return self._masks.segment(
            image_key,
            embedding,
            object_prompt,
            fetch=fetch,
            runs_will_do=control.output == "brush",
        )


def _check_count(what: str, count: int, most: int, variable: str) -> None:
    if count > most:
        raise RequestTooLargeError(
            f"the request has {count} {what}, more than {most}",
            remedy=f"send fewer at once, or raise {variable}",
            reason=f"Too many {what}: {count}, at most {most}",
        )
