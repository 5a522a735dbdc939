"""Settings of a training run. Loads no torch, so that steps which never train can read a run's file."""

from __future__ import annotations

from math import cos, pi
from typing import Literal

from pydantic import Field

from parfocal.augmentation.geometric import AugmentConfig
from parfocal.core.config import Config
from parfocal.objectives import SegmentLoss

START, END = 1 / 25, 1 / 1000
"""First and last learning rate of the schedules, as parts of the peak."""


class TrainConfig(Config):
    """How one network is trained."""

    steps: int = Field(default=600, ge=1, description="optimiser steps")
    steps_for: dict[str, int] = Field(
        default_factory=dict, description="optimiser steps of a structure whose network needs more or fewer"
    )
    seconds: float | None = Field(
        default=None, gt=0, description="wall-time budget; measured at the start, it replaces `steps`"
    )
    batch_size: int = Field(default=16, ge=1, description="pictures a step, over all processes")
    learning_rate: float = Field(default=1e-3, gt=0, description="Adam's rate at the schedule's peak")
    schedule: Literal["one-cycle", "cosine", "constant"] = Field(
        default="one-cycle", description="one-cycle rises, then falls along a cosine; cosine only falls"
    )
    warmup: float = Field(default=0.2, gt=0, lt=1, description="part of the steps in which one-cycle rises")
    weight_decay: float = Field(default=0.0, ge=0, description="L2 penalty inside Adam")
    clip: float | None = Field(default=None, gt=0, description="largest norm of the gradient; none: not clipped")
    loss: SegmentLoss = Field(default="bce_dice", description="sum of cross entropy and -log soft Dice, or one of them")
    augment: AugmentConfig = Field(default_factory=AugmentConfig, description="random changes of training pictures")
    validate_every: int = Field(default=50, ge=1, description="steps between validations; the last step always is one")
    patience: int | None = Field(default=None, ge=1, description="validations without a better score before it stops")
    precision: Literal["auto", "bf16-mixed", "32-true"] = Field(
        default="auto", description="auto takes bfloat16 autocast where the hardware computes in it"
    )
    checkpoint_every: int | None = Field(
        default=None, ge=1, description="steps between checkpoints, beside those by time"
    )
    checkpoint_seconds: float = Field(default=30.0, gt=0, description="seconds between checkpoints")
    seed: int = Field(default=0, ge=0, description="of order, changes and dropout")

    def for_structure(self, structure: str) -> TrainConfig:
        """The settings of one structure's network."""
        return self.model_copy(update={"steps": self.steps_for.get(structure, self.steps), "steps_for": {}})


def learning_rate(config: TrainConfig, step: int, steps: int) -> float:
    """Rate of step `step` (from 0) of `steps`; a function of these alone, so there is no scheduler to save."""
    if config.schedule == "constant":
        return config.learning_rate
    rise = max(1, round(config.warmup * steps)) if config.schedule == "one-cycle" else 0
    if step < rise:
        return config.learning_rate * _cosine(START, 1.0, step / rise)
    return config.learning_rate * _cosine(1.0, END, (step - rise) / max(1, steps - 1 - rise))


def _cosine(first: float, last: float, part: float) -> float:
    return last + (first - last) * (1 + cos(pi * min(part, 1.0))) / 2
