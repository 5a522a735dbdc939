"""The case store: a sample of the photographs, kept only if asked for, written beside the requests and never by them.

A photograph is encoded anew from its pixels, so nothing of the file's metadata is kept; its name is the request's id.
Old ones are deleted by a clock that has gone evenly for a day: one that was set must not take what waits for labels.
"""

from __future__ import annotations

import logging
import queue
import shutil
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import cv2

from parfocal.core.clock import Steady
from parfocal.core.manifest import write_atomic
from parfocal.preprocessing.images import Pixels

logger = logging.getLogger("parfocal.segmenter")

WAITING = 8
"""Photographs in memory that wait for the disk; when it is slower than that, sampling skips some."""
PRUNE = 3600.0
"""Seconds between two looks for days that are too old."""


class Capture:
    """Keeps `fraction` of the photographs under `root`/captured/<task>/<yyyy-mm-dd>/ for `days` days (UTC)."""

    def __init__(self, root: Path, task: str, fraction: float, days: int) -> None:
        self._root, self._task = root, task
        self._fraction, self._days = fraction, days
        self._steady = Steady()
        self._queue: queue.Queue[tuple[str, Pixels] | None] = queue.Queue(WAITING)
        self._thread = threading.Thread(target=self._run, name="capture", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """Write what waits, for at most two seconds."""
        try:
            self._queue.put(None, timeout=1)
        except queue.Full:
            return
        self._thread.join(2)

    def keep(self, image: Pixels, request: str) -> str | None:
        """Queue a photograph if its turn has come; its `case_ref`, a path inside the state folder."""
        if int(request[:8], 16) >= self._fraction * 2**32:
            return None
        name = f"captured/{self._task}/{datetime.now(UTC).date()}/{request}.png"
        try:
            self._queue.put_nowait((name, image))
        except queue.Full:
            return None
        return name

    def prune(self, today: date) -> None:
        """Delete the days before the last `days` ones."""
        first = today - timedelta(days=self._days)
        for folder in self._of_days():
            try:
                old = date.fromisoformat(folder.name) < first
            except ValueError:
                continue
            if old:
                shutil.rmtree(folder, ignore_errors=True)

    def _of_days(self) -> Iterator[Path]:
        return (self._root / "captured" / self._task).glob("????-??-??")

    def _newest(self, before: float) -> float | None:
        written = []
        for folder in self._of_days():
            with suppress(FileNotFoundError):  # another worker deletes old days too
                written.append(folder.stat().st_mtime)
        return max((time_ for time_ in written if time_ < before), default=None)

    def _run(self) -> None:
        looked = -PRUNE
        try:
            self._steady.credit(self._newest)
        except OSError as error:
            logger.warning("when photographs were captured before cannot be seen: %s", error)
        while True:
            if time.monotonic() - looked >= PRUNE:
                looked = time.monotonic()
                self._look()
            try:
                job = self._queue.get(timeout=PRUNE)
            except queue.Empty:
                continue
            if job is None:
                return
            try:
                self._write(*job)
            except (OSError, cv2.error) as error:
                logger.warning("a photograph was not captured: %s", error)

    def _look(self) -> None:
        try:
            if (now := self._steady.now()) is not None:
                self.prune(datetime.fromtimestamp(now, UTC).date())
        except OSError as error:
            logger.warning("old photographs are not deleted now: %s", error)

    def _write(self, name: str, image: Pixels) -> None:
        file = self._root / name
        file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        write_atomic(file, cv2.imencode(".png", image, [cv2.IMWRITE_PNG_COMPRESSION, 1])[1].tobytes())
