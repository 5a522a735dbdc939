"""Which waiting cases are worth a person's time, and which of them are for the test: chosen apart, on purpose.

A training case is chosen because much can be learned from it. A test case must not be chosen for anything, or the test
says something about the choice. So a patient's side comes first, from a keyed hash that knows nothing of the pictures
and does not change when cases arrive; then the best of one side are for training, and the other side's come in the
order of the hash.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from parfocal.core.types import Split
from parfocal.drift.diversity import worthwhile


@dataclass(frozen=True, slots=True)
class Waiting:
    """A case that nobody has labelled yet.

    Attributes:
        id: of the case.
        patient: whoever it is of, under any key that is the same for all of a patient's cases; "" when unknown.
        dice: predicted, in [0, 1]; None where nothing predicts it.
        distance: from the reference, larger is stranger; inf for a case that cannot be measured.
        place: its embedding; empty when there is none.
    """

    id: str
    patient: str
    dice: float | None
    distance: float
    place: tuple[float, ...] = ()


@dataclass(frozen=True, slots=True)
class Plan:
    """What to label next: case ids, best first for training, in random order for the test."""

    train: tuple[str, ...]
    test: tuple[str, ...]


def cases_worth_labelling(
    cases: Sequence[Waiting],
    *,
    train: int,
    test: int,
    key: str,
    share: float = 0.5,
    known: Mapping[str, Split] | None = None,
) -> Plan:
    """Choose among cases that wait.

    For training: those with the lowest predicted Dice, and among as good as equal ones the farthest; of twice as many
    as are asked for, those that are unlike one another (farthest first). For the test: at random.

    Args:
        cases: with distinct ids, in any order: the answer does not depend on it.
        train, test: how many are asked for; fewer come when fewer wait on that side.
        key: of the hash; the same for every call of an installation.
        share: of the patients that are for the test.
        known: side of patients that earlier data have frozen; validation counts as training here.
    """
    sides: dict[Split, list[Waiting]] = {Split.TRAIN: [], Split.TEST: []}
    for case in sorted(cases, key=lambda case: case.id):
        frozen = (known or {}).get(case.patient)
        side = frozen or (Split.TEST if _draw(key, case) < share else Split.TRAIN)
        sides[Split.TEST if side is Split.TEST else Split.TRAIN].append(case)
    drawn = sorted(sides[Split.TEST], key=lambda case: (_draw(key, case), case.id))
    return Plan(_best(sides[Split.TRAIN], train), tuple(case.id for case in drawn[:test]))


def _draw(key: str, case: Waiting) -> float:
    """A patient's number in [0, 1)."""
    digest = hmac.digest(key.encode(), (case.patient or case.id).encode(), hashlib.sha256)
    return int.from_bytes(digest[:6], "big") / 2**48


def _best(cases: Sequence[Waiting], count: int) -> tuple[str, ...]:
    if not cases:
        return ()
    columns = max(len(case.place) for case in cases)
    missing = (float("nan"),) * max(columns, 1)
    places = np.array([case.place if columns and len(case.place) == columns else missing for case in cases])
    loss = np.array([0.0 if case.dice is None else 1.0 - case.dice for case in cases])
    distance = np.array([case.distance for case in cases])
    rank = np.argsort(np.argsort(distance, kind="stable"), kind="stable") / len(cases)
    return tuple(cases[i].id for i in worthwhile(np.round(loss, 2) + 0.01 * rank, places, count))
