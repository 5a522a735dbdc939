"""The newest cases together against the reference: a window's maximum mean discrepancy, kept up to date case by case.

Gretton, Borgwardt, Rasch, Schoelkopf and Smola, A kernel two-sample test, JMLR 2012: the unbiased estimate of their
lemma 6, with the Gaussian kernel exp(-|x - y|^2 / (2 s^2)) and s the median distance of two reference cases. A case
that comes and the one that leaves change it in O(n + m), for n reference cases and a window of m, instead of
O((n + m)^2). It sees what case-by-case distances do not: cases that are each usual and together are not (one patient
again and again, half of the variety gone).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.distance import cdist, pdist

Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Sample:
    """What a window is held against.

    Attributes:
        rows: reference cases, float64 [n, C], n >= 2.
        bandwidth: s of the kernel, in the unit of the rows.
        within: mean of the kernel over the pairs of reference cases.
    """

    rows: Floats
    bandwidth: float
    within: float

    def kernel(self, one: Floats, other: Floats) -> Floats:
        """Of every row of [N, C] with every row of [M, C], float64 [N, M], in (0, 1]."""
        return np.asarray(np.exp(cdist(one, other, "sqeuclidean") * (-0.5 / self.bandwidth**2)), np.float64)


def sample(rows: Floats) -> Sample:
    """Reference cases [n, C], n >= 2, with the median heuristic."""
    apart = pdist(rows)
    bandwidth = max(float(np.median(apart)), 1e-12)
    return Sample(rows, bandwidth, float(np.exp(-0.5 * (apart / bandwidth) ** 2).mean()))


def statistic(reference: Sample, window: Floats) -> float:
    """The squared discrepancy of a window [m, C], m >= 2, computed anew; about 0 when nothing has changed."""
    count = len(window)
    own = reference.kernel(window, window)
    pairs = (own.sum() - np.trace(own)) / (count * (count - 1))
    return float(reference.within + pairs - 2.0 * reference.kernel(window, reference.rows).mean())


class Window:
    """The newest `size` cases and their discrepancy from the reference.

    Sums are kept, not means, so that a case costs one row of each kernel matrix. Every `size` cases they are added up
    anew from the matrix entries, in float64, so rounding does not gather.
    """

    def __init__(self, reference: Sample, size: int) -> None:
        """An empty window of at least two cases."""
        self._reference, self._size = reference, size
        self._rows = np.zeros((size, reference.rows.shape[1]))
        self._own = np.zeros((size, size))
        """Kernel of the window's cases with one another, 0 on the diagonal."""
        self._cross = np.zeros(size)
        """Sum of the kernel of each with all reference cases."""
        self._pairs = self._across = 0.0
        self._seen = 0

    @property
    def rows(self) -> Floats:
        """The cases in the window, oldest first, [up to size, C]: pushed into a new window they restore this one."""
        if self._seen <= self._size:
            return self._rows[: self._seen].copy()
        return np.roll(self._rows, -(self._seen % self._size), axis=0)

    def push(self, row: Floats) -> float:
        """Take a case [C] in, the oldest out. The squared discrepancy; NaN until the window is full."""
        place, filled = self._seen % self._size, min(self._seen, self._size)
        to_window = self._reference.kernel(row[None], self._rows)[0]
        to_window[filled:] = 0.0
        to_window[place] = 0.0
        across = float(self._reference.kernel(row[None], self._reference.rows).sum())
        self._pairs += 2.0 * float(to_window.sum() - self._own[place].sum())
        self._across += across - float(self._cross[place])
        self._rows[place], self._own[place], self._own[:, place] = row, to_window, to_window
        self._cross[place] = across
        self._seen += 1
        if self._seen % self._size == 0:
            self._pairs, self._across = float(self._own.sum()), float(self._cross.sum())
        if self._seen < self._size:
            return float("nan")
        m, n = self._size, len(self._reference.rows)
        return self._reference.within + self._pairs / (m * (m - 1)) - 2.0 * self._across / (m * n)
