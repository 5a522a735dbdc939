"""Scores of cases, gathered by instrument and structure: what the report, the summary and the tracker show."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from parfocal.core.scores import CaseScore, Evaluation
from parfocal.core.types import Interval
from parfocal.evaluation.constant import skill
from parfocal.evaluation.metrics import rrp10
from parfocal.evaluation.statistics import Method, by_patient, paired_interval

MODELS = ("challenger", "champion", "constant")

BEST: Mapping[str, Callable[[Sequence[float]], float]] = {
    "dice": max,
    "iou": max,
    "hausdorff": min,
    "hd95": min,
    "hausdorff_mm": min,
    "hd95_mm": min,
    "cdr_error": min,
    "vertical_cdr_error": min,
    "noc85": min,
    "noc90": min,
    "noc85_reached": max,
    "noc90_reached": max,
    "wrong": max,
    "corrected": max,
}
"""Measures that have a mean, and which end of them is the best."""


@dataclass(frozen=True, slots=True)
class Spread:
    """Mean, best, worst and standard deviation (0 for one case) over `count` cases."""

    mean: float
    best: float
    worst: float
    sd: float
    count: int


@dataclass(frozen=True, slots=True)
class Row:
    """One model on one cell.

    Attributes:
        measures: keys of `BEST` that the cases have.
        rrp10: percentage of cases whose radius is within 10 %.
        skill: over the constant mask; None where that is perfect.
        both_empty: cases in which nothing was to be found and nothing was, which count as Dice 1.
    """

    model: str
    cases: int
    measures: Mapping[str, Spread]
    rrp10: float
    skill: float | None
    both_empty: int

    @property
    def dice(self) -> float:
        """Mean over cases."""
        return self.measures["dice"].mean


@dataclass(frozen=True, slots=True)
class CellTable:
    """Everything shown of one instrument and structure.

    Attributes:
        rows: of the models that were scored here, in the order of `MODELS`.
        gain: Dice of challenger less champion, paired by patient; None without a champion or with one patient.
        sd: standard deviation of those differences over patients.
        ahead: Dice of challenger less constant mask, likewise.
    """

    instrument: str
    structure: str
    patients: int
    rows: tuple[Row, ...]
    gain: Interval | None
    sd: float | None
    ahead: Interval | None

    def row(self, model: str) -> Row | None:
        return next((row for row in self.rows if row.model == model), None)


def tables(
    evaluation: Evaluation,
    *,
    level: float = 0.90,
    seed: int = 0,
    resamples: int = 4000,
    method: Method = "bca",
) -> tuple[CellTable, ...]:
    """One table a cell, in the order in which cells were scored; the settings are those of `paired_interval`."""

    def interval(sample: NDArray[np.float64] | None) -> Interval | None:
        if sample is None or len(sample) < 2:
            return None
        return paired_interval(sample, level=level, seed=seed, resamples=resamples, method=method)

    found = []
    for cell in cell_names(evaluation):
        scores = {model: of_cell(evaluation.scores.get(model, ()), *cell) for model in MODELS}
        constant = _mean(scores["constant"], "dice")
        change = differences(scores["challenger"], scores["champion"])
        found.append(
            CellTable(
                *cell,
                patients=len({score.patient for score in scores["challenger"]}),
                rows=tuple(_row(model, own, constant) for model, own in scores.items() if own),
                gain=interval(change),
                sd=float(np.std(change, ddof=1)) if change is not None and len(change) > 1 else None,
                ahead=interval(differences(scores["challenger"], scores["constant"])),
            )
        )
    return tuple(found)


def of_cell(scores: Iterable[CaseScore], instrument: str, structure: str) -> tuple[CaseScore, ...]:
    """The scores of one cell, by case id."""
    found = (score for score in scores if (score.instrument, score.structure) == (instrument, structure))
    return tuple(sorted(found, key=lambda score: score.case))


def cell_names(evaluation: Evaluation) -> tuple[tuple[str, str], ...]:
    """(instrument, structure) pairs that the challenger was scored on, in the order in which it was."""
    return tuple(dict.fromkeys((score.instrument, score.structure) for score in evaluation.scores["challenger"]))


def differences(one: Sequence[CaseScore], other: Sequence[CaseScore]) -> NDArray[np.float64] | None:
    """Dice of `one` less that of `other` on the cases of both, by patient, float64 [patients]; None without any."""
    rival = {score.case: score.metrics["dice"] for score in other}
    shared = [score for score in one if score.case in rival]
    changes = [score.metrics["dice"] - rival[score.case] for score in shared]
    return by_patient(changes, [score.patient for score in shared]) if shared else None


def mean_dice(scores: Iterable[CaseScore]) -> dict[str, dict[str, float]]:
    """Mean Dice over cases, by instrument and structure."""
    scores = tuple(scores)
    found: dict[str, dict[str, float]] = {}
    for instrument, structure in dict.fromkeys((score.instrument, score.structure) for score in scores):
        found.setdefault(instrument, {})[structure] = _mean(of_cell(scores, instrument, structure), "dice")
    return found


def _row(model: str, scores: Sequence[CaseScore], constant: float) -> Row:
    measures = {
        name: _spread([score.metrics[name] for score in scores if name in score.metrics], best)
        for name, best in BEST.items()
        if any(name in score.metrics for score in scores)
    }
    return Row(
        model=model,
        cases=len(scores),
        measures=measures,
        rrp10=rrp10(score.metrics.get("radii_ratio") for score in scores),
        skill=skill(measures["dice"].mean, constant),
        both_empty=sum(score.metrics.get("both_empty", 0) > 0 for score in scores),
    )


def _spread(values: Sequence[float], best: Callable[[Sequence[float]], float]) -> Spread:
    worst = min if best is max else max
    sd = float(np.std(values, ddof=1)) if len(values) > 1 else 0.0
    return Spread(float(np.mean(values)), best(values), worst(values), sd, len(values))


def _mean(scores: Sequence[CaseScore], name: str) -> float:
    return float(np.mean([score.metrics[name] for score in scores]))
