"""CycleGAN's generator: a picture in one style becomes one in another, or a mask becomes a picture (paper 002)."""

from __future__ import annotations

import torch
from torch import nn

from parfocal.core.errors import UsageError

_FACTOR = 4
_SMALLEST = 8


class Translator(nn.Module):
    """Two halvings, `blocks` residual blocks, two doublings; instance norm, reflection padding, ReLU.

    Zhu and others, Unpaired image-to-image translation using cycle-consistent adversarial networks, 2017
    (c7s1-W, d2W, d4W, R4W x blocks, u2W, uW, c7s1-out).

    Args:
        in_channels: of the picture or mask that is translated.
        out_channels: of what it becomes.
        width: channels of the first convolution, W; the paper has 64.
        blocks: residual blocks; the paper has 6 for 128 x 128 and 9 from 256 x 256 on.

    Shapes: float [N, in_channels, H, W] to logits [N, out_channels, H, W]; a picture or mask in [0, 1] is their
    sigmoid. (The paper's hyperbolic tangent is the same up to a scale, for pictures in [-1, 1].) Sides are multiples
    of 4 and at least 8, else UsageError.
    """

    def __init__(self, in_channels: int = 3, out_channels: int = 3, width: int = 64, blocks: int = 9) -> None:
        super().__init__()
        self.enter = nn.Sequential(
            nn.ReflectionPad2d(3),
            nn.Conv2d(in_channels, width, 7),
            *_normed(width),
            *_halving(width),
            *_halving(2 * width),
            *(_Block(4 * width) for _ in range(blocks)),
        )
        self.leave = nn.Sequential(
            *_doubling(4 * width),
            *_doubling(2 * width),
            nn.ReflectionPad2d(3),
            nn.Conv2d(width, out_channels, 7),
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        logits: torch.Tensor = self.leave(self.encode(x))
        return logits

    def encode(self, x: torch.Tensor) -> torch.Tensor:
        """Features after the last residual block, [N, 4 * width, H / 4, W / 4]."""
        height, width = x.shape[-2:]
        if height % _FACTOR or width % _FACTOR or min(height, width) < _SMALLEST:
            raise UsageError(
                f"a translator cannot take an image of {height} x {width}",
                expected=f"sides that are multiples of {_FACTOR}, and {_SMALLEST} or more",
                next="change recipe.size",
            )
        features: torch.Tensor = self.enter(x)
        return features

    def described(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Logits and, from the same pass, the spatial mean of the features [N, 4 * width]."""
        features = self.encode(x)
        return self.leave(features), features.mean((2, 3))


class _Block(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.ReflectionPad2d(1),
            nn.Conv2d(width, width, 3),
            *_normed(width),
            nn.ReflectionPad2d(1),
            nn.Conv2d(width, width, 3),
            nn.InstanceNorm2d(width),
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y: torch.Tensor = x + self.body(x)
        return y


def _normed(width: int) -> list[nn.Module]:
    return [nn.InstanceNorm2d(width), nn.ReLU(inplace=True)]


def _halving(width: int) -> list[nn.Module]:
    return [nn.Conv2d(width, 2 * width, 3, stride=2, padding=1), *_normed(2 * width)]


def _doubling(width: int) -> list[nn.Module]:
    return [
        nn.ConvTranspose2d(width, width // 2, 3, stride=2, padding=1, output_padding=1),
        *_normed(width // 2),
    ]
