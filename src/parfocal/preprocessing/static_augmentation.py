"""Copies of training frames made once, before training: other brightness, other local contrast."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import cv2
import numpy as np
from pydantic import Field

from parfocal.core.config import Config
from parfocal.preprocessing.contrast import equalise
from parfocal.preprocessing.images import Pixels


class StaticAugmentationConfig(Config):
    """Copies by case; geometry is left to dynamic augmentation."""

    copies: int = Field(
        default=1, ge=0, le=16, description="further frames by training frame; brightness and contrast in turn"
    )
    brightness: float = Field(default=0.3, ge=0, lt=1, description="greatest relative change of brightness")
    clip: tuple[float, float] = Field(
        default=(1.0, 4.0), description="(lowest, highest) contrast limit of the adaptive equalisation"
    )


@dataclass(frozen=True, slots=True)
class Change:
    """One drawn change: a gain, or a contrast limit when it is above 0."""

    gain: float = 1.0
    clip: float = 0.0


def draw(config: StaticAugmentationConfig, rng: np.random.Generator) -> tuple[Change, ...]:
    """Draw the changes of one case: brightness and contrast in turn, either first."""
    first = int(rng.integers(2))
    changes = []
    for copy in range(config.copies):
        gain, clip = rng.uniform(1 - config.brightness, 1 + config.brightness), rng.uniform(*config.clip)
        changes.append(Change(gain=float(gain)) if (first + copy) % 2 == 0 else Change(clip=float(clip)))
    return tuple(changes)


def apply(frame: Pixels, change: Change, tiles: int) -> Pixels:
    """Change a BGR frame uint8 [S, S, 3]; the mask stays as it is."""
    if change.clip:
        return equalise(frame, change.clip, tiles)
    brighter: Pixels = cv2.convertScaleAbs(frame, alpha=change.gain)
    return brighter


def generator(seed: int, case: str) -> np.random.Generator:
    """The generator of one case: its copies do not depend on which other cases are there."""
    return np.random.default_rng([seed, int.from_bytes(hashlib.sha256(case.encode()).digest()[:8], "big")])
