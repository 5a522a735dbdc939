"""One worker process: its model, its outbox, its threads, and the whole of one request's work."""

from __future__ import annotations

import base64
import json
import logging
import time
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple
from uuid import uuid4

import cv2
from parfocal_serving.segmenter import answer, codecs, dicom_seg, expected, forms, metrics
from parfocal_serving.segmenter.catalog import Catalog
from parfocal_serving.segmenter.challenger import Challenger
from parfocal_serving.segmenter.champion import Champion, Champions, Rejected
from parfocal_serving.segmenter.click_model import Clicks
from parfocal_serving.segmenter.observing import Observing
from parfocal_serving.segmenter.pools import Pools
from parfocal_serving.segmenter.problems import RequestError
from parfocal_serving.segmenter.recent import Seen
from parfocal_serving.segmenter.refine import Refiner
from parfocal_serving.segmenter.settings import SegmenterSettings
from parfocal_serving.segmenter.upkeep import Upkeep

from parfocal.core.errors import DataContractError
from parfocal.inference.observe import Description, describe
from parfocal.inference.predictor import Prediction
from parfocal.preprocessing.images import Picture

logger = logging.getLogger("parfocal.segmenter")


class Answer(NamedTuple):
    """The answer's JSON, what is still to be done once it has left, and which version gave it."""

    body: bytes
    after: Callable[[], None]
    version: str
    media: str = "application/json"


