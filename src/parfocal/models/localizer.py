"""A U-Net's encoder that says where a structure's centre is (paper 004)."""

from __future__ import annotations

import math

import torch
from torch import nn
from torch.nn import functional

from parfocal.models import blocks
from parfocal.models.dropout import PooledDropout
from parfocal.models.levels import DropoutAt, Encoder, dropout_rates

TYPICAL, LEAST, MOST = 0.1, 0.005, 1.0
"""Radius of a structure as a part of the frame's side: where an untrained network begins, and what an answer may be."""


class Localizer(Encoder):
    """The encoder of `RecursiveUNet`, its lowest level pooled to a small grid, dropout, one fully connected layer.

    The layer is linear, as in the paper, and begins at the frame's centre. In training nothing bounds its output, so
    a gradient comes from everywhere; in evaluation it is cut to the frame, which never takes it away from a centre
    that lies there.

    With `radius` it says how large the structure is too, and another head does it: every cell of the lowest level says
    where it takes the centre to be, seen from itself, and how large the structure; the answer is their mean, weighted
    by a softmax over the cells. A layer over fixed fields has to learn every place anew, this one learns it once (the
    weighted mean of places is that of Nibali and others, Numerical coordinate regression, 2018).

    Args:
        depth, width, increment, in_channels, batch_norm, dropout, dropout_at, widest: as in `RecursiveUNet`, and so
            are the names of the encoder's weights, which carry over by name.
        residual: the encoder is that of `ResidualUNet` instead.
        grid: the lowest level is averaged over grid x grid fields, so that any input's size has one fully connected
            layer, and the layer still knows where a feature was. With `radius` there is no such layer, and dropout in
            the encoder alone.
        radius: say it too.

    Shapes: float [N, in_channels, H, W] in [0, 1] to [N, 2], (x, y) as parts of width and height, or with `radius` to
    [N, 3], whose third is the logarithm of the radius as a part of the frame's side; H and W are multiples of
    2 ** depth, else UsageError.
    """

    def __init__(
        self,
        depth: int,
        width: int,
        increment: float,
        in_channels: int = 3,
        batch_norm: bool = True,
        dropout: float = 0.3,
        dropout_at: DropoutAt = "every",
        widest: int | None = None,
        residual: bool = False,
        grid: int = 4,
        radius: bool = False,
    ) -> None:
        rates = dropout_rates(depth, dropout, dropout_at)
        block: type[nn.Module] = blocks.Residual if residual else blocks.Plain
        super().__init__(depth, width, increment, in_channels, batch_norm, rates, widest, block)
        self.grid = grid
        self.drop = PooledDropout(0.0 if dropout_at == "none" else dropout)
        self.radius = radius
        if radius:
            self.vote = nn.Conv2d(self.widths[-1], 4, 1)
            nn.init.zeros_(self.vote.bias)  # type: ignore[arg-type]
            nn.init.constant_(self.vote.bias[3:], math.log(TYPICAL))  # type: ignore[index]
        else:
            self.head = nn.Linear(self.widths[-1] * grid**2, 2)
            nn.init.constant_(self.head.bias, 0.5)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        features = self.encode(x)
        if self.radius:
            return self._voted(features)
        pooled = functional.adaptive_avg_pool2d(features, self.grid)
        point: torch.Tensor = self.head(self.drop(pooled).flatten(1))
        return point if self.training else point.clamp(0.0, 1.0)

    def _voted(self, features: torch.Tensor) -> torch.Tensor:
        height, width = features.shape[-2:]
        said = self.vote(features).flatten(2)  # [N, 4, cells]: weight, x and y from the cell, log radius
        rows = (torch.arange(height, device=said.device, dtype=said.dtype) + 0.5) / height
        columns = (torch.arange(width, device=said.device, dtype=said.dtype) + 0.5) / width
        cells = torch.stack([columns.repeat(height), rows.repeat_interleave(width)])
        weight = said[:, :1].softmax(2)
        point = ((said[:, 1:3] + cells) * weight).sum(2)
        size = (said[:, 3:] * weight).sum(2)
        if not self.training:
            point, size = point.clamp(0.0, 1.0), size.clamp(math.log(LEAST), math.log(MOST))
        return torch.cat([point, size], 1)
