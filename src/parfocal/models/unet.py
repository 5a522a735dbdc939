"""The generalised recursive U-Net of papers 000 and 001: depth, width and increment ratio (D / W / IR)."""

from __future__ import annotations

from typing import Literal

import torch
from torch import nn
from torch.nn import functional

from parfocal.core.errors import UsageError
from parfocal.models.dropout import PooledDropout

DropoutAt = Literal["every", "bottom", "none"]
Up = Literal["transpose", "upsample"]


class RecursiveUNet(nn.Module):
    """U-Net with `depth` poolings, so `depth + 1` levels.

    Level 0 is `width` wide and every further level `int(increment * width above)`. A level is two 3 x 3 same
    convolutions, each with bias, batch norm (optional) and ReLU, and dropout after the first of them, so that skips
    and the head see whole features. Down: 2 x 2 maximum. Up: doubling, ReLU, concatenated after the skip.

    Args:
        depth: number of poolings, D.
        width: channels of level 0, W.
        increment: ratio of the widths of neighbouring levels, IR.
        in_channels: channels of the input.
        out_channels: one a structure (sigmoid), or one a class (softmax).
        batch_norm: normalise after each convolution.
        dropout: rate in [0, 1).
        dropout_at: in ``every`` block, in the ``bottom`` one alone, or ``none``.
        up: ``transpose`` is a transposed convolution (kernel 3, stride 2); ``upsample`` repeats pixels, then convolves.

    Shapes: float [N, in_channels, H, W] in [0, 1] to logits [N, out_channels, H, W]; H and W are multiples of
    2 ** depth.
    """

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
        up: Up = "transpose",
    ) -> None:
        super().__init__()
        self.depth = depth
        self.widths = level_widths(depth, width, increment)
        rates = _rates(depth, dropout, dropout_at)
        inputs = (in_channels, *self.widths[:-1])
        self.down = nn.ModuleList(
            _block(i, o, batch_norm, rate) for i, o, rate in zip(inputs, self.widths, rates, strict=True)
        )
        self.up = nn.ModuleList(_up(self.widths[k + 1], self.widths[k], up) for k in range(depth))
        self.merge = nn.ModuleList(
            _block(2 * w, w, batch_norm, rate) for w, rate in zip(self.widths[:-1], rates[:-1], strict=True)
        )
        self.head = nn.Conv2d(self.widths[0], out_channels, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self._decode(self._encode(x))

    def described(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Logits [N, C, H, W] and, from the same pass, the spatial mean of every level [N, sum(widths)]."""
        features = self._encode(x)
        return self._decode(features), torch.cat([level.mean((2, 3)) for level in features], 1)

    def encode(self, x: torch.Tensor) -> torch.Tensor:
        """Features of the lowest level, [N, widths[-1], H / 2**depth, W / 2**depth]."""
        return self._encode(x)[-1]

    def _decode(self, features: list[torch.Tensor]) -> torch.Tensor:
        y = features[-1]
        for k in reversed(range(self.depth)):
            y = self.merge[k](torch.cat([features[k], functional.relu(self.up[k](y), inplace=True)], 1))
        logits: torch.Tensor = self.head(y)
        return logits

    def _encode(self, x: torch.Tensor) -> list[torch.Tensor]:
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


def level_widths(depth: int, width: int, increment: float) -> tuple[int, ...]:
    """Channels of levels 0 to `depth`: 6 / 40 / 1.1 gives 40, 44, 48, 52, 57, 62, 68."""
    widths = [width]
    for _ in range(depth):
        widths.append(int(increment * widths[-1]))
    return tuple(widths)


def _rates(depth: int, dropout: float, at: DropoutAt) -> tuple[float, ...]:
    if at == "every":
        return (dropout,) * (depth + 1)
    return (0.0,) * depth + (dropout if at == "bottom" else 0.0,)


def _block(inputs: int, outputs: int, batch_norm: bool, rate: float) -> nn.Sequential:
    layers: list[nn.Module] = []
    for index, channels in enumerate((inputs, outputs)):
        layers.append(nn.Conv2d(channels, outputs, 3, padding=1))
        if batch_norm:
            layers.append(nn.BatchNorm2d(outputs))
        if index == 0 and rate:
            # Before the ReLU, in place: the mask is never negative, so the two commute, and nothing is copied.
            layers.append(PooledDropout(rate))
        layers.append(nn.ReLU(inplace=True))
    return nn.Sequential(*layers)


def _up(inputs: int, outputs: int, kind: Up) -> nn.Module:
    if kind == "transpose":
        return nn.ConvTranspose2d(inputs, outputs, 3, stride=2, padding=1, output_padding=1)
    return nn.Sequential(nn.Upsample(scale_factor=2, mode="nearest"), nn.Conv2d(inputs, outputs, 3, padding=1))
