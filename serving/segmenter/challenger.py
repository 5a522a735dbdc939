"""A challenger beside the champion: as a canary it answers some requests, as a shadow it answers some to nobody.

Whatever it does costs no request: where it fails the champion answers, and a shadow works after the answer has left, on
a thread of its own, on pictures that are dropped when somebody waits.
"""

from __future__ import annotations

import logging
import queue
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

import numpy as np
from parfocal_serving.segmenter import metrics
from parfocal_serving.segmenter.champion import Champion, Champions, Rejected
from parfocal_serving.segmenter.patients import pseudonym
from parfocal_serving.segmenter.settings import SegmenterSettings

from parfocal.core.errors import DataContractError
from parfocal.evaluation.metrics import dice
from parfocal.inference.predictor import Prediction
from parfocal.preprocessing.images import Picture

logger = logging.getLogger("parfocal.segmenter")

FILE = "challenger.json"
"""Written by the follower beside current.json, and taken away when the alias is."""
WAITING = 4
"""Pictures in memory that wait for a shadow."""
CANARY, SHADOW = "canary", "shadow"


class Models(Champions):
    """Follows challenger.json; unlike a champion, a challenger that is taken away answers no more."""

    def _away(self) -> None:
        self.current, self.rejected, self._seen = None, None, None


class Job(NamedTuple):
    """A picture that was answered, for a shadow to answer again."""

    champion: Champion
    image: Picture
    instrument: str
    answered: Prediction


class Challenger:
    """Of one task in one worker.

    Args:
        secret: key of the hash that says which patients a canary answers.
        busy: whether requests wait; a shadow then leaves its pictures be.

    Attributes:
        models: `current` is the challenger, None where there is none.
    """

    def __init__(self, settings: SegmenterSettings, secret: bytes, busy: Callable[[], bool]) -> None:
        self._task, self._secret, self._busy = settings.task, secret, busy
        self._canary, self._shadow = settings.canary, settings.shadow
        self.models = Models(
            Path(settings.serving), settings.task, settings.runtime, file=FILE,
            swapped=_swapped, refused=self._refused,
        )  # fmt: skip
        self._queue: queue.Queue[Job | None] = queue.Queue(WAITING)
        self._thread = threading.Thread(target=self._run, name="shadow", daemon=True)

    def start(self) -> None:
        self.models.check()
        self.models.start()
        self._thread.start()

    def stop(self) -> None:
        """What a shadow has not begun is left undone."""
        self.models.stop()
        while True:
            try:
                self._queue.put_nowait(None)
                break
            except queue.Full:
                with suppress(queue.Empty):  # the thread has taken them all in the meantime
                    self._left(self._queue.get_nowait())
        self._thread.join(2)

    def canary(self, champion: Champion, request: str, patient: str | None) -> Champion | None:
        """The challenger, if it is to answer this request.

        A patient is always answered by the same model, as long as the challenger is the same one; without a patient
        the request decides.
        """
        model = self._rival(champion)
        if model is None or not self._canary:
            return None
        turn = pseudonym(self._secret, f"{model.checksum}:{patient}") if patient else request[8:]
        return model if int(turn[:8], 16) < self._canary * 2**32 else None

    def answer(self, model: Champion, image: Picture, instrument: str) -> Prediction | None:
        """A canary's answer; None where it has none, and the champion has to answer."""
        return self._predict(model, image, instrument, CANARY)

    def shadow(self, champion: Champion, request: str, image: Picture, instrument: str, answered: Prediction) -> None:
        """Have a picture that the champion answered looked at again, if its turn has come and nobody waits."""
        model = self._rival(champion)
        if model is None or int(request[16:24], 16) >= self._shadow * 2**32:
            return
        job = Job(champion, image, instrument, answered)
        if self._busy():
            self._left(job)
            return
        try:
            self._queue.put_nowait(job)
        except queue.Full:
            self._left(job)

    def _rival(self, champion: Champion) -> Champion | None:
        """The challenger, unless it has become champion."""
        model = self.models.current
        return None if model is None or model.checksum == champion.checksum else model

    def _predict(self, model: Champion, image: Picture, instrument: str, role: str) -> Prediction | None:
        began = time.perf_counter()
        try:
            found = model.predictor.predict(image, instrument)
            for name, probability in found.probabilities.items():
                if not np.isfinite(probability).all():
                    raise DataContractError(f"its {name} network gives no numbers")
        except Exception as error:  # whatever it is, it is the challenger's and not the caller's
            logger.warning("challenger %s failed: %s", model.version, type(error).__name__)
            metrics.CHALLENGER.labels(self._task, model.version, role, "failed").inc()
            return None
        metrics.CHALLENGER.labels(self._task, model.version, role, "answered").inc()
        metrics.CHALLENGER_SECONDS.labels(self._task, role).observe(time.perf_counter() - began)
        return found

    def _run(self) -> None:
        while (job := self._queue.get()) is not None:
            model = self._rival(job.champion)
            found = self._predict(model, job.image, job.instrument, SHADOW) if model else None
            if found is None:
                continue
            for name in found.masks.keys() & job.answered.masks.keys():
                agreed = dice(found.masks[name], job.answered.masks[name])
                metrics.AGREEMENT.labels(self._task, name).observe(agreed)

    def _left(self, job: Job | None) -> None:
        model = self.models.current
        if job is not None and model is not None:
            metrics.CHALLENGER.labels(self._task, model.version, SHADOW, "dropped").inc()

    def _refused(self, rejected: Rejected) -> None:
        metrics.CHALLENGER.labels(self._task, rejected.version, "load", "failed").inc()


def _swapped(old: Champion | None, new: Champion) -> None:
    logger.warning("challenger %s stands beside the champion%s", new.version, f", not {old.version}" if old else "")
