"""What Prometheus reads. Made when the module is imported, which BentoML does in every worker.

With several workers every sample is written to a file by process and added up by whoever answers `/metrics`; `live`
modes leave out processes that are gone.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil
from prometheus_client import Counter, Gauge, Histogram, multiprocess

_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.02, 0.03, 0.05, 0.075, 0.1, 0.15, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)

REQUESTS = Counter("parfocal_requests", "Answers to POST /segment", ("task", "version", "status"))
REQUEST_SECONDS = Histogram(
    "parfocal_request_seconds", "From the request's head to the answer, all statuses", ("task",), buckets=_SECONDS
)
STAGE_SECONDS = Histogram(
    "parfocal_stage_seconds",
    "Parts of an answered request: decode, segment, encode, observe",
    ("task", "stage"),
    buckets=(0.0001, 0.00025, 0.0005, *_SECONDS),
)
PENDING = Gauge("parfocal_outbox_pending", "Observations not yet delivered", ("task",), multiprocess_mode="livesum")
OLDEST = Gauge(
    "parfocal_outbox_oldest_seconds",
    "Age of the observation that waits longest",
    ("task",),
    multiprocess_mode="livemax",
)
DROPPED = Counter("parfocal_outbox_dropped", "Observations that could not be kept", ("task",))
REFUSED = Counter("parfocal_outbox_refused", "Observations that the monitor did not take", ("task",))
SENT = Counter("parfocal_outbox_sent", "Observations that the monitor has", ("task",))
REJECTED = Counter("parfocal_champion_rejected", "Champions that a worker could not load or warm", ("task", "version"))
MODEL = Gauge(
    "parfocal_model_info",
    "1 while any worker answers with this model, 0 once none does",
    ("task", "version", "checksum"),
    multiprocess_mode="livemax",
)
SWAPS = Counter("parfocal_swaps", "Champions that took the place of another in a worker", ("task",))
CHALLENGER = Counter(
    "parfocal_challenger_requests",
    "Pictures that a challenger answered, failed on or, as a shadow, left be; `role` is canary, shadow or load",
    ("task", "version", "role", "outcome"),
)
CHALLENGER_SECONDS = Histogram(
    "parfocal_challenger_seconds", "A challenger's cascade over one picture", ("task", "role"), buckets=_SECONDS
)
AGREEMENT = Histogram(
    "parfocal_challenger_dice",
    "Dice of a shadow's mask against the champion's, in source pixels",
    ("task", "structure"),
    buckets=(0.5, 0.7, 0.8, 0.85, 0.9, 0.925, 0.95, 0.97, 0.98, 0.99, 0.995, 1.0),
)


@contextmanager
def stage(task: str, name: str, timing: dict[str, float]) -> Iterator[None]:
    """Time a part of a request that ends well, in seconds, for Prometheus and under its name in `timing`."""
    began = time.perf_counter()
    yield
    timing[name] = time.perf_counter() - began
    STAGE_SECONDS.labels(task, name).observe(timing[name])


def bury_the_dead() -> None:
    """Leave out the gauges of workers that were killed: only a worker that ends by itself takes its own away."""
    folder = os.environ.get("PROMETHEUS_MULTIPROC_DIR")
    if not folder:
        return
    for file in Path(folder).glob("gauge_live*_*.db"):
        number = file.stem.rsplit("_", 1)[-1]
        if number.isdigit() and not psutil.pid_exists(int(number)):
            with suppress(FileNotFoundError):  # another worker that starts now was faster
                multiprocess.mark_process_dead(int(number))  # type: ignore[no-untyped-call]
