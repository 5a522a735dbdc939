"""From observations to p-values: against one instrument's usual, or against the nearest of several."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from parfocal.core.types import Observation
from parfocal.drift import Stream, conformal, flips
from parfocal.drift.frequency import Frequency
from parfocal.drift.mahalanobis import Model
from parfocal.drift.run_length import Threshold

Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Usual:
    """What one instrument's cases are like in one stream.

    Attributes:
        model: fitted to all cases.
        typical: median distance of held-out cases. Distances are divided by it, so that "nearest" compares instruments
            whose cases scatter differently.
        calibration: distances of held-out cases over `typical`, ascending, [n]; +inf where one cannot be measured.
        categories: of the last columns, how often each value was seen.
    """

    model: Model
    typical: float
    calibration: Floats
    categories: tuple[Frequency, ...] = ()

    @property
    def width(self) -> int:
        """Columns of a vector: amounts, then categories."""
        return self.model.width + len(self.categories)

    def distances(self, vectors: Floats) -> Floats:
        """In units of a typical held-out case, [N]; a row of NaN is infinitely far."""
        return distances(self.model, self.categories, vectors) / self.typical


@dataclass(frozen=True, eq=False)
class Scorer:
    """Turns cases into p-values, for one declared instrument or for undeclared traffic.

    Attributes:
        stream: how cases are looked at.
        usual: what they are held against; with several, the nearest counts.
        calibration: scores of held-out cases, ascending.
        threshold: of the CUSUM that these p-values go into.
        flips: disagreements of reference cases under a flip, ascending; none in other streams than plausibility.
    """

    stream: Stream
    usual: tuple[Usual, ...]
    calibration: Floats
    threshold: Threshold
    flips: Floats = field(default_factory=lambda: np.zeros(0))

    @property
    def calibration_size(self) -> int:
        """Held-out cases; 1 over one more is the smallest p-value."""
        return len(self.calibration)

    def scores(self, observations: Sequence[Observation]) -> Floats:
        """Distance from the nearest instrument, float64 [N]; larger is stranger, +inf where nothing can be measured."""
        return nearest(self.usual, self.stream.vectors(observations, self.usual[0].width))

    def p_values(self, observations: Sequence[Observation]) -> Floats:
        """Conformal p-values, float64 [N]: (1 + held-out scores at or above) / (n + 1).

        A case that cannot be measured scores +inf and has the smallest p-value, unless held-out cases could not be
        measured either: then it is as strange as they are rare. Disagreement under a flip counts where a case has it.
        """
        own = conformal.p_values(self.scores(observations), self.calibration)
        return flips.beside(own, observations, self.flips)


def distances(model: Model, categories: Sequence[Frequency], vectors: Floats) -> Floats:
    """Distance in the amounts plus the surprise of each category, [N]; vectors [N, D] as a stream gives them."""
    found = model.distances(vectors[:, : model.width])
    for category, column in zip(categories, vectors[:, model.width :].T, strict=True):
        found += category.surprise(column)
    return found


def nearest(usual: Sequence[Usual], vectors: Floats) -> Floats:
    """Distance of each row from the instrument that it is nearest to, [N]."""
    found: Floats = np.min([one.distances(vectors) for one in usual], axis=0)
    return found
