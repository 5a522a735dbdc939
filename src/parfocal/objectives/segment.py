"""Supervised segmentation of one structure, or of several classes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, Literal

import numpy as np
import torch
from numpy.typing import NDArray

from parfocal.core.config import Config
from parfocal.objectives import MAIN, Batch, Networks, OneNetwork, Parts, SegmentLoss, losses, structures


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


class SegmentTogether(OneNetwork):
    """Compares the logits of one network with the labels of several structures, some of which may be missing.

    It is what `segment` becomes for a network of several structures; no other objective is for such a one. Logs: the
    parts of the loss, in nats. The score is the mean Dice of the structures that a case decides.

    Args:
        groups: the network's channels that make up each structure (`parfocal.preprocessing.classes`).
        loss: ``cross_entropy`` over the classes, or the mean over the structures of any other.
    """

    Settings: ClassVar[type[Config]] = SegmentSettings
    score_name: ClassVar[str] = "dice"
    inputs: ClassVar[int] = 0
    outputs: ClassVar[Literal["mask", "image", "point"]] = "mask"

    def __init__(self, groups: Sequence[Sequence[int]], loss: SegmentLoss = "bce_dice") -> None:
        self.groups = groups
        self.supervised = loss

    def loss(self, player: str, networks: Networks, batch: Batch) -> tuple[torch.Tensor, Parts]:  # noqa: ARG002
        return structures.supervised(self.supervised, networks[MAIN](batch.images), batch.target, self.groups)

    def score(self, networks: Networks, batch: Batch) -> NDArray[np.float64]:
        """Mean Dice of each case over its structures; see `structures.dice_of_cases`."""
        found = structures.dice_of_cases(networks[MAIN](batch.images), batch.target, self.groups)
        decided = ~np.isnan(found)
        total = np.where(decided, found, 0.0).sum(1)
        mean: NDArray[np.float64] = np.where(decided.any(1), total / np.maximum(decided.sum(1), 1), np.nan)
        return mean
