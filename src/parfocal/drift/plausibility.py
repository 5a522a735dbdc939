"""Whether the answer looks like an answer: size, roundness, pieces and doubt of what was drawn."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from parfocal.core.types import Observation

MEASURES = ("area", "circularity", "components", "entropy", "probability", "outside")
EMPTY = ".empty"
DOUBTLESS = 1e-3
"""Bits a pixel that are added before the logarithm: less doubt than this is none."""


class Plausibility:
    """Of every structure: log area, circularity, log pieces, log doubt, certainty inside, part outside its outer one.

    A case in which a structure was not found has none of these, so an empty mask is as strange as it is rare among
    held-out cases. Structures are taken by name, those that the case itself names.
    """

    name: ClassVar[str] = "plausibility"
    resolution: ClassVar[float] = 0.01
    categories: ClassVar[int] = 0

    def vectors(self, observations: Sequence[Observation], width: int = 0) -> NDArray[np.float64]:
        """Rows of len(MEASURES) columns a structure, float64 [N, D]; NaN where one is empty or lacks a measure."""
        raw = [_numbers(observation.shape) for observation in observations]
        columns = width or _commonest(raw)
        missing = (float("nan"),) * columns
        rows = np.array([row if len(row) == columns else missing for row in raw], np.float64).reshape(-1, columns)
        with np.errstate(divide="ignore", invalid="ignore"):
            for place, measure in enumerate(MEASURES):
                column = rows[:, place :: len(MEASURES)]
                if measure == "area":
                    np.log(column, out=column)
                elif measure == "components":
                    np.log1p(column, out=column)
                elif measure == "entropy":
                    np.log(column + DOUBTLESS, out=column)
        rows[~np.isfinite(rows).all(axis=1)] = np.nan
        return rows


def _numbers(shape: Mapping[str, float]) -> tuple[float, ...]:
    """The measures of every structure that a shape names, by name; none where a measure is missing."""
    names = sorted(key.removesuffix(EMPTY) for key in shape if key.endswith(EMPTY))
    try:
        return tuple(
            # The outermost structure lies inside no other.
            float(shape.get(f"{name}.outside", 0.0) if key == "outside" else shape[f"{name}.{key}"])
            for name in names
            for key in MEASURES
        )
    except KeyError:
        return ()


def _commonest(rows: Sequence[Sequence[float]]) -> int:
    lengths = Counter(len(row) for row in rows if row)
    return lengths.most_common(1)[0][0] if lengths else len(MEASURES)
