"""Categories have no distance, but some are rare: minus the logarithm of how often one was seen in the reference."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

ANYTHING = 0.002
"""Chance of a value that nobody has seen: frequencies are mixed with it (Jelinek and Mercer, Interpolated estimation of
Markov source parameters, 1980). A constant, so that a reference's folds and the whole of it are surprised alike."""

NOTHING = 0.0
"""The value of a case that names nothing: `zlib.crc32(b"")`."""

Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Frequency:
    """How often each value of one category was seen.

    Attributes:
        values: that were seen, ascending, [V].
        counts: of each, [V].
    """

    values: Floats
    counts: Floats

    def surprise(self, column: Floats) -> Floats:
        """-log of the smoothed frequency in nats, float64 [N]: 0 for what always is so, 6.2 for what was never seen.

        Where no case of the reference named anything, a name says nothing: 0 for all.
        """
        if not (self.values != NOTHING).any():
            return np.zeros(len(column))
        place = np.minimum(np.searchsorted(self.values, column), len(self.values) - 1)
        seen = np.where(self.values[place] == column, self.counts[place], 0.0) / self.counts.sum()
        return np.asarray(-np.log((1.0 - ANYTHING) * seen + ANYTHING), np.float64)


def count(column: Floats) -> Frequency:
    """Count the values of a column [N], N >= 1."""
    values, counts = np.unique(column, return_counts=True)
    return Frequency(values, counts.astype(np.float64))
