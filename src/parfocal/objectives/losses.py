"""Losses on logits. All are computed in float32, also when the logits come in bfloat16."""

from __future__ import annotations

import torch
from torch.nn import functional

SMOOTH = 1.0
"""Pixels added above and below in the soft Dice: finite logarithm, and 1 for empty against empty."""


def bce(logits: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    """Mean binary cross entropy in nats; logits and target [N, 1, H, W], target in [0, 1]."""
    return functional.binary_cross_entropy_with_logits(logits.float(), target.float())


def soft_dice(logits: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    """Minus the logarithm of the soft Dice (paper 004), in nats, mean over images; [N, 1, H, W] both.

    The Dice of one image is (2 sum(p t) + 1) / (sum(p) + sum(t) + 1) with p = sigmoid(logits).
    """
    p = logits.float().sigmoid().flatten(1)
    t = target.float().flatten(1)
    dice = (2 * (p * t).sum(1) + SMOOTH) / (p.sum(1) + t.sum(1) + SMOOTH)
    return -dice.log().mean()


def bce_dice(logits: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    """Sum of `bce` and `soft_dice`."""
    return bce(logits, target) + soft_dice(logits, target)


def cross_entropy(logits: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    """Mean cross entropy in nats; logits [N, classes, H, W], target class indices [N, H, W]."""
    return functional.cross_entropy(logits.float(), target.long())
