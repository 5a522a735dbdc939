"""Settings of a training run. Loads no torch, so that steps which never train can read a run's file."""

from __future__ import annotations

from collections.abc import Sequence
from math import cos, inf, pi
from typing import Literal

from pydantic import Field, model_validator

from parfocal.augmentation.geometric import AugmentConfig
from parfocal.core.config import Config
from parfocal.objectives import ObjectiveConfig, SegmentLoss

START, END = 1 / 25, 1 / 1000
"""First and last learning rate of the schedules, as parts of the peak."""
PLATEAU = 0.5
"""Factor of the rate on a plateau (paper 002)."""


class EncoderConfig(Config):
    """What of a pretrained network a training starts from."""

    pretrained: str = Field(default="", description="folder that `parfocal pretrain` wrote; empty: from random weights")
    levels: int | None = Field(
        default=None, ge=0, description="encoder levels to take, from the first; none: all; 0: nothing of it"
    )
    freeze: bool = Field(default=False, description="leave what was taken as it is, its batch norms included")
    decoder: bool = Field(
        default=False, description="take the decoder too, where the pretrained network has one (restoration does)"
    )

    @model_validator(mode="after")
    def _whole(self) -> EncoderConfig:
        if self.decoder and self.levels is not None:
            raise ValueError("a decoder fits an encoder of all levels alone: leave out levels or decoder")
        return self


class SyntheticConfig(Config):
    """Pairs whose images a CycleGAN made of masks, for the outermost structure.

    They come from `encoder.pretrained`, which must have been pretrained with the objective `cycle`.
    """

    share: float = Field(default=0.0, ge=0, lt=1, description="part of every batch; 0: none")
    pictures: int = Field(default=200, ge=1, description="how many are made, before training")


class TrainConfig(Config):
    """How one network is trained."""

    objective: ObjectiveConfig = Field(default_factory=ObjectiveConfig, description="what a step optimises")
    encoder: EncoderConfig = Field(default_factory=EncoderConfig)
    synthetic: SyntheticConfig = Field(default_factory=SyntheticConfig)

    steps: int = Field(default=600, ge=1, description="optimiser steps")
    steps_for: dict[str, int] = Field(
        default_factory=dict, description="optimiser steps of a structure whose network needs more or fewer"
    )
    seconds: float | None = Field(
        default=None, gt=0, description="wall-time budget; measured at the start, it replaces `steps`"
    )
    batch_size: int = Field(default=16, ge=1, description="pictures a step, over all processes")
    optimizer: Literal["adam", "rmsprop"] = Field(
        default="adam", description="papers 000, 001, 003: adam; 002: rmsprop"
    )
    learning_rate: float = Field(default=1e-3, gt=0, description="the optimiser's rate at the schedule's peak")
    betas: tuple[float, float] = Field(default=(0.9, 0.999), description="Adam's two decay rates")
    momentum: float = Field(default=0.0, ge=0, lt=1, description="RMSprop's momentum")
    schedule: Literal["one-cycle", "cosine", "constant", "plateau"] = Field(
        default="one-cycle",
        description="one-cycle rises, then falls along a cosine; cosine only falls; plateau halves the rate whenever "
        "`plateau` validations in a row were no better",
    )
    plateau: int = Field(default=5, ge=1, description="validations without a better score before the rate is halved")
    warmup: float = Field(default=0.2, gt=0, lt=1, description="part of the steps in which one-cycle rises")
    weight_decay: float = Field(default=0.0, ge=0, description="L2 penalty inside the optimiser")
    clip: float | None = Field(default=None, gt=0, description="largest norm of the gradient; none: not clipped")
    clip_value: float | None = Field(
        default=None, gt=0, description="largest absolute value of a gradient's element; none: not clipped"
    )
    loss: SegmentLoss = Field(
        default="bce_dice",
        description="sum of cross entropy and -log soft Dice, or one of them; cross_entropy (over classes) with "
        "`together` alone, where the others are the mean over the structures",
    )
    together: bool = Field(
        default=False,
        description="one network for all structures, which needs recipe.one_frame; otherwise each has its own. A "
        "retrain does as the champion does",
    )
    augment: AugmentConfig = Field(default_factory=AugmentConfig, description="random changes of training pictures")
    validate_every: int = Field(default=50, ge=1, description="steps between validations; the last step always is one")
    patience: int | None = Field(default=None, ge=1, description="validations without a better score before it stops")
    precision: Literal["auto", "bf16-mixed", "32-true"] = Field(
        default="auto", description="auto takes bfloat16 autocast where the hardware computes in it"
    )
    resident: Literal["auto", "on", "off"] = Field(
        default="auto",
        description="keep the training pictures on the device and change them there; auto: on a GPU, where they take "
        "at most a tenth of its free memory. Off: the host changes them. The two differ by rounding",
    )
    checkpoint_every: int | None = Field(
        default=None, ge=1, description="steps between checkpoints, beside those by time"
    )
    checkpoint_seconds: float = Field(default=30.0, gt=0, description="seconds between checkpoints")
    seed: int = Field(default=0, ge=0, description="of order, changes and dropout")

    def for_structure(self, structure: str) -> TrainConfig:
        """The settings of one structure's network."""
        return self.model_copy(update={"steps": self.steps_for.get(structure, self.steps), "steps_for": {}})


def learning_rate(config: TrainConfig, step: int, steps: int, scores: Sequence[float] = ()) -> float:
    """Rate of step `step` (from 0) of `steps`; a function of these and of the validations' scores so far alone.

    So there is no scheduler to save.
    """
    if config.schedule == "plateau":
        return config.learning_rate * PLATEAU ** plateaus(scores, config.plateau)
    if config.schedule == "constant":
        return config.learning_rate
    rise = max(1, round(config.warmup * steps)) if config.schedule == "one-cycle" else 0
    if step < rise:
        return config.learning_rate * _cosine(START, 1.0, step / rise)
    return config.learning_rate * _cosine(1.0, END, (step - rise) / max(1, steps - 1 - rise))


def plateaus(scores: Sequence[float], patience: int) -> int:
    """How often `patience` scores in a row were no better than the best before them; counting begins anew each time."""
    best, waited, found = -inf, 0, 0
    for score in scores:
        waited = 0 if score > best else waited + 1
        best = max(best, score)
        if waited == patience:
            found, waited = found + 1, 0
    return found


def _cosine(first: float, last: float, part: float) -> float:
    return last + (first - last) * (1 + cos(pi * min(part, 1.0))) / 2
