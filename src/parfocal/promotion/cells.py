"""Cells of the gate: one instrument and one structure, its scores paired case by case and patient by patient."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from parfocal.core.errors import DataContractError
from parfocal.core.scores import CaseScore, Evaluation
from parfocal.evaluation.statistics import by_patient

Scores = Mapping[str, CaseScore]
"""Case id to score."""


@dataclass(frozen=True, slots=True)
class Cell:
    """One instrument and structure as the challenger and its rivals scored it, on the same test cases.

    Attributes:
        champion: None when there is no champion, or it does not know the structure.
    """

    instrument: str
    structure: str
    challenger: Scores
    constant: Scores
    champion: Scores | None

    @property
    def name(self) -> str:
        return f"{self.structure} on {self.instrument}"

    @property
    def patients(self) -> int:
        return len({score.patient for score in self.challenger.values()})


def cells(evaluation: Evaluation) -> tuple[Cell, ...]:
    """Every cell that has labels, in a fixed order. A structure nobody labelled in an instrument has none.

    Raises:
        DataContractError: no scores, a rival not scored on exactly the challenger's cases, or a score without Dice.
    """
    challenger = _by_cell(evaluation, "challenger")
    if not challenger:
        raise DataContractError("the evaluation has no score of the challenger", next="evaluate again")
    constant = _by_cell(evaluation, "constant")
    champion = _by_cell(evaluation, "champion") if evaluation.champion else {}
    return tuple(
        Cell(
            *place,
            challenger=scores,
            constant=_same_cases(scores, constant.get(place, {}), "constant", place),
            champion=_same_cases(scores, champion[place], "champion", place) if place in champion else None,
        )
        for place, scores in sorted(challenger.items())
    )


def mean_dice(scores: Scores) -> float:
    """Mean over cases."""
    return float(np.mean([score.metrics["dice"] for score in scores.values()]))


def differences(one: Scores, other: Scores) -> NDArray[np.float64]:
    """Dice of `one` less that of `other` over the same cases, a patient's cases averaged: float64 [patients]."""
    changes = [score.metrics["dice"] - other[case].metrics["dice"] for case, score in one.items()]
    return by_patient(changes, [score.patient for score in one.values()])


def count_failures(scores: Scores, below: float) -> int:
    """Cases whose Dice is under `below`."""
    return sum(score.metrics["dice"] < below for score in scores.values())


def count_radius_close(scores: Scores) -> int:
    """Cases with |radii_ratio - 1| < 0.10; one without a ratio (an empty true mask) is not close."""
    return sum(map(_radius_close, scores.values()))


def count_radius_changes(before: Scores, after: Scores) -> tuple[int, int]:
    """Cases whose radius was within 10 % and is no longer, and those the other way round."""
    pairs = [(_radius_close(score), _radius_close(after[case])) for case, score in before.items()]
    return sum(old and not new for old, new in pairs), sum(new and not old for old, new in pairs)


def _radius_close(score: CaseScore) -> bool:
    return abs(score.metrics.get("radii_ratio", np.nan) - 1) < 0.10


def _by_cell(evaluation: Evaluation, model: str) -> dict[tuple[str, str], dict[str, CaseScore]]:
    found: defaultdict[tuple[str, str], dict[str, CaseScore]] = defaultdict(dict)
    for score in evaluation.scores.get(model, ()):
        if not np.isfinite(score.metrics.get("dice", np.nan)):
            place = f"{score.instrument}/{score.structure}, case {score.case}"
            raise DataContractError(f"a score of the {model} has no Dice", where=place)
        found[score.instrument, score.structure][score.case] = score
    return found


def _same_cases(expected: Iterable[str], found: Scores, model: str, place: tuple[str, str]) -> Scores:
    odd = sorted(set(expected) ^ set(found))
    if odd:
        raise DataContractError(
            f"the {model} was not scored on exactly the challenger's cases",
            where=f"{'/'.join(place)}, case {odd[0]}",
            expected="the same test cases for every model",
            next="evaluate again",
        )
    return found
