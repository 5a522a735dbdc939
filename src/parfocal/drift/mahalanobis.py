"""Distance of a case from an instrument's cases: in the plane in which those vary most, and off that plane.

Hotelling's T2 of the principal components and the squared prediction error beside them (Jackson and Mudholkar, Control
procedures for residuals associated with principal component analysis, Technometrics 1979), added as in Yue and Qin
(2001). The error is part of it because a camera may differ only in what the components leave out.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

NEGLIGIBLE = 0.05
"""A column that varies less than this part of the middle column is taken to vary that much: a feature that is silent on
one camera and whispers on the next patient is not an alarm by itself."""
ROUNDING = 1e-6
"""Part of a column's mean that float32 cannot tell."""
PER_COMPONENT = 4
"""Cases for each component, at least: more components than that fit the cases they were found in."""

Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Model:
    """What an instrument's cases look like in one stream.

    Attributes:
        mean, scale: of every column, [D]; scale is a standard deviation with a floor.
        axes: orthonormal rows [C, D], the principal components of the standardised columns.
        variances: along the axes, shrunk, [C].
        residual: mean squared length of what the axes leave out, shrunk; 0 when they leave nothing out.
    """

    mean: Floats
    scale: Floats
    axes: Floats
    variances: Floats
    residual: float

    @property
    def width(self) -> int:
        """D, the number of columns."""
        return len(self.mean)

    def coordinates(self, vectors: Floats) -> Floats:
        """Places along the axes in standard deviations, float64 [N, C], of finite vectors [N, D]."""
        return np.asarray((vectors - self.mean) / self.scale @ self.axes.T / np.sqrt(self.variances), np.float64)

    def distances(self, vectors: Floats) -> Floats:
        """Squared distance, float64 [N], larger is stranger; each of its two terms is about 1 for a typical case.

        Args:
            vectors: [N, D]; a row that is not finite is infinitely far.
        """
        usable = np.isfinite(vectors).all(axis=1)
        rows = (vectors[usable] - self.mean) / self.scale
        scores = rows @ self.axes.T
        inside = scores**2
        distance = (inside / self.variances).mean(axis=1)
        if self.residual > 0:
            left_out = rows - scores @ self.axes
            distance += (left_out**2).sum(axis=1) / self.residual
        found = np.full(len(vectors), np.inf)
        found[usable] = distance
        return found


def fit(vectors: Floats, *, components: int, shrinkage: float, resolution: float = 0.0) -> Model:
    """Fit to one instrument's cases.

    The columns are standardised, so the mean variance along any set of axes is 1 unless columns are all but constant.
    Variances are shrunk towards that 1: (1 - shrinkage) variance + shrinkage, as Ledoit and Wolf (2004) shrink a
    covariance towards the identity, but by a fixed amount.

    Args:
        vectors: finite, [N, D] with N >= 2.
        components: principal components to keep at most; also at most N / 4 and D.
        shrinkage: in (0, 1].
        resolution: least standard deviation of a column, in its unit.
    """
    mean, spread = vectors.mean(axis=0), vectors.std(axis=0, ddof=1)
    floor = np.maximum(max(resolution, NEGLIGIBLE * float(np.median(spread)), 1e-12), ROUNDING * np.abs(mean))
    scale = np.maximum(spread, floor)
    cases, width = vectors.shape
    kept = max(1, min(components, cases // PER_COMPONENT, width))
    _, singular, axes = np.linalg.svd((vectors - mean) / scale, full_matrices=False)
    variances = singular**2 / (cases - 1)
    left_out = width - kept
    residual = (1 - shrinkage) * float(variances[kept:].sum()) + shrinkage * left_out
    return Model(mean, scale, axes[:kept].copy(), (1 - shrinkage) * variances[:kept] + shrinkage, residual)
