"""Scores of cases, gathered by instrument and structure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from parfocal.core.scores import CaseScore, Evaluation
from parfocal.core.types import Interval
from parfocal.evaluation.constant import skill
from parfocal.evaluation.metrics import rrp10
from parfocal.evaluation.statistics import by_patient, paired_interval

MODELS = ("challenger", "champion", "constant")


@dataclass(frozen=True)
class Row:
    """One model on one cell.

    Attributes:
        dice, best, worst, sd: mean, largest, smallest and standard deviation of Dice over cases.
        skill: over the constant mask.
        hd95: mean, in pixels or mm. rrp10: percent. cdr_error: mean absolute error, nan where there is none.
        both_empty: cases in which prediction and truth are both empty, which count as Dice 1.
    """

    model: str
    cases: int
    dice: float
    best: float
    worst: float
    sd: float
    skill: float
    iou: float
    hausdorff: float
    hd95: float
    rrp10: float
    cdr_error: float
    both_empty: int


@dataclass(frozen=True)
class CellTable:
    """Everything shown of one instrument and structure; `gain` is challenger minus champion, paired by patient."""

    instrument: str
    structure: str
    rows: tuple[Row, ...]
    gain: Interval | None

    def row(self, model: str) -> Row | None:
        return next((row for row in self.rows if row.model == model), None)


def of_cell(scores: Iterable[CaseScore], instrument: str, structure: str) -> tuple[CaseScore, ...]:
    """The scores of one cell, by case id."""
    found = (score for score in scores if (score.instrument, score.structure) == (instrument, structure))
    return tuple(sorted(found, key=lambda score: score.case))


def cell_names(evaluation: Evaluation) -> tuple[tuple[str, str], ...]:
    """(instrument, structure) pairs that were scored, in the order in which they were."""
    return tuple(dict.fromkeys((s.instrument, s.structure) for s in evaluation.scores["challenger"]))


def tables(evaluation: Evaluation, *, level: float = 0.90, resamples: int = 4000) -> tuple[CellTable, ...]:
    """One table a cell."""
    return tuple(_table(evaluation, *cell, level, resamples) for cell in cell_names(evaluation))


def mean_dice(scores: Iterable[CaseScore]) -> dict[str, dict[str, float]]:
    """Mean Dice by instrument and structure."""
    gathered: dict[str, dict[str, list[float]]] = {}
    for score in scores:
        gathered.setdefault(score.instrument, {}).setdefault(score.structure, []).append(score.metrics["dice"])
    return {
        instrument: {structure: float(np.mean(values)) for structure, values in cells.items()}
        for instrument, cells in gathered.items()
    }


def _table(evaluation: Evaluation, instrument: str, structure: str, level: float, resamples: int) -> CellTable:
    by_model = {
        model: of_cell(evaluation.scores[model], instrument, structure)
        for model in MODELS
        if evaluation.scores.get(model)
    }
    constant = float(np.mean([s.metrics["dice"] for s in by_model["constant"]]))
    rows = tuple(_row(model, scores, constant) for model, scores in by_model.items() if scores)
    gain = None
    if by_model.get("champion"):
        before = {score.case: score for score in by_model["champion"]}
        pairs = [(s, before[s.case]) for s in by_model["challenger"] if s.case in before]
        differences = by_patient(
            [new.metrics["dice"] - old.metrics["dice"] for new, old in pairs], [new.patient for new, _ in pairs]
        )
        gain = paired_interval(differences, level=level, resamples=resamples) if len(differences) else None
    return CellTable(instrument, structure, rows, gain)


def _row(model: str, scores: tuple[CaseScore, ...], constant: float) -> Row:
    def values(name: str) -> list[float]:
        return [score.metrics[name] for score in scores if name in score.metrics]

    found = values("dice")
    errors = [abs(error) for error in values("cdr_error") if np.isfinite(error)]
    return Row(
        model=model,
        cases=len(scores),
        dice=float(np.mean(found)),
        best=max(found),
        worst=min(found),
        sd=float(np.std(found)),
        skill=skill(float(np.mean(found)), constant),
        iou=float(np.mean(values("iou"))),
        hausdorff=float(np.mean(values("hausdorff"))),
        hd95=float(np.mean(values("hd95"))),
        rrp10=rrp10(values("radii_ratio")),
        cdr_error=float(np.mean(errors)) if errors else float("nan"),
        both_empty=int(sum(values("both_empty"))),
    )
