"""One worker process: its model, its outbox, its threads, and the whole of one request's work."""

from __future__ import annotations

import json
import logging
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from typing import Any, NamedTuple
from uuid import uuid4

import cv2
from parfocal_serving.segmenter import answer, codecs, metrics
from parfocal_serving.segmenter.capture import Capture
from parfocal_serving.segmenter.catalog import Catalog
from parfocal_serving.segmenter.champion import Champion, Champions, Rejected
from parfocal_serving.segmenter.click_model import Clicks
from parfocal_serving.segmenter.outbox import FLUSH, Accepted, Outbox
from parfocal_serving.segmenter.patients import load_secret, pseudonym
from parfocal_serving.segmenter.problems import RequestError
from parfocal_serving.segmenter.recent import Recent, Seen
from parfocal_serving.segmenter.refine import Refiner
from parfocal_serving.segmenter.sender import Monitor, Sender
from parfocal_serving.segmenter.settings import SegmenterSettings

from parfocal.core.errors import DataContractError
from parfocal.core.types import Observation
from parfocal.inference.observe import describe
from parfocal.inference.predictor import Prediction
from parfocal.preprocessing.images import Picture

logger = logging.getLogger("parfocal.segmenter")

GAUGES = 0.5
"""Seconds between two counts of the outbox."""


class Answer(NamedTuple):
    """The answer's JSON, and what is still to be done once it has left."""

    body: bytes
    after: Callable[[], None] | None


