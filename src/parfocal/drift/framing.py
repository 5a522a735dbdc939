"""How the picture was framed: how large the disc and the field of view are, and where the disc lies."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from parfocal.core.types import Observation

PLACES = ("disc.x", "disc.y")
"""Fractions of the image, as they are."""
SIZES = ("disc.radius", "field.area", "field.width", "field.height")
"""As logarithms: a change of size is a ratio."""


class Framing:
    """Place and size of the disc, size of the lit field. A case without a disc has none.

    One per cent is what the field of view is measured to (on about 256 points a side): less is no change of framing.
    """

    name: ClassVar[str] = "framing"
    resolution: ClassVar[float] = 0.01
    categories: ClassVar[int] = 0

    def vectors(self, observations: Sequence[Observation], width: int = 0) -> NDArray[np.float64]:  # noqa: ARG002
        """Places, then logarithms of sizes, float64 [N, 6]; NaN where one is missing or a size is not above 0."""
        raw = [_numbers(observation) for observation in observations]
        rows = np.array(raw, np.float64).reshape(len(raw), len(PLACES) + len(SIZES))
        sizes = rows[:, len(PLACES) :]
        sizes[~(sizes > 0)] = np.nan
        np.log(sizes, out=sizes)
        rows[~np.isfinite(rows).all(axis=1)] = np.nan
        return rows


_MISSING = (float("nan"),) * (len(PLACES) + len(SIZES))


def _numbers(observation: Observation) -> Sequence[float]:
    found = {**observation.acquisition, **observation.shape}
    try:
        return [float(found[name]) for name in (*PLACES, *SIZES)]
    except (KeyError, ValueError):
        return _MISSING
