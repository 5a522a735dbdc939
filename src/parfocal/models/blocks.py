"""What one level of a U-Net is made of: two 3 x 3 convolutions, with or without a path around them."""

from __future__ import annotations

from typing import Literal

import torch
from torch import nn
from torch.nn import functional

from parfocal.models.dropout import PooledDropout

Up = Literal["transpose", "upsample", "bilinear"]


class Plain(nn.Sequential):
    """Convolution, norm, dropout, ReLU, convolution, norm, ReLU: dropout comes after the first convolution alone.

    Args:
        inputs: channels in.
        width: channels of the level, so of the first convolution.
        batch_norm: normalise after each convolution.
        rate: of the dropout.
        outputs: channels out; None for `width`.
    """

    def __init__(self, inputs: int, width: int, batch_norm: bool, rate: float, outputs: int | None = None) -> None:
        super().__init__(*_body(inputs, width, batch_norm, rate, outputs or width), nn.ReLU(inplace=True))


class Residual(nn.Module):
    """`Plain` (same arguments), with its input added before the last ReLU.

    Where channels differ, the input passes a 1 x 1 convolution and, with `batch_norm`, a norm of its own.
    Source: He and others, Deep residual learning for image recognition, 2016.
    """

    def __init__(self, inputs: int, width: int, batch_norm: bool, rate: float, outputs: int | None = None) -> None:
        super().__init__()
        outputs = outputs or width
        self.body = nn.Sequential(*_body(inputs, width, batch_norm, rate, outputs))
        self.project = nn.Sequential()
        if inputs != outputs:
            self.project = nn.Sequential(nn.Conv2d(inputs, outputs, 1), *_norm(outputs, batch_norm))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return functional.relu(self.body(x) + self.project(x), inplace=True)


def up(inputs: int, outputs: int, kind: Up) -> nn.Module:
    """Double the grid; ``bilinear`` has no weights, so `inputs` channels come out of it, the others give `outputs`."""
    if kind == "transpose":
        return nn.ConvTranspose2d(inputs, outputs, 3, stride=2, padding=1, output_padding=1)
    if kind == "bilinear":
        return nn.Upsample(scale_factor=2, mode="bilinear", align_corners=False)
    return nn.Sequential(nn.Upsample(scale_factor=2, mode="nearest"), nn.Conv2d(inputs, outputs, 3, padding=1))


def _body(inputs: int, width: int, batch_norm: bool, rate: float, outputs: int) -> list[nn.Module]:
    layers: list[nn.Module] = [nn.Conv2d(inputs, width, 3, padding=1), *_norm(width, batch_norm)]
    if rate:
        # Before the ReLU, in place: the mask is never negative, so the two commute, and nothing is copied.
        layers.append(PooledDropout(rate))
    return [
        *layers,
        nn.ReLU(inplace=True),
        nn.Conv2d(width, outputs, 3, padding=1),
        *_norm(outputs, batch_norm),
    ]


def _norm(channels: int, batch_norm: bool) -> list[nn.Module]:
    return [nn.BatchNorm2d(channels)] if batch_norm else []
