"""What the reference in the champion's bundle says of one answer: its predicted Dice, and what is out of range.

Both are of the answer and the look of the picture, against cases that nothing was trained on (`parfocal.drift`): a
prediction with an interval, and a reason to look again.
"""

from __future__ import annotations

import logging
import threading
from pathlib import Path

from parfocal_serving.segmenter.champion import Champion

from parfocal.core.bundle import REFERENCE
from parfocal.core.types import Observation
from parfocal.drift import reference
from parfocal.drift.reference import Reference
from parfocal.inference.observe import Description

logger = logging.getLogger("parfocal.segmenter")

FAR = 0.01
"""Conformal p-value at and below which a case is out of range; with fewer than 99 held-out cases none is."""
HELD = 3
"""References in memory: champion, challenger, and the one before."""


class Expected:
    """Keeps the references of the models that answer. May be used from several threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._held: dict[str, Reference | None] = {}

    def of(self, model: Champion) -> Reference | None:
        """The reference in a model's bundle; None where there is none, or where it cannot be read."""
        if not model.reference_id or model.folder is None:
            return None
        with self._lock:
            if model.reference_id not in self._held:
                while len(self._held) >= HELD:
                    del self._held[next(iter(self._held))]
                self._held[model.reference_id] = _read(model.folder, model.version)
            return self._held[model.reference_id]


def _read(folder: Path, version: str) -> Reference | None:
    try:
        return reference.read(folder / REFERENCE)
    except Exception:  # an answer without a predicted Dice is an answer
        logger.exception("the reference of version %s cannot be read", version)
        return None


def predicted(held: Reference | None, seen: Observation) -> dict[str, dict[str, float] | None]:
    """By structure `dice`, `lower` and `upper` of its interval, and the interval's `level`; None where nothing says it.

    A structure whose Dice the reference does not predict is not in it.
    """
    if held is None or not held.quality:
        return {}
    features = held.features(seen.instrument, [seen])
    found: dict[str, dict[str, float] | None] = {}
    for name, quality in held.quality.items():
        one = quality.cases(features)[0]
        found[name] = {
            "dice": round(one.estimate, 4),
            "lower": round(one.low, 4),
            "upper": round(one.high, 4),
            "level": one.level,
        }
    return found


def out_of_range(held: Reference | None, seen: Observation) -> list[str]:
    """The streams (appearance, framing, acquisition, plausibility) in which a case is stranger than 99 in 100 are."""
    if held is None:
        return []
    return [stream for stream in held.streams if float(held.scorer(seen.instrument, stream).p_values([seen])[0]) <= FAR]


def observation(model: Champion, instrument: str | None, seen: Description) -> Observation:
    """A case as the reference measures it: what the monitor is told of it, without whose it is."""
    return Observation(
        id="", task=model.task, instrument=instrument, model_version=model.version, reference_id=model.reference_id,
        seq=0, time=0.0, embedding=seen.embedding, shape=seen.shape, acquisition=seen.acquisition,
    )  # fmt: skip
