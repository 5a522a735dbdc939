"""The detector tried on made-up cases, without any of the mathematics of `run_length`: what that is checked against."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from parfocal.drift.conformal import p_values
from parfocal.drift.cusum import normal_scores

CHUNK = 2000
"""Cases of every run that are drawn at once."""


def simulate(
    h: float,
    reference_size: int,
    *,
    k: float = 0.5,
    shift: float = 0.0,
    runs: int = 1000,
    limit: int = 10_000,
    seed: int = 0,
    references: NDArray[np.float64] | None = None,
) -> NDArray[np.int64]:
    """Cases to the first alarm of independent runs, int64 [runs]; `limit` where there was none by then.

    The distance of a case is standard normal, that of a changed instrument's case `shift` higher. Every run draws its
    own held-out cases, then cases until its CUSUM of conformal normal scores reaches `h`.

    Args:
        h: threshold.
        reference_size: held-out cases.
        k: allowance of the CUSUM.
        shift: of the new cases, in standard deviations of the distance; 0 for false alarms.
        runs: how many.
        limit: cases after which a run ends.
        seed: equal arguments give equal runs.
        references: distances of held-out cases [runs, reference_size] to use instead of drawn ones.
    """
    rng = np.random.default_rng(seed)
    held_out = rng.standard_normal((runs, reference_size)) if references is None else references
    table = normal_scores(np.arange(1, reference_size + 2) / (reference_size + 1.0))  # by how many reach the score
    ascending = np.sort(held_out, axis=1)
    statistic, lengths = np.zeros(runs), np.full(runs, limit, np.int64)
    alive = np.arange(runs)
    for case in range(1, limit + 1):
        reached = _reached(ascending, alive, rng.standard_normal(len(alive)) + shift)
        statistic = np.maximum(statistic + table[reached] - k, 0.0)
        alarm = statistic >= h
        lengths[alive[alarm]] = case
        alive, statistic = alive[~alarm], statistic[~alarm]
        if not len(alive):
            break
    return lengths


@dataclass(frozen=True, slots=True)
class Realised:
    """False alarms that were counted.

    Attributes:
        arl0: cases to a false alarm: all cases of all references over all alarms; inf when there was none.
        alarms, cases: the counts.
        references: how many were drawn, each with a run of its own.
    """

    arl0: float
    alarms: int
    cases: int
    references: int


def realised(
    h: float, reference_size: int, *, k: float = 0.5, references: int = 2000, cases: int = 20_000, seed: int = 0
) -> Realised:
    """Count the false alarms of unchanged cases: every run has a reference of its own and starts anew after an alarm.

    That is what a rate averaged over references is, and 1 / rate is what `run_length.threshold` declares. Distances are
    uniform: a conformal p-value depends on their order alone, so any continuous distribution gives the same.

    Args:
        h: threshold.
        reference_size: held-out cases.
        k: allowance of the CUSUM.
        references: how many are drawn.
        cases: of the run of each.
        seed: equal arguments give equal counts.
    """
    rng = np.random.default_rng([seed, reference_size])
    held_out = np.sort(rng.random((references, reference_size)), axis=1)
    statistic, alarms = np.zeros(references), 0
    for start in range(0, cases, CHUNK):
        count = min(CHUNK, cases - start)
        scores = np.empty((count, references))
        for place, usual in enumerate(held_out):
            scores[:, place] = normal_scores(p_values(rng.random(count), usual))
        for score in scores:
            np.maximum(statistic + score - k, 0.0, out=statistic)
            alarm = statistic >= h
            alarms += int(alarm.sum())
            statistic[alarm] = 0.0
    total = references * cases
    return Realised(total / alarms if alarms else np.inf, alarms, total, references)


def _reached(ascending: NDArray[np.float64], rows: NDArray[np.int64], scores: NDArray[np.float64]) -> NDArray[np.int64]:
    """How many of its row's sorted values are at or above each score: a binary search in all rows at once."""
    size = ascending.shape[1]
    low, high = np.zeros(len(rows), np.int64), np.full(len(rows), size, np.int64)
    while (low < high).any():
        middle = np.minimum((low + high) // 2, size - 1)
        below = (ascending[rows, middle] < scores) & (low < high)
        low, high = np.where(below, middle + 1, low), np.where(below, high, np.minimum(high, middle))
    return np.asarray(size - low, np.int64)
