"""Intervals of paired differences, and what a test of a given size can see."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from parfocal.core.types import Interval

_EQUAL = 1e-12


def by_patient(values: Iterable[float], patients: Iterable[str]) -> NDArray[np.float64]:
    """The mean of each patient's values, float64 [patients], by the patients' names: patients are drawn, not images."""
    found: defaultdict[str, list[float]] = defaultdict(list)
    for value, patient in zip(values, patients, strict=True):
        found[patient].append(value)
    return np.array([np.mean(found[patient]) for patient in sorted(found)], np.float64)


def paired_interval(
    differences: NDArray[np.floating], *, level: float = 0.90, seed: int = 0, resamples: int = 4000
) -> Interval:
    """Confidence interval of a mean difference by the BCa bootstrap (Efron 1987; `scipy.stats.bootstrap`).

    The low end of a 90 % interval is a one-sided 95 % lower bound.

    Args:
        differences: one a patient, float [P] with P >= 2; equal ones give an interval without width.
        level: two-sided, in (0, 1).
        seed: of the resampling; equal arguments give an equal interval.
        resamples: bootstrap samples.

    Raises:
        ValueError: fewer than two patients, or a difference that is not finite.
    """
    from scipy.stats import bootstrap

    sample = np.asarray(differences, np.float64)
    if len(sample) < 2 or not np.isfinite(sample).all():
        raise ValueError(f"no interval from {len(sample)} patients, or from differences that are not finite")
    estimate = float(sample.mean())
    if np.ptp(sample) < _EQUAL:
        return Interval(estimate, estimate, estimate, level)
    found = bootstrap(
        (sample,),
        np.mean,
        confidence_level=level,
        n_resamples=resamples,
        method="BCa",
        vectorized=True,
        rng=np.random.default_rng(seed),
    )
    low, high = map(float, found.confidence_interval)
    if not (math.isfinite(low) and math.isfinite(high)):  # no resample on one side of the mean: nothing to correct by
        low, high = map(float, np.quantile(found.bootstrap_distribution, [(1 - level) / 2, (1 + level) / 2]))
    return Interval(estimate, low, high, level)


def power(patients: int, sd: float, margin: float, level: float = 0.90) -> float:
    """Probability that the lower bound clears `-margin` when the true difference is 0 (normal approximation).

    Args:
        patients: number of paired differences.
        sd: their standard deviation.
        margin: above 0, in their unit.
        level: of the two-sided interval whose low end is the bound.
    """
    from scipy.stats import norm

    if sd == 0:
        return 1.0
    return float(norm.cdf(margin * math.sqrt(patients) / sd - norm.ppf((1 + level) / 2)))


def patients_needed(sd: float, margin: float, level: float = 0.90, chance: float = 0.8) -> int:
    """Fewest patients with which `power` is at least `chance`."""
    from scipy.stats import norm

    return max(2, math.ceil(((norm.ppf((1 + level) / 2) + norm.ppf(chance)) * sd / margin) ** 2))
