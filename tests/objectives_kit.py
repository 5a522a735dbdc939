"""Batches and tiny networks for tests of objectives."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import nn

from parfocal.objectives import Batch


def batch(
    images: torch.Tensor | None = None,
    target: torch.Tensor | None = None,
    points: torch.Tensor | None = None,
    *,
    n: int = 2,
    side: int = 32,
    seed: int = 0,
) -> Batch:
    """Random pictures with a square in each and its centre, or what is given."""
    generator = torch.Generator().manual_seed(1)
    if images is None:
        images = torch.randint(0, 256, (n, 3, side, side), generator=generator) / 255
    if target is None:
        target = torch.zeros(len(images), *images.shape[2:], dtype=torch.uint8)
        target[:, side // 4 : side // 2, side // 4 : side // 2] = 1
    if points is None:
        points = torch.full((len(images), 2), 0.375)
    images = images.contiguous(memory_format=torch.channels_last)
    return Batch(images, target, points, np.random.default_rng(seed))


class Calls(nn.Module):
    """A network that is a function; it remembers what it saw, whether it was training, and whether with gradient."""

    def __init__(self, answer: Callable[[torch.Tensor], torch.Tensor]) -> None:
        super().__init__()
        self.answer = answer
        self.scale = nn.Parameter(torch.ones(()))
        self.seen: list[torch.Tensor] = []
        self.modes: list[tuple[bool, bool]] = []

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.seen.append(x.detach().clone())
        self.modes.append((self.training, torch.is_grad_enabled()))
        return self.answer(x) * self.scale


def always(logit: float | torch.Tensor, channels: int = 1) -> Calls:
    """The same logits whatever it sees, [N, channels, H, W]."""
    return Calls(lambda x: torch.as_tensor(logit).expand(len(x), channels, *x.shape[2:]))
