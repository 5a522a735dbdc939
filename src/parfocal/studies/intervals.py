"""Means over cases with intervals that know of patients and of seeds, and paired differences of two arms."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from parfocal.core.types import Interval
from parfocal.evaluation.statistics import paired_interval
from parfocal.studies.study import Row

LEVEL = 0.95
"""Of every interval of a study, two-sided."""
_RESAMPLES = 2000

Measure = Callable[[Row], float | None]
"""A number of one case; None where it has none."""


def metric(name: str) -> Measure:
    """The metric of that name."""
    return lambda row: row.metrics.get(name)


def close_radius(row: Row) -> float:
    """100 when the radius is within 10 % of the true one, else 0: its mean is `rrp10` (paper 001's RRP)."""
    ratio = row.metrics.get("radii_ratio")
    return 100.0 if ratio is not None and abs(ratio - 1) < 0.10 else 0.0


def chosen(rows: Iterable[Row], **wanted: object) -> list[Row]:
    """Rows whose fields have these values: ``chosen(rows, arm="mixed", role="first")``."""
    return [row for row in rows if all(getattr(row, name) == value for name, value in wanted.items())]


def mean(rows: Sequence[Row], measure: Measure) -> Interval | None:
    """Mean over cases; patients and seeds are resampled, each as a whole, independently of one another.

    With one seed the interval is of patients alone. (Owen, The pigeonhole bootstrap, 2007: percentile intervals from
    resampling both factors of a crossed table; on the cautious side.)

    Returns:
        None without cases; an interval without width where there is one patient.
    """
    values = [(row.seed, row.patient, value) for row in rows if (value := measure(row)) is not None]
    if not values:
        return None
    sums, counts = _crossed(values)
    estimate = float(sums.sum() / counts.sum())
    if sums.shape[1] < 2 or np.ptp([value for *_, value in values]) == 0:
        return Interval(estimate, estimate, estimate, LEVEL)
    rng = np.random.default_rng(0)
    seeds, patients = (_draws(rng, size) for size in sums.shape)
    above = np.einsum("rs,sp,rp->r", seeds, sums, patients)
    below = np.einsum("rs,sp,rp->r", seeds, counts, patients)
    low, high = np.quantile(above[below > 0] / below[below > 0], [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return Interval(estimate, float(low), float(high), LEVEL)


def difference(ours: Sequence[Row], theirs: Sequence[Row], measure: Measure) -> Interval | None:
    """Mean of `ours` less `theirs`, paired by patient after the mean over cases and seeds; None below two patients."""
    changes = differences(ours, theirs, measure)
    return paired_interval(changes, level=LEVEL, resamples=_RESAMPLES) if len(changes) > 1 else None


def differences(ours: Sequence[Row], theirs: Sequence[Row], measure: Measure) -> NDArray[np.float64]:
    """`ours` less `theirs` of every patient that both have, float64 [patients], by the patients' names."""
    one, other = _by_patient(ours, measure), _by_patient(theirs, measure)
    return np.array([one[name] - other[name] for name in sorted(one.keys() & other.keys())], np.float64)


def spread(rows: Sequence[Row], name: str = "dice") -> tuple[float, float, float]:
    """Best, worst and standard deviation over the images of a seed, each averaged over seeds."""
    by_seed: defaultdict[int, list[float]] = defaultdict(list)
    for row in rows:
        by_seed[row.seed].append(row.metrics[name])
    found = [(max(v), min(v), float(np.std(v, ddof=1)) if len(v) > 1 else 0.0) for v in by_seed.values()]
    best, worst, sd = np.mean(found, axis=0)
    return float(best), float(worst), float(sd)


def _crossed(values: Sequence[tuple[int, str, float]]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Sums and counts, each [seeds, patients]: cases of a patient belong together."""
    seeds, patients = (sorted({value[axis] for value in values}) for axis in (0, 1))
    sums = np.zeros((len(seeds), len(patients)))
    counts = np.zeros_like(sums)
    places = {name: i for i, name in enumerate(seeds)}, {name: i for i, name in enumerate(patients)}
    for seed, patient, value in values:
        at = places[0][seed], places[1][patient]
        sums[at] += value
        counts[at] += 1
    return sums, counts


def _draws(rng: np.random.Generator, size: int) -> NDArray[np.float64]:
    """How often each of `size` things is drawn, a line a resample; one thing is always drawn once."""
    return rng.multinomial(size, np.full(size, 1 / size), _RESAMPLES).astype(np.float64)


def _by_patient(rows: Sequence[Row], measure: Measure) -> dict[str, float]:
    found: defaultdict[str, list[float]] = defaultdict(list)
    for row in rows:
        value = measure(row)
        if value is not None:
            found[row.patient].append(value)
    return {name: float(np.mean(values)) for name, values in found.items()}
