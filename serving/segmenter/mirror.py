"""Of some answers: does the model find the same in the mirror? Asked after the answer has left, and not in a rush."""

from __future__ import annotations

import logging
from collections.abc import Mapping

from parfocal_serving.segmenter.champion import Champion

from parfocal.inference.flips import disagreement
from parfocal.inference.predictor import Prediction
from parfocal.preprocessing.images import Picture

logger = logging.getLogger("parfocal.segmenter")


def mirrored(
    model: Champion, image: Picture, found: Prediction, request: str, instrument: str, *, share: float, busy: bool
) -> Mapping[str, float]:
    """`flips.disagreement` of a request whose turn it is; {} of any other.

    Args:
        request: id of the answer, 32 hexadecimal digits, whose last ones draw the lot.
        share: of the requests.
        busy: whether others wait: then it is nobody's turn.
    """
    if busy or int(request[24:], 16) >= share * 2**32:
        return {}
    try:
        return disagreement(model.predictor, image, found, instrument)
    except Exception:  # the rest of what was seen is worth sending without it
        logger.exception("an answer could not be held against its mirror image")
        return {}
