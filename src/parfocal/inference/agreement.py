"""Whether an exported network says what the trained one said."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from parfocal.inference.runtimes import Runtime


def to_input(images: NDArray[np.uint8]) -> NDArray[np.float32]:
    """BGR uint8 [N, S, S, 3] to a network's input, float32 [N, 3, S, S] in [0, 1]."""
    return np.ascontiguousarray(images.transpose(0, 3, 1, 2), np.float32) / np.float32(255)


def agreement(one: Runtime, other: Runtime, images: NDArray[np.uint8], *, threshold: float = 0.5) -> float:
    """Mean Dice in [0, 1] between the two runtimes' masks of `images`, uint8 [N, S, S, 3] with N > 0.

    Empty against empty is 1. Images go one by one, as requests do.
    """
    scores = []
    for image in images:
        batch = to_input(image[None])
        a, b = one(batch) >= threshold, other(batch) >= threshold
        total = int(a.sum()) + int(b.sum())
        scores.append(2 * int((a & b).sum()) / total if total else 1.0)
    return float(np.mean(scores))
