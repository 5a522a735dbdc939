"""A case that can be given out and why, and how far the labels are that it would be one of."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from parfocal.core.types import Observation, Split
from parfocal.preprocessing import split
from parfocal.triggers.labels import Waiting

BY_HAND = {
    Split.VALIDATION: "drawn at random to choose between trained models, so it is drawn by hand",
    Split.TEST: "drawn at random for the test, so it is drawn by hand and without sight of the model's mask",
}
AGAIN = "somebody else has labelled it: a second reading says how far two people agree"


@dataclass(frozen=True, slots=True)
class Offer:
    """A case that can be given out."""

    seen: Observation
    instrument: str
    side: Split
    why: Mapping[str, Any]

    @property
    def patient(self) -> str:
        return self.seen.patient_hmac or self.seen.id


@dataclass(frozen=True, slots=True)
class Standing:
    """How far an instrument's next experience is.

    Attributes:
        wanted, labelled: cases by side; `labelled` has those that were handed in as well. There is always one more
            wanted than there are.
        out: that somebody has now, by side.
        free: ids that can be given out, by side, test and validation in their random order.
        aims: cases by side that a person is told of: with them the experience is full.
    """

    wanted: Mapping[Split, int]
    labelled: Mapping[Split, int]
    out: Mapping[Split, int]
    free: Mapping[Split, Sequence[str]]
    aims: Mapping[Split, int]

    def sides(self) -> list[Split]:
        """Those that still lack cases, the emptiest first. Of a full one none is given out: thirty training cases
        without a test would start a retrain that cannot be judged."""
        lacking = {side: self.lacks(side) / max(1, self.wanted[side]) for side in split.ORDER if self.lacks(side) > 0}
        return sorted(lacking, key=lambda side: (-lacking[side], split.ORDER.index(side)))

    def lacks(self, side: Split) -> int:
        return self.wanted[side] - self.labelled.get(side, 0) - self.out.get(side, 0)


def first_reading(side: Split, case: Waiting) -> dict[str, Any]:
    """Why a case is worth a label."""
    if side is not Split.TRAIN:  # a number would say what the model thinks of it
        return _by_hand(BY_HAND[side])
    far = case.distance if math.isfinite(case.distance) else None
    if case.dice is not None:
        text = (
            f"the model's mask is expected to be among the poorest here (predicted Dice {case.dice:.2f}, mostly too "
            "high on a camera that it has not learned), and the case is unlike the others"
        )
    elif far is not None:
        text = "it is among those that are least like what the model has learned from"
    else:
        text = "nothing measures what it is worth: it is the next one"
    return {"text": text, "predicted_dice": case.dice, "distance": far, "drawn": False}


def second_reading(side: Split) -> dict[str, Any]:
    """Why a case is labelled again."""
    return _by_hand(AGAIN if side is Split.TRAIN else f"{AGAIN}; drawn by hand, as the first was")


def _by_hand(text: str) -> dict[str, Any]:
    return {"text": text, "predicted_dice": None, "distance": None, "drawn": True}
