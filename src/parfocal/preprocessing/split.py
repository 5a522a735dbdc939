"""Which side of the frozen split a patient is on: decided once, by a keyed hash, and never again."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from pydantic import Field, field_validator

from parfocal.core.config import Config
from parfocal.core.types import Case, Split

Quota = tuple[int, int, int]
ORDER = (Split.TRAIN, Split.VALIDATION, Split.TEST)
_CAUTION = (Split.TEST, Split.VALIDATION, Split.TRAIN)


class SplitConfig(Config):
    """How new patients are dealt."""

    initial: Quota = Field(default=(60, 15, 25), description="percent of new patients: train, validation, test")
    new_instrument: Quota = Field(
        default=(40, 10, 50),
        description="percent, for the first experience of an instrument that the champion does not know: "
        "few cases, so more of them to judge on",
    )
    key: str = Field(
        default="parfocal", min_length=1, description="of the hash; whoever keeps it private keeps sides unguessable"
    )
    patients: Literal["everywhere", "instrument"] = Field(
        default="everywhere",
        description="whether a patient's key names the same person at every instrument (who then keeps one side, so "
        "that no test eye was ever trained on) or only within one",
    )

    @field_validator("initial", "new_instrument")
    @classmethod
    def _whole(cls, quota: Quota) -> Quota:
        if min(quota) < 1 or sum(quota) != 100:
            raise ValueError("three percentages above 0 that add up to 100")
        return quota


@dataclass(frozen=True, slots=True)
class Known:
    """The side of patients that earlier datasets froze.

    Attributes:
        here: by patient, from datasets of this instrument.
        elsewhere: by patient, from other instruments' datasets; empty when keys do not cross instruments.
    """

    here: Mapping[str, Split] = field(default_factory=dict)
    elsewhere: Mapping[str, Split] = field(default_factory=dict)

    def side(self, patient: str) -> Split | None:
        return self.here.get(patient, self.elsewhere.get(patient))


def counts(patients: int, quota: Quota) -> Quota:
    """How many of `patients` go to train, validation and test: exact by largest remainder, ties to the earlier."""
    whole = [patients * percent // 100 for percent in quota]
    rest = sorted(range(3), key=lambda i: (-(patients * quota[i] % 100), i))
    for i in rest[: patients - sum(whole)]:
        whole[i] += 1
    return whole[0], whole[1], whole[2]


def smallest(quota: Quota) -> int:
    """The fewest patients that leave no side empty, now and for every larger number."""
    return next(n for n in range(300, 0, -1) if min(counts(n, quota)) == 0) + 1


def deal(patients: Iterable[str], quota: Quota, key: str) -> dict[str, Split]:
    """Order patients by HMAC-SHA256 under `key` and deal them by quota, in whatever order they come."""
    ordered = sorted(set(patients), key=lambda patient: (_hash(key, patient), patient))
    sides = [side for side, count in zip(ORDER, counts(len(ordered), quota), strict=True) for _ in range(count)]
    return dict(zip(ordered, sides, strict=True))


def sides(
    cases: Sequence[Case],
    known: Known,
    declared: Mapping[str, str],
    quota: Quota,
    key: str,
    drawn: Mapping[str, str] | None = None,
) -> dict[str, Split]:
    """Every patient's side: as frozen, else as the source declares, else as drawn, else training, else dealt.

    Who labels case by case has drawn a side for every patient before a model's mask was shown or a case was chosen:
    dealing them once more would put chosen cases into the test, and cases drawn for the test into training.

    A patient of whom there is nothing but assisted labels goes to training, the one place for such labels, and so is
    not dealt: dealt to test, the labels would be lost, and the test set is the same without them either way.

    Args:
        cases: of one experience, without contradictions (`checks.contradictions`).
        known: from earlier datasets.
        declared: case id to split, where the source names one.
        quota: for the patients who are new.
        key: of the hash.
        drawn: case id to the side for which its patient was drawn; of several, the one that trains least.
    """
    found: dict[str, Split] = {}
    lots: dict[str, Split] = {}
    unassisted: set[str] = set()
    for case in cases:
        side = known.side(case.patient) or (Split(declared[case.id]) if case.id in declared else None)
        if side is not None:
            found[case.patient] = side
        if drawn and case.id in drawn:
            lots[case.patient] = most_cautious(lots.get(case.patient), Split(drawn[case.id]))
        if not case.assisted:
            unassisted.add(case.patient)
    found = {**lots, **found}
    for case in cases:
        if case.patient not in found and case.patient not in unassisted:
            found[case.patient] = Split.TRAIN
    return {**found, **deal(unassisted - set(found), quota, key)}


def most_cautious(first: Split | None, second: Split) -> Split:
    """Of two sides that other instruments gave one patient, the one that trains least on what another tests."""
    return second if first is None else min(first, second, key=_CAUTION.index)


def _hash(key: str, patient: str) -> bytes:
    return hmac.digest(key.encode(), patient.encode(), hashlib.sha256)