class Worker:
    """What `service.py` starts in every process for every task. `segment` may be called from several threads.

    Args:
        pools: that the tasks of a process share; None makes some.
    """

    def __init__(self, settings: SegmenterSettings, pools: Pools | None = None) -> None:
        self.settings = settings
        cv2.setNumThreads(1)  # requests run side by side; threads inside one would fight for the same processors
        metrics.bury_the_dead()
        self.pools = pools or Pools(settings)
        self.pool, self.recent = self.pools.segment, self.pools.recent
        self.clicks = Clicks(settings.clicks_model, settings.task, settings.runtime)
        self.refiner = Refiner(settings, self.clicks, self.recent)
        self.catalog = Catalog(settings.task, self.clicks)
        self.expected = expected.Expected()
        self.champions = Champions(
            settings.serving, settings.task, settings.runtime, swapped=self._swapped, refused=self._refused
        )
        self.observing = Observing(settings, busy=lambda: self.pools.segmenting.busy)
        self.outbox, self.sender = self.observing.outbox, self.observing.sender
        self.challenger = None
        if settings.canary or settings.shadow:
            self.challenger = Challenger(settings, self.observing.secret, lambda: self.pools.segmenting.busy)
        self._swaps = metrics.SWAPS.labels(settings.task)
        self._upkeep = Upkeep(settings.task, self.outbox, self.sender, self.recent)

    def start(self) -> None:
        """Load the champion, then start the threads.

        A worker takes connections only after this, so that where one worker answers already, no request meets another
        that is still loading.
        """
        self.champions.check()
        for part in (self.clicks, self.champions, self.challenger, self.observing, self._upkeep):
            if part is not None:
                part.start()

    def stop(self) -> None:
        """Stop what `start` started, who tells the monitor last."""
        self._upkeep.stop()
        self.pools.stop()
        for part in (self.clicks, self.champions, self.challenger, self.observing):
            if part is not None:
                part.stop()

    def segment(
        self,
        champion: Champion,
        data: bytes,
        instrument: str | None,
        patient: str | None,
        received: float,
        masks: str = "png",
        spacing: tuple[float, float] | None = None,
        more: forms.More = forms.More(),  # noqa: B008
        wanted: Callable[[], bool] = lambda: True,
    ) -> Answer:
        """Answer one photograph, and keep in the outbox that it was answered before the answer leaves.

        Args:
            champion: that answers, the current one when the request began.
            data: the uploaded file.
            instrument, patient: as the caller declared them.
            received: `time.perf_counter()` when the request began.
            masks: a member of `forms.MASKS`, or `forms.DICOM_SEG`.
            spacing: (row, column) in millimetres; None leaves it to the file.
            more: which eye, which slice, and whether a DICOM object is all that is wanted.
            wanted: whether somebody still waits for the answer; nothing is kept of one that nobody gets.

        Raises:
            RequestError: this is no photograph.
        """
        timing: dict[str, float] = {}
        stage = partial(metrics.stage, self.settings.task, timing=timing)
        request = uuid4().hex
        with stage("decode"):
            decoded = codecs.decode(data, self.settings.pixels, self.settings.task, more.cut)
            image, spacing = decoded.image, spacing or decoded.spacing
            source = dicom_seg.source(data) if masks == forms.DICOM_SEG else None
        with stage("segment"):
            model, prediction = self._predict(champion, request, patient, image, instrument or "", more.observe)
        with stage("encode"):
            look = partial(describe, image, prediction, decoded.camera)
            seen, expect = self._expect(model, instrument, prediction, look)
            values: dict[str, Any] = {
                "request_id": request,
                "instrument": instrument,
                "model": {**answer.model(model), **({} if model is champion else {"role": "challenger"})},
                "structures": answer.structures(prediction, masks, spacing),
                **answer.ratios(prediction.masks),
                **answer.rim(prediction.masks, more.eye or decoded.eye),
                "quality": answer.quality(image, prediction, model.predictor.bundle),
                **expect,
                **({"spacing_mm": list(spacing)} if spacing else {}),
                **({"slice": decoded.place} if decoded.place else {}),
            }
            written = b"" if source is None else dicom_seg.write(source, prediction.masks, model)
            if written and not more.alone:
                values["dicom_seg"] = base64.b64encode(written).decode()
            if self.clicks.current is not None:  # a case for /refine
                self.recent.keep(request, Seen(image, instrument, spacing, prediction.masks, model.checksum))
        with stage("observe"):
            noted = self.observing.note(request, model, instrument, patient) if more.observe and wanted() else None
        timing["total"] = time.perf_counter() - received
        values["timing_ms"] = {name: round(1000 * seconds, 3) for name, seconds in timing.items()}
        body = written if more.alone else json.dumps(values, separators=(",", ":")).encode()
        looked = look if seen is None else lambda: seen

        def after() -> None:
            if noted is not None:
                self.observing.measure(noted, model, image, prediction, looked)
            if self.challenger is not None and more.observe:
                self.challenger.shadow(model, request, image, instrument or "", prediction)

        return Answer(body, after, model.version, dicom_seg.MEDIA if more.alone else "application/json")

    def _expect(
        self, model: Champion, instrument: str | None, prediction: Prediction, look: Callable[[], Description]
    ) -> tuple[Description | None, dict[str, Any]]:
        """What the answer looks like, where a reference is there to say what to expect of it."""
        nothing: dict[str, Any] = {"predicted_dice": dict.fromkeys(prediction.masks), "out_of_range": []}
        if (held := self.expected.of(model)) is None:
            return None, nothing
        try:
            seen = look()
            one = expected.observation(model, instrument, seen)
            dice = {**dict.fromkeys(prediction.masks), **expected.predicted(held, one)}
            return seen, {"predicted_dice": dice, "out_of_range": expected.out_of_range(held, one)}
        except Exception:  # a clinic's answer never depends on what is said beside it
            logger.exception("what was seen could not be held against the reference")
            return None, nothing

    def _predict(
        self, champion: Champion, request: str, patient: str | None, image: Picture, instrument: str, observed: bool
    ) -> tuple[Champion, Prediction]:
        """Who answered, and what: the challenger if it is its turn and it can, else the champion."""
        if observed and self.challenger and (model := self.challenger.canary(champion, request, patient)) is not None:
            found = self.challenger.answer(model, image, instrument)
            if found is not None:
                return model, found
        try:
            return champion, champion.predictor.predict(image, instrument)
        except DataContractError as error:
            raise RequestError(400, error.what, where="image", expected=error.expected, next=error.next) from None

    def _swapped(self, old: Champion | None, new: Champion) -> None:
        metrics.MODEL.labels(new.task, new.version, new.checksum).set(1)
        if old is not None:
            metrics.MODEL.labels(old.task, old.version, old.checksum).set(0)
            self._swaps.inc()
        self.expected.of(new)  # not when the first photograph waits

    def _refused(self, rejected: Rejected) -> None:
        metrics.REJECTED.labels(self.settings.task, rejected.version).inc()
