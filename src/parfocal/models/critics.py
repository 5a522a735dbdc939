"""Networks that judge masks or pictures: one number for the whole (paper 002, LGAN), or one a patch (CycleGAN)."""

from __future__ import annotations

from itertools import pairwise
from typing import Literal

import torch
from torch import nn
from torch.nn import functional

from parfocal.core.errors import UsageError

Norm = Literal["layer", "batch", "none"]
_SLOPE = 0.2
"""Of the leaky ReLU below zero."""


class LganCritic(nn.Module):
    """A contracting network whose mean over real minus mean over predicted masks estimates the earth mover's distance.

    Tan and others, LGAN: lung segmentation in CT scans using generative adversarial network, 2019. Convolutions of
    3 x 3 with stride 2 (W, W, 2W, 4W channels, as in paper 002), norm, leaky ReLU; the last map is averaged over
    grid x grid fields, which takes any size of picture; two fully connected layers without a final activation.

    Args:
        in_channels: of the mask, or of picture and mask stacked.
        width: channels of the first convolution, W.
        norm: ``layer`` over one case's channels and pixels, so no case's score depends on its batch, as an earth
            mover's critic needs it; ``batch`` as in paper 002's code; ``none``. The first convolution has none.
        hidden: neurons of the first fully connected layer.
        grid: fields a side.

    Shapes: float [N, in_channels, H, W] to [N, 1], unbounded; sides of 16 or more, else UsageError.
    """

    def __init__(
        self, in_channels: int = 4, width: int = 64, norm: Norm = "layer", hidden: int = 1024, grid: int = 4
    ) -> None:
        super().__init__()
        widths = (in_channels, width, width, 2 * width, 4 * width)
        layers: list[nn.Module] = []
        for index, (inputs, outputs) in enumerate(pairwise(widths)):
            layers.append(nn.Conv2d(inputs, outputs, 3, stride=2, padding=1))
            if index and norm != "none":
                layers.append(nn.BatchNorm2d(outputs) if norm == "batch" else nn.GroupNorm(1, outputs))
            layers.append(nn.LeakyReLU(_SLOPE, inplace=True))
        self.body = nn.Sequential(*layers)
        self.grid = grid
        self.head = nn.Sequential(
            nn.Linear(widths[-1] * grid**2, hidden), nn.LeakyReLU(_SLOPE, inplace=True), nn.Linear(hidden, 1)
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        _at_least(x, 16, "this critic")
        pooled = functional.adaptive_avg_pool2d(self.body(x), self.grid)
        score: torch.Tensor = self.head(pooled.flatten(1))
        return score


class PatchCritic(nn.Module):
    """Says of each overlapping patch how real it looks; with three layers a patch is 70 x 70 pixels.

    Isola and others, Image-to-image translation with conditional adversarial networks, 2017. Convolutions of 4 x 4,
    the first `layers` with stride 2 and one more with stride 1, doubling from `width` to at most eight times it;
    instance norm but for the first; leaky ReLU; one channel out, without activation.

    Shapes: float [N, in_channels, H, W] to [N, 1, h, w], unbounded, with h = H // 2**layers - 2; sides of
    3 * 2 ** layers or more, else UsageError.
    """

    def __init__(self, in_channels: int = 3, width: int = 64, layers: int = 3) -> None:
        super().__init__()
        self.smallest = 3 * 2**layers
        widths = (in_channels, *(width * min(2**k, 8) for k in range(layers + 1)))
        modules: list[nn.Module] = []
        for index, (inputs, outputs) in enumerate(pairwise(widths)):
            modules.append(nn.Conv2d(inputs, outputs, 4, stride=2 if index < layers else 1, padding=1))
            if index:
                modules.append(nn.InstanceNorm2d(outputs))
            modules.append(nn.LeakyReLU(_SLOPE, inplace=True))
        self.body = nn.Sequential(*modules)
        self.head = nn.Conv2d(widths[-1], 1, 4, padding=1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        _at_least(x, self.smallest, "a patch critic of this depth")
        scores: torch.Tensor = self.head(self.body(x))
        return scores


def _at_least(x: torch.Tensor, side: int, who: str) -> None:
    height, width = x.shape[-2:]
    if min(height, width) < side:
        raise UsageError(
            f"{who} cannot judge an image of {height} x {width}",
            expected=f"sides of {side} pixels or more",
            next="raise recipe.size, or give the critic fewer layers",
        )
