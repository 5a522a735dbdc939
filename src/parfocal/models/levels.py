"""The encoder and the decoder that the networks of papers 000 to 004 share."""

from __future__ import annotations

from typing import ClassVar, Literal

import torch
from torch import nn
from torch.nn import functional

from parfocal.core.errors import UsageError
from parfocal.models import blocks

DropoutAt = Literal["every", "bottom", "none"]


class Encoder(nn.Module):
    """`depth + 1` levels with a 2 x 2 maximum between two of them; level k is `down.k` in the state dict."""

    def __init__(
        self,
        depth: int,
        width: int,
        increment: float,
        in_channels: int,
        batch_norm: bool,
        rates: tuple[float, ...],
        widest: int | None,
        block: type[nn.Module],
    ) -> None:
        super().__init__()
        self.depth = depth
        self.widths = level_widths(depth, width, increment, widest)
        inputs = (in_channels, *self.widths[:-1])
        self.down = nn.ModuleList(
            block(i, o, batch_norm, rate, None) for i, o, rate in zip(inputs, self.widths, rates, strict=True)
        )

    def encode(self, x: torch.Tensor) -> torch.Tensor:
        """Features of the lowest level, [N, widths[-1], H / 2**depth, W / 2**depth]."""
        return self.levels(x)[-1]

    def levels(self, x: torch.Tensor) -> list[torch.Tensor]:
        """Features of every level, the largest first.

        Raises:
            UsageError: a side is no multiple of 2 ** depth.
        """
        height, width = x.shape[-2:]
        if height % 2**self.depth or width % 2**self.depth:
            raise UsageError(
                f"a U-Net of depth {self.depth} cannot take an image of {height} x {width}",
                expected=f"sides that are multiples of {2**self.depth}",
                next="change recipe.size or model.depth",
            )
        features = [self.down[0](x)]
        for block in list(self.down)[1:]:
            features.append(block(functional.max_pool2d(features[-1], 2)))
        return features


class UShape(Encoder):
    """An encoder, and a decoder that gets the features of the same size beside those from below.

    A subclass says what a level is made of; `RecursiveUNet` describes the arguments.
    """

    block: ClassVar[type[nn.Module]]

    def __init__(
        self,
        depth: int,
        width: int,
        increment: float,
        in_channels: int = 3,
        out_channels: int = 1,
        batch_norm: bool = True,
        dropout: float = 0.3,
        dropout_at: DropoutAt = "every",
        up: blocks.Up = "transpose",
        widest: int | None = None,
    ) -> None:
        rates = dropout_rates(depth, dropout, dropout_at)
        block = self.block
        super().__init__(depth, width, increment, in_channels, batch_norm, rates, widest, block)
        w, free = self.widths, up == "bilinear"  # free of weights: the block above it narrows instead
        below = [w[k] if free and k < depth - 1 else w[k + 1] for k in range(depth)]
        self.up = nn.ModuleList(blocks.up(below[k], w[k], up) for k in range(depth))
        self.merge = nn.ModuleList(
            block(w[k] + (below[k] if free else w[k]), w[k], batch_norm, rates[k], w[k - 1] if free and k else w[k])
            for k in range(depth)
        )
        self.head = nn.Conv2d(w[0], out_channels, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self._decode(self.levels(x))

    def described(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Logits [N, C, H, W] and, from the same pass, the spatial mean of every level [N, sum(widths)]."""
        features = self.levels(x)
        return self._decode(features), torch.cat([level.mean((2, 3)) for level in features], 1)

    def _decode(self, features: list[torch.Tensor]) -> torch.Tensor:
        y = features[-1]
        for k in reversed(range(self.depth)):
            y = self.merge[k](torch.cat([features[k], functional.relu(self.up[k](y), inplace=True)], 1))
        logits: torch.Tensor = self.head(y)
        return logits


def level_widths(depth: int, width: int, increment: float, widest: int | None = None) -> tuple[int, ...]:
    """Channels of levels 0 to `depth`, none above `widest`: 6 / 40 / 1.1 gives 40, 44, 48, 52, 57, 62, 68."""
    widths = [width]
    for _ in range(depth):
        widths.append(int(increment * widths[-1]))
    return tuple(min(value, widest or value) for value in widths)


def dropout_rates(depth: int, dropout: float, at: DropoutAt) -> tuple[float, ...]:
    """The rate of each level."""
    if at == "every":
        return (dropout,) * (depth + 1)
    return (0.0,) * depth + (dropout if at == "bottom" else 0.0,)
