"""What a worker does ten times a second, whatever is asked of it."""

from __future__ import annotations

import logging
import os
import signal
import threading
import time
from collections.abc import Callable

from parfocal_serving.segmenter import metrics
from parfocal_serving.segmenter.outbox import FLUSH, Outbox
from parfocal_serving.segmenter.recent import Recent
from parfocal_serving.segmenter.sender import Sender

logger = logging.getLogger("parfocal.segmenter")

GAUGES = 0.5
"""Seconds between two counts of the outbox."""


class Upkeep:
    """A thread that flushes a task's outbox, counts it, and ends with the process that started this one."""

    _told = threading.Lock()
    """Taken by the one task that ends this process: a second signal would cut the drain short."""

    def __init__(self, task: str, outbox: Outbox, sender: Sender | None, recent: Recent) -> None:
        self._task, self._outbox, self._sender, self._recent = task, outbox, sender, recent
        self._stopping = threading.Event()
        self._parent = os.getppid()
        self._thread = threading.Thread(target=self._run, name="upkeep", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._stopping.set()
        self._thread.join(1)

    def _run(self) -> None:
        counted = 0.0
        while not self._stopping.wait(FLUSH):
            _try(self._outbox.flush)
            if time.monotonic() - counted >= GAUGES:
                counted = time.monotonic()
                _try(self._count)
                _try(self._recent.sweep)
            if os.getppid() != self._parent:
                # BentoML's own parent was killed: left alone, this worker would hold the port for ever.
                logger.warning("the parent process is gone")
                if self._told.acquire(blocking=False):
                    os.kill(os.getpid(), signal.SIGTERM)
                return

    def _count(self) -> None:
        slots = [slot for slot in (self._outbox.slot, self._sender and self._sender.adopted) if slot]
        times = [oldest for slot in slots if (oldest := slot.oldest()) is not None]
        metrics.PENDING.labels(self._task).set(sum(slot.pending for slot in slots))
        metrics.OLDEST.labels(self._task).set(max(0.0, time.time() - min(times)) if times else 0.0)


def _try(work: Callable[[], None]) -> None:
    try:
        work()
    except Exception:  # the next turn is a tenth of a second away
        logger.exception("upkeep failed")
