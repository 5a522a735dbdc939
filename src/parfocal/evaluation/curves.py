"""What an evaluation shows as a curve and as a matrix: suspicion of glaucoma over thresholds, and pixels by structure.

Both are of the challenger and of all instruments together, and are computed from the scores by case alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from parfocal.core.scores import CaseScore, Evaluation
from parfocal.evaluation.suspicion import RAISED

RATIOS = ("cdr", "vertical_cdr")


@dataclass(frozen=True, slots=True)
class Roc:
    """A receiver operating characteristic, from (0, 0) to (1, 1).

    Attributes:
        false_positive, true_positive: rates in [0, 1] of the answers at and above each threshold.
        threshold: finite and falling. The first is 1 above the highest score, where nothing is positive: JSON knows no
            infinity.
    """

    false_positive: tuple[float, ...]
    true_positive: tuple[float, ...]
    threshold: tuple[float, ...]


def suspicion(evaluation: Evaluation) -> Roc | None:
    """How well the drawn masks tell which eyes the true masks make suspect.

    An eye is suspect when the larger of its two cup-to-disc ratios, measured on the true masks, raises suspicion
    (`parfocal.evaluation.suspicion`; the other eye and the ISNT rule are not asked). Its score is the larger of the two
    measured on the drawn masks; 0 where no disc was found.

    Returns:
        None where no ratios were measured, or where all eyes are suspect, or none is.
    """
    measured = [one.metrics for one in evaluation.scores["challenger"] if _known(one)]
    suspect = [max(one[f"{name}_true"] for name in RATIOS) >= RAISED for one in measured]
    return roc(suspect, [max(one.get(name, 0.0) for name in RATIOS) for one in measured])


def roc(positive: Sequence[bool], score: Sequence[float]) -> Roc | None:
    """The curve of scores (Fawcett 2006, algorithm 1), without the points that lie on a line between their neighbours.

    Returns:
        None unless there are both positives and negatives.
    """
    truth, given = np.asarray(positive, bool), np.asarray(score, np.float64)
    if truth.all() or not truth.any():
        return None
    threshold = np.concatenate([[given.max() + 1], np.unique(given)[::-1]])
    above = given[None, :] >= threshold[:, None]
    hits, alarms = (above & truth).sum(axis=1), (above & ~truth).sum(axis=1)
    steps = np.stack([np.diff(hits), np.diff(alarms)])
    bends = steps[0, 1:] * steps[1, :-1] != steps[0, :-1] * steps[1, 1:]
    kept = np.concatenate([[True], bends, [True]])
    return Roc(
        tuple((alarms[kept] / (~truth).sum()).tolist()),
        tuple((hits[kept] / truth.sum()).tolist()),
        tuple(threshold[kept].tolist()),
    )


def pixels(evaluation: Evaluation) -> tuple[list[str], list[list[int]]]:
    """A confusion matrix of pixels: a block of two rows and columns for each structure, and zeros between structures.

    Returns:
        The categories, a structure's name and ``not <name>`` in turn; and the counts, a row for what is true, a column
        for what was drawn. Both are empty for scores in which images' sizes were not kept.
    """
    scores = [one for one in evaluation.scores["challenger"] if "pixels" in one.metrics]
    structures = list(dict.fromkeys(one.structure for one in scores))
    matrix = np.zeros((2 * len(structures), 2 * len(structures)), np.int64)
    for one in scores:
        place = 2 * structures.index(one.structure)
        matrix[place : place + 2, place : place + 2] += _counts(one)
    return [name for one in structures for name in (one, f"not {one}")], matrix.tolist()


def _counts(one: CaseScore) -> np.ndarray:
    """[[hit, missed], [added, right to leave]] in pixels; Dice is twice the hits over both areas."""
    drawn, true = one.metrics["area"], one.metrics["area_true"]
    hit = one.metrics["dice"] * (drawn + true) / 2
    block = [[hit, true - hit], [drawn - hit, one.metrics["pixels"] - drawn - true + hit]]
    return np.rint(block).astype(np.int64)


def _known(one: CaseScore) -> bool:
    return all(f"{name}_true" in one.metrics for name in RATIOS)
