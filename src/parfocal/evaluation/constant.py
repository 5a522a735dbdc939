"""The constant mask: a rival that never looks at the image. What it scores is what the framing alone gives away."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, eq=False)
class ConstantMask:
    """The mean training mask and where to cut it.

    Attributes:
        mean: float32 [S, S] in [0, 1], in the frame that the structure's network sees.
        threshold: the cut in (0, 1] with the best mean Dice on the training masks.
    """

    mean: NDArray[np.float32]
    threshold: float

    @classmethod
    def fit(cls, masks: NDArray[np.uint8], cuts: int = 40) -> ConstantMask:
        """From training masks, uint8 {0, 1} [N, S, S] with N > 0."""
        mean = masks.mean(0, dtype=np.float64)
        levels = np.linspace(0, float(mean.max()), cuts + 1)[1:] if mean.max() > 0 else np.array([1.0])
        sizes = masks.sum((1, 2), dtype=np.int64)
        best, threshold = -1.0, 1.0
        for level in levels:
            cut = mean >= level
            both = masks[:, cut].sum(1, dtype=np.int64)
            score = float(np.mean(2 * both / np.maximum(sizes + int(cut.sum()), 1)))
            if score > best:
                best, threshold = score, float(level)
        return cls(mean.astype(np.float32), threshold)

    @property
    def mask(self) -> NDArray[np.float32]:
        """1 inside and 0 outside, float32 [S, S]."""
        return (self.mean >= np.float32(self.threshold)).astype(np.float32)


def skill(dice: float, constant: float) -> float:
    """What a model adds over the constant mask: (dice - constant) / (1 - constant); 1 is perfect, 0 adds nothing."""
    return (dice - constant) / (1 - constant) if constant < 1 else 0.0
