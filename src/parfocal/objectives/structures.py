"""Losses and scores of one network that tells several structures apart: each structure is a sum of its channels.

Targets are labels of `parfocal.preprocessing.classes`; a pixel whose label leaves a structure open is, for that
structure, one that nobody labelled.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from parfocal.objectives import UNKNOWN, Parts, SegmentLoss, losses


def logits_of(logits: torch.Tensor, channels: Sequence[int]) -> torch.Tensor:
    """Logit [N, 1, H, W] whose sigmoid is the sum of the softmax over [N, classes, H, W] in these channels."""
    z = logits.float()
    others = [k for k in range(z.shape[1]) if k not in channels]
    return (torch.logsumexp(z[:, list(channels)], 1) - torch.logsumexp(z[:, others], 1)).unsqueeze(1)


def target_of(target: torch.Tensor, channels: Sequence[int], classes: int) -> torch.Tensor:
    """What a target [N, H, W] says of a structure, uint8 [N, 1, H, W]: 1, 0, or `UNKNOWN` where it leaves that open."""
    possible = losses.possible(target, classes)
    within = possible[:, list(channels)].any(1)
    beyond = possible[:, [k for k in range(classes) if k not in channels]].any(1)
    found = within.to(torch.uint8).masked_fill(within & beyond, UNKNOWN)
    return found.unsqueeze(1)


def supervised(
    name: SegmentLoss, logits: torch.Tensor, target: torch.Tensor, groups: Sequence[Sequence[int]]
) -> tuple[torch.Tensor, Parts]:
    """The loss of that name for a network of several structures, float32 scalar, and its parts, detached.

    ``cross_entropy`` is over the classes. The others are over one structure, whose probability is the sum of its
    channels: their mean over the structures counts.

    Args:
        logits: [N, classes, H, W], any floating type.
        target: uint8 [N, H, W].
        groups: the channels of each structure.
    """
    if name == "cross_entropy":
        return losses.supervised(name, logits, target)
    parts: Parts = {}
    total = logits.new_zeros((), dtype=torch.float32)
    for channels in groups:
        mask = target_of(target, channels, logits.shape[1]).squeeze(1)
        one, found = losses.supervised(name, logits_of(logits, channels), mask)
        total = total + one / len(groups)
        for part, value in found.items():
            parts[part] = parts.get(part, 0.0) + value / len(groups)
    return total, parts


def dice_of_cases(logits: torch.Tensor, target: torch.Tensor, groups: Sequence[Sequence[int]]) -> NDArray[np.float64]:
    """Dice of each structure of each case, [N, structures]; nan where the case leaves any of its pixels open.

    A pixel is found where the structure's channels have at least half of the probability. Pixels without any label are
    left out; 1 for empty against empty.

    Args:
        logits, target, groups: as for `supervised`.
    """
    known = target != UNKNOWN
    scores = []
    for channels in groups:
        truth = target_of(target, channels, logits.shape[1])[:, 0]
        found = logits_of(logits, channels)[:, 0] >= 0
        decided = known.flatten(1).any(1) & ~((truth == UNKNOWN) & known).flatten(1).any(1)
        scores.append(losses.dice(found & known, truth == 1).masked_fill(~decided, torch.nan))
    return torch.stack(scores, 1).cpu().numpy()
