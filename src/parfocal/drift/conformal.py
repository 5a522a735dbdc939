"""Conformal p-values (Vovk, Gammerman and Shafer, Algorithmic Learning in a Random World, 2005)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def p_values(scores: NDArray[np.float64], calibration: NDArray[np.float64]) -> NDArray[np.float64]:
    """(1 + number of calibration scores at or above the score) / (n + 1), float64 [N] in [1 / (n + 1), 1].

    Whatever the distribution: when a case is exchangeable with the calibration cases, P(p <= a) is at most a, over new
    cases and calibration sets both.

    Args:
        scores: [N], larger is stranger; +inf for a case that could not be measured.
        calibration: [n], n >= 1, ascending; may end in +inf.
    """
    reached = len(calibration) - np.searchsorted(calibration, scores, side="left")
    return np.asarray((1.0 + reached) / (len(calibration) + 1.0), np.float64)
