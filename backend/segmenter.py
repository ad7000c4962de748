"""Tasks and prompts to predictions: the one place where the other modules meet."""

import logging
import time
from typing import Any, Self

import numpy as np

from backend.cache import EmbeddingCache
from backend.embedder import Embedder
from backend.errors import PromptError, RequestError
from backend.images import ImageLoader
from backend.label_studio import Connections
from backend.labeling_config import LabelingConfig, parse_labeling_config
from backend.prompts import Prompt, read_prompts
from backend.recent import RecentMap
from backend.regions import mask_region
from backend.settings import MEGABYTE, Settings
from backend.task_images import TaskImages
from backend.workers import Urgency
from mobilesam import Masks, Predictor

log = logging.getLogger(__name__)

OBJECTS_REMEMBERED = 10_000  # under 1 kB each
OBJECT_REMEMBERED_FOR_S = 600  # then an annotator has gone on to something else

# Project, task, Image tag, page and labels: where a further click may belong to the same object.
ObjectKey = tuple[str, int, str, int | None, tuple[str, ...]]


class Segmenter:
    """Answers Label Studio's requests; safe under threads, holds no current image.

    Args:
        predictor: the loaded model.
        settings: bounds, and how Label Studio is reached.
    """

    def __init__(self, predictor: Predictor, settings: Settings) -> None:
        self._predictor = predictor
        self._connections = Connections(settings)
        self._embedder = Embedder(EmbeddingCache(settings.cache_mb * MEGABYTE))
        self._images = TaskImages(
            predictor,
            ImageLoader(settings, self._connections),
            self._embedder,
            max_pixels=settings.max_pixels,
            max_waiting=settings.threads - max(1, settings.threads // 8),
        )
        self._last_objects: RecentMap[ObjectKey, Prompt] = RecentMap(OBJECTS_REMEMBERED)

    @classmethod
    def from_settings(cls, settings: Settings) -> Self:
        """Load the model and run it once, so that the first click does not pay for that.

        Raises:
            MobileSamError: the weights, the device or the runtime cannot be used.
        """
        started = time.perf_counter()
        predictor = Predictor(
            settings.checkpoint,
            settings.device,
            runtime=settings.runtime,
            precision=settings.precision,
        )
        embedding = predictor.embed(np.zeros((64, 64, 3), np.uint8))
        predictor.predict_object(embedding, points_xy=[[32, 32]], point_labels=[1])
        log.info(
            "loaded %s in %s %s on %s in %.1f s",
            predictor.model_id,
            predictor.runtime,
            predictor.precision,
            predictor.device,
            time.perf_counter() - started,
        )
        return cls(predictor, settings)

    @property
    def model_version(self) -> str:
        """What Label Studio stores with each prediction; the same in /setup and /predict."""
        return self._predictor.model_id

    def describe(self) -> dict[str, Any]:
        """Return what /health says of the model and the cache."""
        cache = self._embedder.cache.state()
        return {
            "model_class": "MobileSAM",
            "model_version": self.model_version,
            "weights": self._predictor.weights,
            "device": str(self._predictor.device),
            "runtime": self._predictor.runtime,
            "precision": self._predictor.precision,
            "cache": {
                "images": cache.entries,
                "bytes": cache.bytes,
                "max_bytes": cache.max_bytes,
                "hits": cache.hits,
                "misses": cache.misses,
            },
            "waiting_for_encoder": self._embedder.waiting(),
        }

    def set_up(
        self, *, project: str, label_config: str, hostname: str | None, access_token: str | None
    ) -> None:
        """Take in what a /setup request says of a project.

        Raises:
            LabelingConfigError: no click could ever give a mask with this labeling config.
        """
        self._connections.remember(project, hostname, access_token)
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
        config = parse_labeling_config(label_config)
        for task in tasks:
            if not isinstance(task.get("id"), int):
                kind = type(task.get("id")).__name__
                raise RequestError(
                    f"a task's id is of type {kind}",
                    remedy="send its number",
                    reason="A task's id is not a number",
                )
        if context is None:
            urgency = Urgency.OPENED_TASK if len(tasks) == 1 else Urgency.BATCH
            for task in tasks:
                for tag in config.images.values():
                    self._images.prepare(task, tag, project, urgency)
            return []
        if len(tasks) != 1:
            raise RequestError(
                f"prompts came with {len(tasks)} tasks",
                remedy="send them with the one they are on",
                reason="Prompts need exactly one task",
            )
        return [self._answer(tasks[0], project, config, context)]

    def _answer(
        self, task: dict[str, Any], project: str, config: LabelingConfig, context: list[Any]
    ) -> dict[str, Any]:
        started = time.perf_counter()
        prompts = read_prompts(context, config)
        # Before any image is fetched: what cannot be answered anyway.
        controls = [config.mask_control(prompt.to_name, prompt.labels) for prompt in prompts]
        regions: list[dict[str, Any]] = []
        scores: list[float] = []
        for prompt, control in zip(prompts, controls, strict=True):
            masks = self._segment(task, project, config, prompt)
            if masks.masks.any():
                score = float(masks.scores[0])
                scores.append(score)
                regions += mask_region(masks.masks[0], control=control, prompt=prompt, score=score)
        log.info(
            "task %s: %d prompts, %d masks, %.0f ms",
            task["id"],
            len(prompts),
            len(scores),
            1000 * (time.perf_counter() - started),
        )
        return {
            "model_version": self.model_version,
            "score": float(np.mean(scores)) if scores else 0.0,
            "result": regions,
        }

    def _segment(
        self, task: dict[str, Any], project: str, config: LabelingConfig, prompt: Prompt
    ) -> Masks:
        key = (project, task["id"], prompt.to_name, prompt.item_index, prompt.labels)
        prompt = self._completed(key, prompt)
        embedding = self._images.embedding(
            task, config.images[prompt.to_name], prompt.item_index, project
        )
        return self._predictor.predict_object(
            embedding,
            points_xy=prompt.points_xy_px(embedding.size_hw),
            point_labels=prompt.point_labels,
            box_xyxy=prompt.box_xyxy_px(embedding.size_hw),
        )

    def _completed(self, key: ObjectKey, prompt: Prompt) -> Prompt:
        """Return a prompt that says what the object is, and remember it if it does so by itself.

        Negative points alone are added to the last object, and are not remembered with it: Label
        Studio sends those that are still on the page again. It does not say who clicks: two
        annotators on one task share its last object.

        Raises:
            PromptError: only negative points, and no object that they could refine.
        """
        if not prompt.needs_last_object:
            self._last_objects.put(key, prompt, lifetime_s=OBJECT_REMEMBERED_FOR_S)
            return prompt
        last = self._last_objects.get(key)
        if last is None:
            raise PromptError(
                f"task {key[1]} has only negative points with the labels {list(key[4])}, "
                "and no object of these labels to take them from",
                remedy="click on the object first, then off it",
                reason="Negative points need an object: click on it first",
            )
        return prompt.refining(last)
