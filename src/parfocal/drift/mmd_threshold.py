"""When a window's discrepancy is an alarm: a threshold for a declared run length, from the reference itself.

An instrument's cases are dealt in two. One half makes the model and is what windows are held against; the other half,
which the model has never seen, plays the traffic. Many seeded runs draw cases from it and keep the largest discrepancy
of a block of T cases; the threshold is the one that a block exceeds with probability 1 - exp(-T / ARL0). Every run
first draws weights of the held-out cases (Rubin, The Bayesian bootstrap, Annals of Statistics 1981), so that what is
averaged over are references as well as runs: few cases, wide threshold.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from parfocal.drift import mahalanobis, mmd
from parfocal.drift.mahalanobis import Model
from parfocal.drift.mmd import Sample

RUNS = 500
BLOCK = 1000
"""Cases of a run, at most."""
EXCEEDED = 10
"""Runs that have to exceed the threshold, at least: with fewer, the threshold is a guess."""
SHORTER = (10, 100)
"""Cases of the shorter blocks whose largest discrepancies are kept too, for an installation that declares fewer."""
SMALLEST = 100
"""Usable cases of an instrument, at least: half of them make the model."""
LARGEST = 500
"""Cases that windows are held against, at most: more cost time with every case and add little."""

Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Detector:
    """The second look at appearance: at a window instead of a case.

    Attributes:
        model: turns vectors into the rows of `reference` by `Model.coordinates`; fitted to those cases alone.
        reference: what windows are held against.
        window: cases in one.
        threshold: of the squared discrepancy; inf when nothing can be promised, and `reason` says why.
        arl0: declared number of cases to a false alarm.
        held_out: cases that the threshold comes from.
        blocks: cases of each kind of block, ascending, [B]; none in references from before these were kept.
        highest: largest squared discrepancy in a block of each kind, of each run, [B, runs].
    """

    model: Model
    reference: Sample
    window: int
    threshold: float
    arl0: float
    held_out: int
    reason: str = ""
    blocks: Floats = field(default_factory=lambda: np.zeros(0))
    highest: Floats = field(default_factory=lambda: np.zeros((0, 0)))

    def declaring(self, arl0: float) -> Detector:
        """The same with the threshold for another number of cases to a false alarm.

        The rate is that of the longest simulated block that is no longer than `arl0`. A reference that kept no blocks
        keeps its threshold and its own `arl0`.
        """
        if not len(self.blocks):
            return self
        place = max(int(np.searchsorted(self.blocks, arl0, side="right")) - 1, 0)
        block, highest = float(self.blocks[place]), self.highest[place]
        share = -math.expm1(-block / arl0)
        if share * len(highest) < EXCEEDED:
            reason = f"{len(highest)} runs of {block:g} cases cannot tell one false alarm in {arl0:g} cases"
            return replace(self, threshold=math.inf, arl0=arl0, reason=reason)
        return replace(self, threshold=float(np.quantile(highest, 1.0 - share)), arl0=arl0, reason="")

    def coordinates(self, vectors: Floats) -> Floats:
        """Rows for `Window.push`, [M, C], of vectors [N, D]; those that cannot be measured are left out."""
        return self.model.coordinates(vectors[np.isfinite(vectors).all(axis=1)])

    def start(self, rows: Floats | None = None) -> mmd.Window:
        """An empty window, or one with the cases that `Window.rows` gave."""
        window = mmd.Window(self.reference, self.window)
        for row in rows if rows is not None else ():
            window.push(row)
        return window


def detector(
    vectors: Floats, *, window: int, arl0: float, components: int, shrinkage: float, seed: int
) -> Detector | None:
    """Fit to the vectors [N, D] of one instrument's cases; None below `SMALLEST` that can be measured."""
    usable = vectors[np.isfinite(vectors).all(axis=1)]
    if len(usable) < SMALLEST:
        return None
    rng = np.random.default_rng([seed, len(usable)])
    dealt = rng.permutation(len(usable))
    half = min(len(usable) // 2, LARGEST)
    model = mahalanobis.fit(usable[dealt[:half]], components=components, shrinkage=shrinkage)
    reference = mmd.sample(model.coordinates(usable[dealt[:half]]))
    held_out = model.coordinates(usable[dealt[half:]])
    longest = int(min(BLOCK, max(arl0, 1)))
    blocks = sorted({*(block for block in SHORTER if block < longest), longest})
    highest = block_maxima(reference, held_out, window, blocks, RUNS, rng)
    found = Detector(model, reference, window, math.inf, arl0, len(held_out), "", np.array(blocks, np.float64), highest)
    return found.declaring(arl0)


def block_maxima(
    reference: Sample, held_out: Floats, window: int, blocks: Sequence[int], runs: int, rng: np.random.Generator
) -> Floats:
    """The largest squared discrepancy in so many cases after a full window, of each run, float64 [len(blocks), runs].

    The same case twice in a window would be a pair of kernel 1 that fresh cases do not have: such a pair counts as that
    case's mean with the others.
    """
    own = reference.kernel(held_out, held_out)
    np.fill_diagonal(own, (own.sum(axis=1) - 1.0) / (len(own) - 1))
    across = reference.kernel(held_out, reference.rows).sum(axis=1)
    weights = np.cumsum(rng.dirichlet(np.ones(len(held_out)), runs), axis=1)
    weights[:, -1] = 1.0
    run = np.arange(runs)
    inside = _drawn(weights, window, rng)
    gram = own[inside[:, :, None], inside[:, None, :]]
    pairs = gram.sum(axis=(1, 2)) - np.trace(gram, axis1=1, axis2=2)
    total = across[inside].sum(axis=1)
    highest, kept = np.full(runs, -np.inf), []
    m, n = window, len(reference.rows)
    for case, new in enumerate(_drawn(weights, max(blocks), rng).T):
        place = case % window
        old = inside[:, place].copy()
        pairs -= 2.0 * (own[old[:, None], inside].sum(axis=1) - own[old, old])
        total += across[new] - across[old]
        inside[:, place] = new
        pairs += 2.0 * (own[new[:, None], inside].sum(axis=1) - own[new, inside[run, place]])
        np.maximum(highest, reference.within + pairs / (m * (m - 1)) - 2.0 * total / (m * n), out=highest)
        if case + 1 in blocks:
            kept.append(highest.copy())
    return np.array(kept)


def _drawn(weights: Floats, count: int, rng: np.random.Generator) -> NDArray[np.intp]:
    """`count` cases of each run, [runs, count], by its cumulated weights [runs, cases]."""
    uniform = rng.random((len(weights), count))
    return np.array([np.searchsorted(one, u, side="right") for one, u in zip(weights, uniform, strict=True)], np.intp)
