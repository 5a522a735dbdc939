"""The constant mask: the rival that sees no image. What it scores is what the framing alone gives away."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True, eq=False)
class ConstantMask:
    """The mean training mask, cut where it scores best on the masks it was made of.

    Attributes:
        mask: uint8 {0, 1} [S, S], in the frame that the structure's network sees.
        threshold: the cut, in (0, 1]: a pixel is inside when this part of the training masks has it.
        dice: mean Dice over the training masks.
    """

    mask: NDArray[np.uint8]
    threshold: float
    dice: float

    @classmethod
    def fit(cls, masks: NDArray[np.uint8]) -> ConstantMask:
        """Try every cut there is.

        Args:
            masks: uint8 {0, 1} [N, S, S], training cases alone.

        Raises:
            ValueError: no masks.
        """
        if not len(masks):
            raise ValueError("a constant mask of no masks")
        votes = masks.sum(axis=0, dtype=np.int64)
        number = len(masks)
        inside = np.stack([_at_least(votes[mask > 0], number) for mask in masks])  # [N, cuts]: its pixels that are kept
        totals = masks.sum(axis=(1, 2), dtype=np.int64)[:, None] + _at_least(votes.ravel(), number)
        scores = np.where(totals > 0, 2 * inside / np.maximum(totals, 1), 1.0).mean(axis=0)
        best = int(np.argmax(scores))
        return cls((votes > best).astype(np.uint8), (best + 1) / number, float(scores[best]))


def skill(dice: float, constant: float) -> float | None:
    """What a model adds over the constant mask: (dice - constant) / (1 - constant), 1 perfect, 0 nothing, or negative.

    None where the constant mask is perfect and nothing can be added.
    """
    return (dice - constant) / (1 - constant) if constant < 1 else None


def _at_least(votes: NDArray[np.int64], number: int) -> NDArray[np.int64]:
    """How many pixels have at least 1, 2, ... `number` votes, int64 [number]."""
    counted = np.bincount(votes, minlength=number + 1)
    return np.cumsum(counted[::-1])[::-1][1:].astype(np.int64)
