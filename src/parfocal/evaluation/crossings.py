"""Which cases cross the tenth of the radius between champion and challenger: what a person looks at before approving.

The count says how many crossed. Radii that all grew or shrank show in their mean, those that were shuffled about the
limit do not; a kind of eye or a kind of light is seen in the cases alone.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from statistics import fmean, pstdev

from parfocal.core.scores import CaseScore, Evaluation
from parfocal.evaluation.metrics import near
from parfocal.evaluation.tables import cell_names, of_cell


@dataclass(frozen=True, slots=True)
class Crossing:
    """One case.

    Attributes:
        before, after: predicted over true mean radius with champion and challenger; None without a true one.
    """

    case: str
    before: float | None
    after: float | None


@dataclass(frozen=True, slots=True)
class Spread:
    """Of the radii ratios of a cell's cases: their mean and standard deviation, 1 and 0 when all are right."""

    mean: float
    sd: float


@dataclass(frozen=True, slots=True)
class Crossings:
    """Of one cell, whose cases both models were scored on.

    Attributes:
        both: cases whose radius is within 10 % of the true one with either model (`metrics.rrp10`).
        lost: with the champion alone, the farthest off first.
        gained: with the challenger alone, by case.
        before, after: of the radii with champion and challenger; None without a case that has a true one.
    """

    instrument: str
    structure: str
    cases: int
    both: int
    lost: tuple[Crossing, ...]
    gained: tuple[Crossing, ...]
    before: Spread | None
    after: Spread | None


def crossings(evaluation: Evaluation) -> tuple[Crossings, ...]:
    """By cell, in the order in which cells were scored; nothing where there is no champion to compare with."""
    found = []
    for cell in cell_names(evaluation):
        champion = {score.case: _ratio(score) for score in of_cell(evaluation.scores.get("champion", ()), *cell)}
        shared = [
            Crossing(score.case, champion[score.case], _ratio(score))
            for score in of_cell(evaluation.scores["challenger"], *cell)
            if score.case in champion
        ]
        if shared:
            lost = [one for one in shared if near(one.before) and not near(one.after)]
            gained = tuple(one for one in shared if near(one.after) and not near(one.before))
            lost.sort(key=lambda one: (-abs((one.after or 0.0) - 1), one.case))
            both = sum(near(one.before) and near(one.after) for one in shared)
            before, after = _spread(one.before for one in shared), _spread(one.after for one in shared)
            found.append(Crossings(*cell, len(shared), both, tuple(lost), gained, before, after))
    return tuple(found)


def _spread(ratios: Iterable[float | None]) -> Spread | None:
    known = [ratio for ratio in ratios if ratio is not None]
    return Spread(fmean(known), pstdev(known)) if known else None


def _ratio(score: CaseScore) -> float | None:
    return score.metrics.get("radii_ratio")
