"""Disagreement under a flip, where a case has been asked: a second p-value beside plausibility's own.

Only some cases are asked, as it costs a second answer. So it is no column of the stream: a case without it has exactly
the p-value that it would have in a world without flips. For a case with it both p-values count, the smaller one doubled
(Bonferroni), which is a p-value again whatever the two have to do with one another.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from parfocal.core.types import Observation
from parfocal.drift import conformal

STREAM = "plausibility"
"""The stream that it stands beside."""
MEASURE = ".flips"
"""End of its names in `Observation.shape`, after the structure's."""
FEWEST = 20
"""Reference cases with it, at least: with fewer the doubled p-value says nothing."""
Floats = NDArray[np.float64]


def measured(observations: Sequence[Observation]) -> Floats:
    """The largest disagreement over the structures, float64 [N] in [0, 1]; NaN where the case was not asked."""
    nothing = float("nan")
    return np.array(
        [max((v for k, v in one.shape.items() if k.endswith(MEASURE)), default=nothing) for one in observations],
        np.float64,
    )


def calibration(observations: Sequence[Observation]) -> Floats:
    """Disagreements of reference cases, ascending; none where fewer than `FEWEST` have one."""
    found = measured(observations)
    known = np.sort(found[np.isfinite(found)])
    return known if len(known) >= FEWEST else np.zeros(0)


def beside(p: Floats, observations: Sequence[Observation], known: Floats) -> Floats:
    """p-values [N] of the stream, with the disagreement of those cases that have one.

    Args:
        known: `calibration` of the reference; an empty one changes nothing.
    """
    found = measured(observations)
    asked = np.isfinite(found)
    if not len(known) or not asked.any():
        return p
    together = p.copy()
    second = conformal.p_values(found[asked], known)
    together[asked] = np.minimum(1.0, 2.0 * np.minimum(p[asked], second))
    return together
