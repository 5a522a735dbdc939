"""Intervals of paired differences, and what a test of a given size can see."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable
from functools import lru_cache
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from parfocal.core.types import Interval

Method = Literal["bca", "studentised"]
_EQUAL = 1e-12
_KEPT = 400
"""Patients up to whom the draws are kept: 4000 resamples of them are 13 MB."""


def by_patient(values: Iterable[float], patients: Iterable[str]) -> NDArray[np.float64]:
    """The mean of each patient's values, float64 [patients], by the patients' names: patients are drawn, not images."""
    found: defaultdict[str, list[float]] = defaultdict(list)
    for value, patient in zip(values, patients, strict=True):
        found[patient].append(value)
    return np.array([sum(found[patient]) / len(found[patient]) for patient in sorted(found)], np.float64)


def paired_interval(
    differences: NDArray[np.floating],
    *,
    level: float = 0.90,
    seed: int = 0,
    resamples: int = 4000,
    method: Method = "bca",
) -> Interval:
    """Confidence interval of a mean difference by the bootstrap over patients.

    The low end of a 90 % interval is a one-sided 95 % lower bound. ``bca`` is Efron's (1987), equal to
    `scipy.stats.bootstrap` with the same generator; ``studentised`` is the bootstrap-t (Efron and Tibshirani 1993,
    section 12.5), which holds its level with fewer and with skewed differences, and is wider (docs/adr/0017).

    Args:
        differences: one a patient, float [P] with P >= 2; equal ones give an interval without width.
        level: two-sided, in (0, 1).
        seed: of the resampling; equal arguments give an equal interval.
        resamples: bootstrap samples.
        method: how the ends are found.

    Raises:
        ValueError: fewer than two patients, or a difference that is not finite.
    """
    sample = np.asarray(differences, np.float64)
    if len(sample) < 2 or not np.isfinite(sample).all():
        raise ValueError(f"no interval from {len(sample)} patients, or from differences that are not finite")
    estimate = float(sample.mean())
    if np.ptp(sample) < _EQUAL:
        return Interval(estimate, estimate, estimate, level)
    weights = _drawn(len(sample), seed, resamples) if len(sample) <= _KEPT else _draw(len(sample), seed, resamples)
    ends = _bca if method == "bca" else _studentised
    low, high = ends(sample - estimate, weights, level)
    return Interval(estimate, estimate + low, estimate + high, level)


def _draw(patients: int, seed: int, resamples: int) -> NDArray[np.float64]:
    """The share of each patient in each bootstrap sample, [resamples, patients]; a row sums to 1."""
    chosen = np.random.default_rng(seed).integers(0, patients, (resamples, patients))
    chosen += patients * np.arange(resamples)[:, None]
    counts = np.bincount(chosen.ravel(), minlength=resamples * patients)
    return counts.reshape(resamples, patients) / patients


_drawn = lru_cache(maxsize=8)(_draw)
"""A gate asks for the same draws cell by cell, and a simulation of gates thousands of times."""


def _bca(centred: NDArray[np.float64], weights: NDArray[np.float64], level: float) -> tuple[float, float]:
    """Ends relative to the mean: percentiles, moved by the bias and by the skewness (the jackknife's acceleration)."""
    from scipy.special import ndtr, ndtri

    means = weights @ centred
    below = float(np.mean(means < -_EQUAL) + np.mean(np.abs(means) <= _EQUAL) / 2)
    tails = np.array([(1 - level) / 2, (1 + level) / 2])
    if 0 < below < 1:  # else no resample lies on one side of the mean: nothing to correct by
        bias = ndtri(below)
        acceleration = float(np.sum(centred**3) / (6 * np.sum(centred**2) ** 1.5))
        moved = bias + ndtri(tails)
        tails = ndtr(bias + moved / (1 - acceleration * moved))
    low, high = np.quantile(means, tails)
    return float(low), float(high)


def _studentised(centred: NDArray[np.float64], weights: NDArray[np.float64], level: float) -> tuple[float, float]:
    """Ends relative to the mean: the standard error times the tails of each resample's own t."""
    patients = len(centred)
    means = weights @ centred
    errors = np.sqrt(np.maximum(weights @ centred**2 - means**2, 0) / (patients - 1))
    error = float(np.std(centred, ddof=1)) / math.sqrt(patients)
    # A resample of equal values has no spread of its own; a tiny one keeps its t finite, and far out, where it belongs.
    t = means / np.maximum(errors, 1e-6 * error)
    high, low = np.quantile(t, [(1 - level) / 2, (1 + level) / 2])
    return float(-low * error), float(-high * error)


def sign_test(lost: int, won: int) -> float:
    """Probability of at least `lost` losses among the pairs that changed, if losing and winning were equally likely.

    McNemar's exact test, one-sided; 1 where nothing changed.
    """
    from scipy.stats import binom

    return float(binom.sf(lost - 1, lost + won, 0.5)) if lost + won else 1.0


def power(patients: int, sd: float, margin: float, level: float = 0.90) -> float:
    """Probability that the lower bound clears `-margin` when the true difference is 0 (normal approximation).

    Args:
        patients: number of paired differences.
        sd: their standard deviation.
        margin: above 0, in their unit.
        level: of the two-sided interval whose low end is the bound.
    """
    from scipy.special import ndtr, ndtri

    if sd == 0:
        return 1.0
    return float(ndtr(margin * math.sqrt(patients) / sd - ndtri((1 + level) / 2)))


def patients_needed(sd: float, margin: float, level: float = 0.90, chance: float = 0.8) -> int:
    """Fewest patients with which `power` is at least `chance`."""
    from scipy.special import ndtri

    return max(2, math.ceil(((ndtri((1 + level) / 2) + ndtri(chance)) * sd / margin) ** 2))
