"""Figures for Prometheus: what requests did, what the cache holds, what the process takes."""

import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

from prometheus_client import (
    CONTENT_TYPE_LATEST,
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    ProcessCollector,
    generate_latest,
)
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    InfoMetricFamily,
    Metric,
)
from prometheus_client.registry import Collector

from backend.monitoring.request_record import STEPS, RequestRecord

# The plain text, whatever is asked for: the library fails at versions that are no numbers.
CONTENT_TYPE = CONTENT_TYPE_LATEST
BUCKETS_S = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
WORK = ("fetch", "decode", "encode")  # done once for all who wait, and for nobody; seen where done
ELSEWHERE = "other"  # the path of all requests to none of ours


class Metrics:
    """Counts and times in a registry of its own; safe under threads.

    Args:
        describe: tells of the model, the cache's tiers and the encoder's queue, as /health does;
            asked at each scrape.
    """

    def __init__(self, describe: Callable[[], dict[str, Any]]) -> None:
        self._registry = CollectorRegistry()
        ProcessCollector(registry=self._registry)
        self._registry.register(_ServiceState(describe))
        self._requests = self._counter("requests", "Requests answered", "path", "outcome")
        self._durations = self._histogram(
            "request_duration_seconds", "Time from a request to its answer", "path", "outcome"
        )
        steps = self._histogram("step_duration_seconds", "Time of each step of clicks", "step")
        self._steps = {name: steps.labels(name) for name in STEPS}
        self._embeddings = self._counter(
            "embeddings_served", "Embeddings that clicks asked for, by what had them", "tier"
        )
        self._prompts = self._counter("prompts", "What was clicked", "kind")
        self._masks = self._counter("masks", "Masks answered")
        self._failures = self._counter(
            "failures", "Failed requests, and images that could not be prepared", "code"
        )
        self._clicks_waiting = Gauge(
            "mobilesam_clicks_waiting",
            "Clicks that wait for their image: its fetch, its place in the queue, its encode",
            registry=self._registry,
        )

    def _counter(self, name: str, meaning: str, *labels: str) -> Counter:
        return Counter(f"mobilesam_{name}_total", meaning, labels, registry=self._registry)

    def _histogram(self, name: str, meaning: str, *labels: str) -> Histogram:
        return Histogram(
            f"mobilesam_{name}", meaning, labels, buckets=BUCKETS_S, registry=self._registry
        )

    def count_request(self, record: RequestRecord) -> None:
        """Take in a request that is answered."""
        labels = (record.route or ELSEWHERE, record.outcome)
        self._requests.labels(*labels).inc()
        self._durations.labels(*labels).observe(record.total_s)
        for name, seconds in record.steps_s.items():
            if name not in WORK:
                self.observe_step(name, seconds)
        for tier in record.tiers:
            self._embeddings.labels(tier).inc()
        for kind, count in (record.prompts or {}).items():
            self._prompts.labels(kind).inc(count)
        self._masks.inc(record.masks)
        if record.fault is not None and not record.is_refused_webhook:
            self.count_failure(record.fault.code)

    def count_failure(self, code: str) -> None:
        """Take in a failure, by its error's code."""
        self._failures.labels(code).inc()

    def observe_step(self, name: str, seconds: float) -> None:
        """Take in how long a step took."""
        self._steps[name].observe(seconds)

    def waiting_click(self) -> AbstractContextManager[object]:
        """Count a click as waiting for its image."""
        return self._clicks_waiting.track_inprogress()

    def exposition(self) -> bytes:
        """Return all figures as Prometheus reads them, of the type CONTENT_TYPE."""
        return generate_latest(self._registry)


class _ServiceState(Collector):
    """Figures that are there anyway, read at each scrape."""

    def __init__(self, describe: Callable[[], dict[str, Any]]) -> None:
        self._describe = describe

    def collect(self) -> Iterator[Metric]:
        described = self._describe()
        names = ("model_version", "weights", "device", "runtime", "precision")
        model = {name: str(described[name]) for name in names if name in described}
        yield InfoMetricFamily("mobilesam_model", "The model that runs", model)
        yield GaugeMetricFamily(
            "mobilesam_encoder_waiting_images",
            "Images that wait for the encoder, the one in it included",
            described.get("waiting_for_encoder", 0),
        )
        yield GaugeMetricFamily("mobilesam_threads", "Threads of the process", _threads())
        yield from _cache(described.get("cache", {}))


def _cache(tiers: dict[str, dict[str, int | None]]) -> Iterator[Metric]:
    kinds: list[tuple[type[CounterMetricFamily | GaugeMetricFamily], str, str]] = [
        (CounterMetricFamily, "hits", "Embeddings that a tier was asked for and had"),
        (CounterMetricFamily, "misses", "Embeddings that a tier was asked for and had not"),
        (GaugeMetricFamily, "entries", "Embeddings that a tier keeps"),
        (GaugeMetricFamily, "bytes", "What they take"),
        (GaugeMetricFamily, "max_bytes", "What they may take"),
    ]
    for family, name, meaning in kinds:
        metric = family(f"mobilesam_cache_{name}", meaning, labels=["tier"])
        for tier, state in tiers.items():
            value = state[name]
            if value is not None:  # what Redis holds in all is not known
                metric.add_metric([tier], value)
        yield metric


def _threads() -> int:
    try:
        return sum(1 for _ in Path("/proc/self/task").iterdir())  # torch's and OpenVINO's too
    except OSError:  # not Linux
        return threading.active_count()
