"""Supervised segmentation of one structure, or of several classes."""

from __future__ import annotations

import torch

from parfocal.objectives import SegmentLoss, losses


class Segment:
    """Compares logits with a mask.

    Args:
        loss: ``bce_dice`` (sum), ``bce`` or ``soft_dice`` for a one-channel head, ``cross_entropy`` for one channel a
            class.
    """

    def __init__(self, loss: SegmentLoss = "bce_dice") -> None:
        self.loss = loss

    def __call__(self, logits: torch.Tensor, target: torch.Tensor) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
        """The loss to minimise, float32 scalar, and its parts by name, detached.

        Args:
            logits: [N, C, H, W], any floating type.
            target: uint8 class index [N, H, W]; 0 and 1 for a one-channel head.
        """
        if self.loss == "cross_entropy":
            total = losses.cross_entropy(logits, target)
            return total, {"cross_entropy": total.detach()}
        mask = target.unsqueeze(1)
        names = ("bce", "soft_dice") if self.loss == "bce_dice" else (self.loss,)
        parts = {name: getattr(losses, name)(logits, mask) for name in names}
        total = torch.stack(list(parts.values())).sum()
        return total, {name: part.detach() for name, part in parts.items()}
