"""Supervised segmentation of one structure, or of several classes."""

from __future__ import annotations

from typing import ClassVar, Literal

import numpy as np
import torch
from numpy.typing import NDArray

from parfocal.core.config import Config
from parfocal.objectives import MAIN, Batch, Networks, OneNetwork, Parts, SegmentLoss, losses


class SegmentSettings(Config):
    """Nothing: the loss is `train.loss`."""


class Segment(OneNetwork):
    """Compares logits with a mask.

    Networks: the main one alone, any head. Logs: the parts of the loss, ``bce`` and ``soft_dice`` by default, in nats.

    Args:
        settings: none.
        loss: ``bce_dice`` (sum), ``bce`` or ``soft_dice`` for a one-channel head, ``cross_entropy`` for one channel a
            class.
    """

    Settings: ClassVar[type[Config]] = SegmentSettings
    score_name: ClassVar[str] = "dice"
    inputs: ClassVar[int] = 0
    outputs: ClassVar[Literal["mask", "image", "point"]] = "mask"

    def __init__(self, settings: SegmentSettings, loss: SegmentLoss = "bce_dice") -> None:
        self.settings = settings
        self.supervised = loss

    def loss(self, player: str, networks: Networks, batch: Batch) -> tuple[torch.Tensor, Parts]:  # noqa: ARG002
        return losses.supervised(self.supervised, networks[MAIN](batch.images), batch.target)

    def score(self, networks: Networks, batch: Batch) -> NDArray[np.float64]:
        """Dice of each case; see `losses.dice_of_cases`."""
        return losses.dice_of_cases(networks[MAIN](batch.images), batch.target)
