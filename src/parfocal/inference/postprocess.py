"""What anatomy allows of a mask: one piece, without holes."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray


def largest_component(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """The largest 4-connected piece of a mask, bool [H, W]; of equal ones the first from the top; empty stays empty."""
    _, labels, stats, _ = cv2.connectedComponentsWithStats(mask.astype(np.uint8), connectivity=4)
    if len(stats) < 2:
        return np.zeros(mask.shape, np.bool_)
    kept: NDArray[np.bool_] = labels == 1 + int(np.argmax(stats[1:, cv2.CC_STAT_AREA]))
    return kept


def fill_holes(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """A mask, bool [H, W], with the background that does not reach the image's edge (8-connected) added."""
    outside = np.pad(~mask, 1, constant_values=True).astype(np.uint8)
    _, labels = cv2.connectedComponents(outside, connectivity=8)
    filled: NDArray[np.bool_] = labels[1:-1, 1:-1] != labels[0, 0]
    return filled


def clean(probability: NDArray[np.float32], threshold: float) -> NDArray[np.float32]:
    """Probabilities [S, S] that leave one piece without holes when they are held against `threshold`.

    Other pieces become 0 and holes 1. This is done in the network's frame and not in the photograph, where it takes
    forty times as long (0.17 ms against 7 ms at 5.6 megapixels); resizing the result linearly brings no other piece
    back, and breaks a piece only at a neck thinner than a pixel.
    """
    above = probability >= threshold
    piece = largest_component(above)
    filled = fill_holes(piece)
    cleaned = np.where(above & ~piece, np.float32(0), probability)
    return np.where(filled & ~piece, np.float32(1), cleaned)
