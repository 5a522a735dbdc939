"""What was measured of a challenger, cell by cell, as plain values: the table of the model card and of the evidence."""

from __future__ import annotations

from typing import Any

import numpy as np

from parfocal.core.scores import Evaluation
from parfocal.core.types import Interval
from parfocal.evaluation.constant import skill
from parfocal.evaluation.statistics import by_patient, paired_interval
from parfocal.promotion.cells import Cell, Scores, cells, count_failures, count_radius_close, differences, mean_dice
from parfocal.promotion.policy import GatePolicy


def rows(evaluation: Evaluation, policy: GatePolicy) -> list[dict[str, Any]]:
    """One row a cell, in the gate's order. Dice in [0, 1]; `low` and `high` are of the mean over patients, at the
    policy's level; `sd`, `best` and `worst` are over cases; rrp10 in percent of the cases."""
    return [_row(cell, policy) for cell in cells(evaluation)]


def _row(cell: Cell, policy: GatePolicy) -> dict[str, Any]:
    dice = [score.metrics["dice"] for score in cell.challenger.values()]
    constant = mean_dice(cell.constant)
    return {
        "instrument": cell.instrument,
        "structure": cell.structure,
        "patients": cell.patients,
        "cases": len(cell.challenger),
        "dice": {
            "mean": mean_dice(cell.challenger),
            **_ends(_of_mean(cell.challenger, policy)),
            "level": policy.level,
            "best": max(dice),
            "worst": min(dice),
            "sd": float(np.std(dice, ddof=1)) if len(dice) > 1 else None,
        },
        "constant": constant,
        "skill": skill(mean_dice(cell.challenger), constant),
        "rrp10": 100 * count_radius_close(cell.challenger) / len(dice),
        "failures": count_failures(cell.challenger, policy.failure_dice),
        "champion": _champion(cell, policy),
    }


def _champion(cell: Cell, policy: GatePolicy) -> dict[str, Any] | None:
    """The champion's mean, and how the challenger's differs from it, paired by patient."""
    if cell.champion is None:
        return None
    sample = differences(cell.challenger, cell.champion)
    found = _interval(sample, policy)
    return {"mean": mean_dice(cell.champion), "change": float(sample.mean()), **_ends(found)}


def _of_mean(scores: Scores, policy: GatePolicy) -> Interval | None:
    values = by_patient(
        [score.metrics["dice"] for score in scores.values()], [score.patient for score in scores.values()]
    )
    return _interval(values, policy)


def _interval(sample: Any, policy: GatePolicy) -> Interval | None:
    if len(sample) < 2:
        return None
    return paired_interval(
        sample, level=policy.level, seed=policy.seed, resamples=policy.resamples, method=policy.interval
    )


def _ends(interval: Interval | None) -> dict[str, float | None]:
    """Both ends, kept to what a Dice or a difference of Dice can be."""
    if interval is None:
        return {"low": None, "high": None}
    return {"low": max(interval.low, -1.0), "high": min(interval.high, 1.0)}
