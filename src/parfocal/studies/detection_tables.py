"""The tables of the study of detection: harm, how well one case tells, how soon a detector does."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from parfocal.drift import run_length
from parfocal.drift.config import DriftConfig
from parfocal.studies.intervals import chosen, difference, mean, metric
from parfocal.studies.study import CONSTANT, Row
from parfocal.studies.tables import Entry, Line, Table

AS_IS, SWAP = "unchanged", "another camera"
STREAMS = tuple(DriftConfig().streams)
STRUCTURES = ("disc", "cup")
CASES_A_DAY, BUDGET = 100.0, 1.0
"""Traffic and false alarms a month that delays are given for."""
RUNS, LONGEST = 1000, 500


def harm(rows: Sequence[Row], arms: Sequence[str]) -> Table:
    """Dice of every arm, its change, and what is predicted; the constant mask last."""
    before = {name: chosen(rows, arm=AS_IS, structure=name) for name in STRUCTURES}
    lines = []
    for arm in (*arms, CONSTANT):
        own = {name: chosen(rows, arm=arm, structure=name) for name in STRUCTURES}
        entries = [Entry.of(mean(own[name], metric("dice"))) for name in STRUCTURES]
        # Another camera has other patients: a difference of means, without an interval.
        paired = [Entry.of(difference(own[name], before[name], metric("dice"))) for name in STRUCTURES]
        if arm == SWAP:
            paired = [_less(own[name], before[name]) for name in STRUCTURES]
        guess = [Entry.of(mean(own["disc"], metric(name))) for name in ("predicted", "inside")]
        lines.append(Line(arm, (*entries, *(paired if arm not in (AS_IS, CONSTANT) else (Entry(), Entry())), *guess)))
    columns = ("disc", "cup", "change, disc", "change, cup", "disc, predicted", "inside its 90 % interval")
    return Table(
        "harm", "What a change does to the Dice, and what is predicted without the truth",
        "Mean Dice of the arriving cases, the change against the same cases unchanged, and the Dice that is predicted.",
        "what arrives", columns, tuple(lines), (0, 4), "Dice",
    )  # fmt: skip


def telling(rows: Sequence[Row], arms: Sequence[str]) -> Table:
    """AUROC of every stream and of the largest of them, for every arm but the unchanged one."""
    streams = [name for name in STREAMS if any(name in row.metrics for row in rows)]
    usual = _scores(rows, AS_IS, streams)
    lines = []
    for arm in arms:
        own = _scores(rows, arm, streams)
        values = [*(auroc(usual[:, i], own[:, i]) for i in range(len(streams))), auroc(usual.max(1), own.max(1))]
        lines.append(Line(arm, tuple(Entry(value) for value in values)))
    caption = "Area under the ROC curve of one case's normal score: 1 tells every changed case, 0.5 none."
    columns = (*streams, "max")
    return Table("auroc", "How well one case tells", caption, "what arrives", columns, tuple(lines), (len(streams),))


def delays(rows: Sequence[Row], arms: Sequence[str]) -> Table:
    """Median delays at the monthly budget, of every stream and of the first of them."""
    streams = [name for name in STREAMS if any(name in row.metrics for row in rows)]
    sizes = {int(row.metrics["held out"]) for row in rows if "held out" in row.metrics}
    arl0 = run_length.arl0_for(BUDGET, CASES_A_DAY, len(streams))
    found = run_length.threshold(arl0, min(sizes))
    lines = []
    for arm in arms:
        z = _scores(rows, arm, streams)
        each = [delay(z[:, [i]], found.h, found.k) for i in range(len(streams))]
        entries = [Entry(value, digits=0) for value in (*each, delay(z, found.h, found.k))]
        lines.append(Line(arm, tuple(entries)))
    caption = (
        f"Cases to the alarm, median; threshold {found.h:.2f} with {min(sizes)} held-out cases, one false alarm in "
        f"{arl0:,.0f} cases of a stream. A dash: not within {LONGEST} cases."
    )
    return Table("delays", "How soon", caption, "what arrives", (*streams, "any"), tuple(lines))


def auroc(usual: NDArray[np.float64], changed: NDArray[np.float64]) -> float:
    """Chance that a changed case scores higher than a usual one, ties half (Mann and Whitney 1947)."""
    from scipy.stats import rankdata

    ranks = rankdata(np.concatenate([usual, changed]))
    n, m = len(usual), len(changed)
    return float((ranks[n:].sum() - m * (m + 1) / 2) / (n * m))


def delay(z: NDArray[np.float64], h: float, k: float) -> float | None:
    """Median number of cases, drawn from [cases, streams], to the first alarm of any stream; None over LONGEST."""
    rng = np.random.default_rng(0)
    statistic = np.zeros((RUNS, z.shape[1]))
    first = np.full(RUNS, np.inf)
    for case in range(1, LONGEST + 1):
        statistic = np.maximum(statistic + z[rng.integers(0, len(z), RUNS)] - k, 0.0)
        first[np.isinf(first) & (statistic >= h).any(axis=1)] = case
        if np.isfinite(first).mean() > 0.5:
            break
    median = float(np.median(first))
    return median if np.isfinite(median) else None


def _scores(rows: Sequence[Row], arm: str, streams: Sequence[str]) -> NDArray[np.float64]:
    """Normal scores of an arm's cases, [cases, streams], each case once."""
    own = {(row.seed, row.case): [row.metrics[name] for name in streams] for row in chosen(rows, arm=arm)}
    return np.array(list(own.values()), np.float64).reshape(-1, len(streams))


def _less(own: Sequence[Row], before: Sequence[Row]) -> Entry:
    one, other = mean(own, metric("dice")), mean(before, metric("dice"))
    return Entry(one.estimate - other.estimate) if one and other else Entry()
