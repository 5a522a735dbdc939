"""From observations to the features that a Dice is predicted from, and from labelled cases to what predicts it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from parfocal.core.types import Observation
from parfocal.drift import quality
from parfocal.drift.quality import Quality

LOOKS = "plausibility"
DISTANCES = ("appearance", "framing", "acquisition")
"""The stream whose columns, and the streams whose scores, are features."""

Floats = NDArray[np.float64]
Dice = Mapping[tuple[str, str], Mapping[str, float]]
"""By instrument and id of a labelled case, the true Dice by structure."""


def features(looks: Floats | None, scores: Mapping[str, Floats]) -> Floats:
    """The columns of LOOKS [N, D], where that is a stream, then log(1 + score) of DISTANCES, float64 [N, F]."""
    far = [np.log1p(scores[name])[:, None] for name in DISTANCES if name in scores]
    return np.hstack([*([] if looks is None else [looks]), *far])


def fitted(
    found: Mapping[str, Floats], cases: Mapping[str, Sequence[Observation]], dice: Dice, seed: int
) -> dict[str, Quality]:
    """A predictor of each structure's Dice, where enough cases are labelled.

    Args:
        found: features by instrument, a row a case.
        cases: by instrument, in the same order.
        dice: of labelled ones.
        seed: of the folds.
    """
    labelled = [
        (dice[name, one.id], row)
        for name, rows in found.items()
        for one, row in zip(cases[name], rows, strict=True)
        if (name, one.id) in dice
    ]
    made = {}
    for structure in sorted({structure for true, _ in labelled for structure in true}):
        own = [(true[structure], row) for true, row in labelled if structure in true]
        one = quality.fit(np.array([row for _, row in own]), np.array([true for true, _ in own]), seed=seed)
        if one is not None:
            made[structure] = one
    return made