class Worker:
    """What `service.py` starts in every process. `segment` may be called from several threads."""

    def __init__(self, settings: SegmenterSettings) -> None:
        self.settings = settings
        cv2.setNumThreads(1)  # requests run side by side; threads inside one would fight for the same processors
        metrics.bury_the_dead()
        self.pool = ThreadPoolExecutor(settings.pool, thread_name_prefix="segment")
        self.click_pool = ThreadPoolExecutor(settings.pool, thread_name_prefix="click")  # never behind photographs
        self.recent = Recent(int(settings.recent_mb * 1e6), settings.recent_seconds)
        self.clicks = Clicks(settings.clicks_model, settings.task, settings.runtime)
        self.refiner = Refiner(settings, self.clicks, self.recent)
        self.catalog = Catalog(settings.serving, settings.task, self.clicks)
        self.outbox = Outbox(settings.outbox_folder, settings.outbox_rows)
        self.champions = Champions(
            settings.serving, settings.task, settings.runtime, swapped=self._swapped, refused=self._refused
        )
        self.sender = None
        if settings.monitor_url:
            monitor = Monitor(settings.monitor_url, settings.token)
            self.sender = Sender(self.outbox, monitor, sent=metrics.SENT.inc, refused=metrics.REFUSED.inc)
        else:
            logger.warning("PARFOCAL_MONITOR_URL is empty: observations stay in the outbox")
        self.capture = None
        if settings.capture:
            self.capture = Capture(settings.state.resolve(), settings.task, settings.capture, settings.capture_days)
        self._secret = load_secret(settings.patient_secret, settings.state.resolve())
        self._stopping = threading.Event()
        self._parent = os.getppid()
        self._upkeep = threading.Thread(target=self._keep_up, name="upkeep", daemon=True)

    def start(self) -> None:
        """Load the champion, then start the threads.

        A worker takes connections only after this, so that where one worker answers already, no request meets another
        that is still loading.
        """
        self.champions.check()
        for part in (self.clicks, self.champions, self.sender, self.capture, self._upkeep):
            if part is not None:
                part.start()

    def stop(self) -> None:
        """Stop what `start` started and let go of the outbox; what waits in it is durable."""
        self._stopping.set()
        self._upkeep.join(1)
        for pool in (self.pool, self.click_pool):
            pool.shutdown(wait=True, cancel_futures=True)
        for part in (self.clicks, self.champions, self.sender, self.capture):
            if part is not None:
                part.stop()
        self.outbox.flush()
        self.outbox.close()

    def segment(
        self,
        champion: Champion,
        data: bytes,
        instrument: str | None,
        patient: str | None,
        received: float,
        masks: str = "png",
        spacing: tuple[float, float] | None = None,
    ) -> Answer:
        """Answer one photograph, and keep in the outbox that it was answered before the answer leaves.

        Args:
            champion: that answers, the current one when the request began.
            data: the uploaded file.
            instrument, patient: as the caller declared them.
            received: `time.perf_counter()` when the request began.
            masks: a member of `forms.MASKS`.
            spacing: (row, column) in millimetres; None leaves it to the file.

        Raises:
            RequestError: this is no photograph.
        """
        timing: dict[str, float] = {}
        with self._stage("decode", timing):
            image, own = codecs.decode(data, self.settings.pixels, self.settings.task)
            spacing = spacing or own
        with self._stage("segment", timing):
            try:
                prediction = champion.predictor.predict(image, instrument or "")
            except DataContractError as error:
                raise RequestError(400, error.what, where="image", expected=error.expected, next=error.next) from None
        request = uuid4().hex
        with self._stage("encode", timing):
            values: dict[str, Any] = {
                "request_id": request,
                "instrument": instrument,
                "model": answer.model(champion),
                "structures": answer.structures(prediction, masks, spacing),
                **answer.ratios(prediction.masks),
                "quality": answer.quality(image, prediction, champion.predictor.bundle),
                **({"spacing_mm": list(spacing)} if spacing else {}),
            }
            if self.clicks.current is not None:  # a case for /refine
                self.recent.keep(request, Seen(image, instrument, spacing, prediction.masks, champion.checksum))
        with self._stage("observe", timing):
            accepted = self._accept(request, champion, instrument, patient)
        timing["total"] = time.perf_counter() - received
        values["timing_ms"] = {name: round(1000 * seconds, 3) for name, seconds in timing.items()}
        body = json.dumps(values, separators=(",", ":")).encode()
        return Answer(body, partial(self._measure, *accepted, champion, image, prediction) if accepted else None)

    def _accept(
        self, request: str, champion: Champion, instrument: str | None, patient: str | None
    ) -> tuple[Accepted, dict[str, Any]] | None:
        """Who answered whom: with nothing measured it has no reference, so no detector is moved by it."""
        try:
            known: dict[str, Any] = {
                "id": request,
                "task": champion.task,
                "instrument": instrument,
                "model_version": champion.version,
                "reference_id": "",
                "time": time.time(),
                "embedding": "",
                "shape": {},
                "acquisition": {},
                "patient_hmac": pseudonym(self._secret, patient) if patient else None,
                "case_ref": None,
            }
            place = self.outbox.accept(known)
        except Exception:  # a clinic's answer never depends on what is told to the monitor
            logger.exception("an observation could not be kept")
            place = None
        if place is None:
            metrics.DROPPED.inc()
            return None
        return place, known

    def _measure(
        self, place: Accepted, known: dict[str, Any], champion: Champion, image: Picture, prediction: Prediction
    ) -> None:
        """After the answer: what the photograph and the masks look like."""
        with self._stage("measure", {}):
            try:
                seen = describe(image, prediction)
                case_ref = self.capture.keep(image, known["id"]) if self.capture else None
                measured = {
                    "embedding": seen.embedding,
                    "shape": seen.shape,
                    "acquisition": seen.acquisition,
                    "reference_id": champion.reference_id,
                    "case_ref": case_ref,
                }
                whole = Observation(**{**known, **measured})
            except Exception:  # without its row the line of the journal goes to the monitor
                logger.exception("what was seen could not be measured")
                return
            self.outbox.complete(place, whole)

    @contextmanager
    def _stage(self, name: str, timing: dict[str, float]) -> Iterator[None]:
        began = time.perf_counter()
        yield
        timing[name] = time.perf_counter() - began
        metrics.STAGE_SECONDS.labels(self.settings.task, name).observe(timing[name])

    def _swapped(self, old: Champion | None, new: Champion) -> None:
        metrics.MODEL.labels(new.task, new.version, new.checksum).set(1)
        if old is not None:
            metrics.MODEL.labels(old.task, old.version, old.checksum).set(0)
            metrics.SWAPS.inc()

    def _refused(self, rejected: Rejected) -> None:
        metrics.REJECTED.labels(self.settings.task, rejected.version).inc()

    def _keep_up(self) -> None:
        """Flush the outbox, count it, and end with the process that started this one."""
        counted = 0.0
        while not self._stopping.wait(FLUSH):
            self._try(self.outbox.flush)
            if time.monotonic() - counted >= GAUGES:
                counted = time.monotonic()
                self._try(self._count)
                self._try(self.recent.sweep)
            if os.getppid() != self._parent:
                # BentoML's own parent was killed: left alone, this worker would hold the port for ever.
                logger.warning("the parent process is gone")
                os.kill(os.getpid(), signal.SIGTERM)
                return

    def _count(self) -> None:
        slots = [slot for slot in (self.outbox.slot, self.sender and self.sender.adopted) if slot]
        times = [oldest for slot in slots if (oldest := slot.oldest()) is not None]
        metrics.PENDING.set(sum(slot.pending for slot in slots))
        metrics.OLDEST.set(max(0.0, time.time() - min(times)) if times else 0.0)

    def _try(self, work: Callable[[], None]) -> None:
        try:
            work()
        except Exception:  # the next turn is a tenth of a second away
            logger.exception("upkeep failed")
