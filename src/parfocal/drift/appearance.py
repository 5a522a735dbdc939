"""How the structure looks, wherever it lies: what the network that draws the innermost mask saw in its crop."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from itertools import chain
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from parfocal.core.types import Observation


class Appearance:
    """The embedding as it is. A case has none when no crop was found, and another length under another network."""

    name: ClassVar[str] = "appearance"
    resolution: ClassVar[float] = 0.0
    categories: ClassVar[int] = 0

    def vectors(self, observations: Sequence[Observation], width: int = 0) -> NDArray[np.float64]:
        """Embeddings, float64 [N, D]; NaN where one is empty or not of length D."""
        lengths = [len(observation.embedding) for observation in observations]
        columns = width or _commonest(lengths)
        usable = [length == columns for length in lengths]
        rows = np.full((len(observations), columns), np.nan)
        found = (observation.embedding for observation, good in zip(observations, usable, strict=True) if good)
        count = sum(usable)
        rows[usable] = np.fromiter(chain.from_iterable(found), np.float64, count * columns).reshape(count, columns)
        return rows


def _commonest(lengths: Sequence[int]) -> int:
    """The most frequent length above 0, of equally frequent ones the smallest; 1 when there is none."""
    counted = Counter(length for length in lengths if length)
    return min(counted, key=lambda length: (-counted[length], length), default=1)
