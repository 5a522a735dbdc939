"""A U-Net's encoder that says where a structure's centre is (paper 004)."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional

from parfocal.models import blocks
from parfocal.models.dropout import PooledDropout
from parfocal.models.levels import DropoutAt, Encoder, dropout_rates


class Localizer(Encoder):
    """The encoder of `RecursiveUNet`, its lowest level pooled to a small grid, dropout, one fully connected layer.

    The layer is linear, as in the paper, and begins at the frame's centre. In training nothing bounds its output, so
    a gradient comes from everywhere; in evaluation it is cut to the frame, which never takes it away from a centre
    that lies there.

    Args:
        depth, width, increment, in_channels, batch_norm, dropout, dropout_at, widest: as in `RecursiveUNet`, and so
            are the names of the encoder's weights, which carry over by name.
        residual: the encoder is that of `ResidualUNet` instead.
        grid: the lowest level is averaged over grid x grid fields, so that any input's size has one fully connected
            layer, and the layer still knows where a feature was.

    Shapes: float [N, in_channels, H, W] in [0, 1] to [N, 2], (x, y) as parts of width and height; H and W are
    multiples of 2 ** depth, else UsageError.
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
    ) -> None:
        rates = dropout_rates(depth, dropout, dropout_at)
        block: type[nn.Module] = blocks.Residual if residual else blocks.Plain
        super().__init__(depth, width, increment, in_channels, batch_norm, rates, widest, block)
        self.grid = grid
        self.drop = PooledDropout(0.0 if dropout_at == "none" else dropout)
        self.head = nn.Linear(self.widths[-1] * grid**2, 2)
        nn.init.constant_(self.head.bias, 0.5)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        pooled = functional.adaptive_avg_pool2d(self.encode(x), self.grid)
        point: torch.Tensor = self.head(self.drop(pooled).flatten(1))
        return point if self.training else point.clamp(0.0, 1.0)
