"""Localisation pretraining (paper 004): the encoder learns to say where the structure's centre is."""

from __future__ import annotations

from typing import ClassVar, Literal

import numpy as np
import torch
from numpy.typing import NDArray

from parfocal.core.config import Config
from parfocal.objectives import MAIN, Batch, Networks, OneNetwork, Parts, SegmentLoss


class LocalizeSettings(Config):
    """Nothing: paper 004 has no choice to make in its loss."""


class Localize(OneNetwork):
    """Mean squared error of (x, y), over both coordinates and the pictures that have a point.

    A picture without a point (nan in either coordinate) is left out; a batch without any costs 0, connected to the
    graph. Coordinates are parts of the frame's side, so for a side of S pixels the paper's MSE, in square pixels, is
    ``mse`` times S squared.

    Networks: the main one alone, two outputs (x, y). Logs: ``mse`` in squared parts of the side, and ``distance``, the
    mean Euclidean one that the paper reports, in parts of the side.

    Args:
        settings: none.
        loss: not used.
    """

    Settings: ClassVar[type[Config]] = LocalizeSettings
    score_name: ClassVar[str] = "minus_distance"
    inputs: ClassVar[int] = 0
    outputs: ClassVar[Literal["mask", "image", "point"]] = "point"

    def __init__(self, settings: LocalizeSettings, loss: SegmentLoss = "bce_dice") -> None:  # noqa: ARG002
        self.settings = settings

    def loss(self, player: str, networks: Networks, batch: Batch) -> tuple[torch.Tensor, Parts]:  # noqa: ARG002
        error, known = _error(networks, batch)
        count = known.sum().clamp(min=1)
        total = error.square().sum() / (2 * count)
        distance = error.detach().norm(dim=1).sum() / count
        return total, {"mse": total.detach(), "distance": distance}

    def score(self, networks: Networks, batch: Batch) -> NDArray[np.float64]:
        """Minus the Euclidean distance of each case, in parts of the side; nan, to be left out, without a point."""
        error, known = _error(networks, batch)
        distance = error.norm(dim=1).double().masked_fill(~known, torch.nan)
        score: NDArray[np.float64] = -distance.detach().cpu().numpy()
        return score


def _error(networks: Networks, batch: Batch) -> tuple[torch.Tensor, torch.Tensor]:
    """Answer minus truth, float32 [N, 2], zero where there is no truth; and where there is one, bool [N]."""
    known = batch.points.isfinite().all(1)
    answer = networks[MAIN](batch.images).float()
    # `nan * 0` is nan, in the gradient too: the truth is made finite before it is used.
    truth = batch.points.float().nan_to_num(0.0, 0.0, 0.0)
    return (answer - truth) * known.unsqueeze(1), known
