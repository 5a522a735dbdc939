"""Localisation pretraining (paper 004): the network learns to say where the structure's centre is, and how large."""

from __future__ import annotations

from typing import ClassVar, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field

from parfocal.core.config import Config
from parfocal.objectives import MAIN, UNKNOWN, Batch, Networks, OneNetwork, Parts, SegmentLoss, views

RADIUS_WEIGHT = 0.05
"""What a squared error of the radius's logarithm counts beside that of a coordinate: a radius that is off by a tenth
counts like a coordinate that is off by about two hundredths of the side."""


class LocalizeSettings(Config):
    """Paper 004 has no choice to make in its loss; what it does not do is off."""

    radius: bool = Field(
        default=False,
        description="learn the radius too, where there is a mask, from views of every scale and colour: what a network "
        "must know that is to be named under recipe.locate",
    )


class Localize(OneNetwork):
    """Mean squared error of (x, y), over both coordinates and the pictures that have a point.

    A picture without a point (nan in either coordinate) is left out; a batch without any costs 0, connected to the
    graph. Coordinates are parts of the frame's side, so for a side of S pixels the paper's MSE, in square pixels, is
    ``mse`` times S squared.

    With `settings.radius` the pictures are views (`parfocal.objectives.views`), and the mean squared error of the
    radius's logarithm, times `RADIUS_WEIGHT`, is added. The radius is that of a disc of the mask's area; a picture
    without a mask, or whose mask the frame's edge cuts, has none.

    Networks: the main one alone, two outputs (x, y), or three. Logs: ``mse`` in squared parts of the side,
    ``distance``, the mean Euclidean one that the paper reports, in parts of the side, and with a radius ``radius``, its
    mean squared logarithmic error.

    Args:
        settings: see `LocalizeSettings`.
        loss: not used.
    """

    Settings: ClassVar[type[Config]] = LocalizeSettings
    score_name: ClassVar[str] = "minus_distance"
    inputs: ClassVar[int] = 0
    outputs: ClassVar[Literal["mask", "image", "point"]] = "point"

    def __init__(self, settings: LocalizeSettings, loss: SegmentLoss = "bce_dice") -> None:  # noqa: ARG002
        self.settings = settings

    def loss(self, player: str, networks: Networks, batch: Batch) -> tuple[torch.Tensor, Parts]:  # noqa: ARG002
        sizes = None
        if self.settings.radius:
            batch, sizes = views.drawn(batch, radii(batch.target))
        answer = networks[MAIN](batch.images).float()
        error, known = _error(answer, batch.points)
        count = known.sum().clamp(min=1)
        total = error.square().sum() / (2 * count)
        distance = error.detach().norm(dim=1).sum() / count
        parts = {"mse": total.detach(), "distance": distance}
        if sizes is not None:
            off, told = _size_error(answer, sizes)
            squared = off.square().sum() / told.sum().clamp(min=1)
            total, parts["radius"] = total + RADIUS_WEIGHT * squared, squared.detach()
        return total, parts

    def score(self, networks: Networks, batch: Batch) -> NDArray[np.float64]:
        """Minus the Euclidean distance of each case, in parts of the side; nan, to be left out, without a point.

        With a radius, minus the root of `RADIUS_WEIGHT` times its logarithmic error besides.
        """
        answer = networks[MAIN](batch.images).float()
        error, known = _error(answer, batch.points)
        distance = error.norm(dim=1).double()
        if self.settings.radius:
            distance += RADIUS_WEIGHT**0.5 * _size_error(answer, radii(batch.target))[0].abs().double()
        score: NDArray[np.float64] = -distance.masked_fill(~known, torch.nan).detach().cpu().numpy()
        return score


def radii(target: torch.Tensor) -> torch.Tensor:
    """Radius of a disc of each mask's area as a part of the frame's side, float32 [N], of uint8 [N, S, S].

    NaN where nothing or not everything is known, the mask is empty, or it touches the frame's edge.
    """
    inside = target == 1
    area = inside.float().mean((1, 2))
    edge = inside[:, 0].any(1) | inside[:, -1].any(1) | inside[:, :, 0].any(1) | inside[:, :, -1].any(1)
    unknown = edge | (area == 0) | (target == UNKNOWN).any(2).any(1)
    return (area / torch.pi).sqrt().masked_fill(unknown, torch.nan)


def _error(answer: torch.Tensor, points: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Answer minus truth, float32 [N, 2], zero where there is no truth; and where there is one, bool [N]."""
    known = points.isfinite().all(1)
    # `nan * 0` is nan, in the gradient too: the truth is made finite before it is used.
    truth = points.float().nan_to_num(0.0, 0.0, 0.0)
    return (answer[:, :2] - truth) * known.unsqueeze(1), known


def _size_error(answer: torch.Tensor, sizes: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Logarithm of answered over true radius, float32 [N], zero where that is unknown; and where it is known."""
    known = sizes.isfinite()
    return (answer[:, 2] - sizes.nan_to_num(1.0).log()) * known, known
