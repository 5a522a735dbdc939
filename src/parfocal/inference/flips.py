"""Does a model find the same in the mirror? It has seen both in training, so where it does not, it is guessing.

Disagreement under test-time augmentation as a measure of doubt: Wang, Li, Aertsen, Deprest, Ourselin and Vercauteren,
Aleatoric uncertainty estimation with test-time augmentation, Neurocomputing 2019. One flip, left to right.
"""

from __future__ import annotations

import numpy as np

from parfocal.evaluation.metrics import dice
from parfocal.inference.predictor import Prediction, Predictor
from parfocal.preprocessing.images import Picture


def disagreement(predictor: Predictor, image: Picture, found: Prediction, instrument: str = "") -> dict[str, float]:
    """1 - Dice of each mask with the one found in the mirrored picture, as ``<structure>.flips``, in [0, 1].

    Empty against empty is 0. It costs another answer.

    Args:
        image: uint8 BGR [H, W, 3] or uint16 grey [H, W].
        found: what the same predictor found in it.
        instrument: as the picture was asked about.

    Raises:
        DataContractError: as `Predictor.predict`.
    """
    mirrored = predictor.predict(np.ascontiguousarray(image[:, ::-1]), instrument)
    return {f"{name}.flips": 1.0 - dice(mask, mirrored.masks[name][:, ::-1]) for name, mask in found.masks.items()}
