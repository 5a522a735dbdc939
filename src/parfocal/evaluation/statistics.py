"""Intervals of paired differences, and what a test of a given size can see."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Sequence
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from parfocal.core.types import Interval


def by_patient(values: Sequence[float], patients: Sequence[str]) -> NDArray[np.float64]:
    """The mean value of each patient, float64 [P], in order of first appearance: patients are drawn, not images."""
    found: dict[str, list[float]] = defaultdict(list)
    for value, patient in zip(values, patients, strict=True):
        found[patient].append(value)
    return np.array([np.mean(each) for each in found.values()], np.float64)


def paired_interval(
    differences: NDArray[np.floating], *, level: float = 0.90, seed: int = 0, resamples: int = 4000
) -> Interval:
    """Confidence interval of a mean difference by the BCa bootstrap (Efron 1987; `scipy.stats.bootstrap`).

    The low end of a 90 % interval is a one-sided 95 % lower bound.

    Args:
        differences: one a patient, float [P] with P >= 1; equal differences give an interval of no width.
        level: two-sided, in (0, 1).
        seed: of the resampling.
    """
    sample = np.asarray(differences, np.float64)
    estimate = float(sample.mean())
    if len(sample) < 2 or np.ptp(sample) == 0:
        return Interval(estimate, estimate, estimate, level)
    with np.errstate(all="ignore"):
        low, high = _bootstrap(sample, "BCa", level, seed, resamples)
    if not (math.isfinite(low) and math.isfinite(high)):  # so few values that the jackknife degenerates
        low, high = _bootstrap(sample, "percentile", level, seed, resamples)
    return Interval(estimate, low, high, level)


def power(patients: int, sd: float, margin: float, level: float = 0.90) -> float:
    """Probability that the lower bound clears `-margin` when the true difference is 0 (normal approximation).

    With a margin of 0.02 and a standard deviation of 0.06 of paired differences, 26 patients give one half.
    """
    from scipy.stats import norm

    if sd == 0:
        return 1.0
    return float(norm.cdf(margin * math.sqrt(patients) / sd - norm.ppf((1 + level) / 2)))


def _bootstrap(
    sample: NDArray[np.float64], method: Literal["BCa", "percentile"], level: float, seed: int, resamples: int
) -> tuple[float, float]:
    from scipy.stats import bootstrap

    found = bootstrap(
        (sample,),
        np.mean,
        method=method,
        vectorized=True,
        axis=0,
        confidence_level=level,
        n_resamples=resamples,
        rng=np.random.default_rng(seed),
    ).confidence_interval
    return float(found.low), float(found.high)
