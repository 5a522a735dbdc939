"""What the monitor is told of an answer: that it was given, before it leaves; what was seen, after it has left."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import Any, NamedTuple

from parfocal_serving.segmenter import metrics
from parfocal_serving.segmenter.capture import Capture
from parfocal_serving.segmenter.champion import Champion
from parfocal_serving.segmenter.mirror import mirrored
from parfocal_serving.segmenter.outbox import Accepted, Outbox
from parfocal_serving.segmenter.patients import load_secret, pseudonym
from parfocal_serving.segmenter.sender import Monitor, Sender
from parfocal_serving.segmenter.settings import SegmenterSettings

from parfocal.core.types import Observation
from parfocal.inference.observe import Description
from parfocal.inference.predictor import Prediction
from parfocal.preprocessing.images import Picture

logger = logging.getLogger("parfocal.segmenter")


class Noted(NamedTuple):
    """An answer that the outbox has: its place there, and what is known without looking at the picture."""

    place: Accepted
    known: dict[str, Any]


class Observing:
    """The outbox of a worker and what fills and empties it. May be used from several threads.

    A clinic's answer never depends on what is told to the monitor: nothing here raises.

    Attributes:
        outbox: rows that wait for the monitor.
        sender: takes them there; None where no monitor is named.
        capture: keeps photographs for labelling; None unless that is asked for.
        secret: of the pseudonyms of patients.
    """

    def __init__(self, settings: SegmenterSettings, *, busy: Callable[[], bool]) -> None:
        """Open the outbox.

        Args:
            settings: of the worker.
            busy: whether others wait: then no picture is looked at twice.
        """
        task = settings.task
        self.outbox = Outbox(settings.outbox_folder, settings.outbox_rows)
        self.sender = None
        if settings.monitor_url:
            monitor = Monitor(settings.monitor_url, settings.token)
            sent, refused = metrics.SENT.labels(task), metrics.REFUSED.labels(task)
            self.sender = Sender(self.outbox, monitor, sent=sent.inc, refused=refused.inc)
        else:
            logger.warning("no monitor is named for %s: observations stay in the outbox", task)
        self.capture = None
        if settings.capture:
            self.capture = Capture(settings.state.resolve(), task, settings.capture, settings.capture_days)
        self.secret = load_secret(settings.patient_secret, settings.state.resolve())
        self._settings, self._busy = settings, busy
        self._dropped = metrics.DROPPED.labels(task)

    def start(self) -> None:
        """Begin to send, and to keep photographs."""
        for part in (self.sender, self.capture):
            if part is not None:
                part.start()

    def stop(self) -> None:
        """Stop what `start` started and let go of the outbox; what waits in it is durable."""
        for part in (self.sender, self.capture):
            if part is not None:
                part.stop()
        self.outbox.flush()
        self.outbox.close()

    def note(self, request: str, champion: Champion, instrument: str | None, patient: str | None) -> Noted | None:
        """Who answered whom: with nothing measured it has no reference, so no detector is moved by it.

        Returns:
            None where it could not be kept, which is counted.
        """
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
                "patient_hmac": pseudonym(self.secret, patient) if patient else None,
                "case_ref": None,
            }
            place = self.outbox.accept(known)
        except Exception:
            logger.exception("an observation could not be kept")
            place = None
        if place is None:
            self._dropped.inc()
            return None
        return Noted(place, known)

    def measure(
        self,
        noted: Noted,
        champion: Champion,
        image: Picture,
        prediction: Prediction,
        look: Callable[[], Description],
    ) -> None:
        """What the photograph and the masks look like: `look`, the doubt under a mirror, the photograph itself."""
        place, known = noted
        with metrics.stage(self._settings.task, "measure", timing={}):
            try:
                seen = look()
                doubt = mirrored(
                    champion, image, prediction, known["id"], known["instrument"] or "", share=self._settings.flips,
                    busy=self._busy(),
                )  # fmt: skip
                case_ref = self.capture.keep(image, known["id"]) if self.capture else None
                measured = {
                    "embedding": seen.embedding,
                    "shape": {**seen.shape, **doubt},
                    "acquisition": seen.acquisition,
                    "reference_id": champion.reference_id,
                    "case_ref": case_ref,
                }
                whole = Observation(**{**known, **measured})
            except Exception:  # without its row the line of the journal goes to the monitor
                logger.exception("what was seen could not be measured")
                return
            self.outbox.complete(place, whole)
