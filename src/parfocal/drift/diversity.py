"""A few of many that are worth a person's time and unlike one another."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from parfocal.memory.selection import important_and_diverse

Floats = NDArray[np.float64]


def worthwhile(worth: Floats, places: Floats, count: int) -> list[int]:
    """Rows of `count` cases that are worth much and lie far from one another (see `important_and_diverse`).

    Args:
        worth: [N], larger is better; +inf counts as the largest finite one.
        places: [N, D]; a row that is not finite lies in the middle of the others, so it is taken for its worth alone.
        count: how many.
    """
    finite = np.isfinite(worth)
    capped = np.where(finite, worth, worth[finite].max() if finite.any() else 0.0)
    measured = np.asarray(np.isfinite(places).all(axis=1))
    middle = places[measured].mean(axis=0) if measured.any() else np.zeros(places.shape[1])
    return important_and_diverse(capped, np.where(measured[:, None], places, middle), count)
