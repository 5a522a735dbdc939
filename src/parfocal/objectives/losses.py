"""Losses on logits, and the score that goes with them. All are computed in float32, also for logits in bfloat16.

A target is a class index, 255 (`UNKNOWN`) where nobody labelled. Such pixels are left out: a loss is that of the same
picture without them, and a batch without any label costs 0, connected to the graph. Where there are several classes a
target may also say that a pixel is of one of some of them (`parfocal.preprocessing.classes`).
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional

from parfocal.core.errors import UsageError
from parfocal.objectives import UNKNOWN, Parts, SegmentLoss
from parfocal.preprocessing.classes import POSSIBLE

SMOOTH = 1.0
"""Pixels added above and below in the soft Dice: finite logarithm, and 1 for empty against empty."""


def bce(logits: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    """Mean binary cross entropy of the labelled pixels, in nats; [N, 1, H, W] both, target in [0, 1] or `UNKNOWN`."""
    t, known = _labelled(target)
    each = functional.binary_cross_entropy_with_logits(logits.float(), t, weight=known, reduction="none")
    return each.sum() / known.sum().clamp(min=1)


def soft_dice(logits: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    """Minus the logarithm of the soft Dice (paper 004), in nats, mean over images; [N, 1, H, W] both.

    The Dice of one image is (2 sum(p t) + 1) / (sum(p) + sum(t) + 1) with p = sigmoid(logits), over labelled pixels;
    images without any are left out of the mean.
    """
    return _minus_log_dice(logits, target, 1)


def soft_dice_squared(logits: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    """As `soft_dice`, with squares below: (2 sum(p t) + 1) / (sum(p^2) + sum(t^2) + 1) (V-Net; paper 003's measure)."""
    return _minus_log_dice(logits, target, 2)


def bce_dice(logits: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    """Sum of `bce` and `soft_dice`."""
    return bce(logits, target) + soft_dice(logits, target)


def cross_entropy(logits: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    """Mean cross entropy of the labelled pixels, in nats; logits [N, classes, H, W], target [N, H, W].

    A pixel that is of one of several classes costs -log of the sum of their softmax probabilities: the marginal
    likelihood of what was said (Fang and Yan 2020, Shi and others 2021), which favours none of them.
    """
    z, allowed = logits.float(), possible(target, logits.shape[1])
    known = ~allowed.all(1)
    total = torch.logsumexp(z, 1) - torch.logsumexp(z.masked_fill(~allowed, -torch.inf), 1)
    return (total * known).sum() / known.sum().clamp(min=1)


_OF_ONE_CHANNEL = {"bce": bce, "soft_dice": soft_dice, "soft_dice_squared": soft_dice_squared}


def supervised(name: SegmentLoss, logits: torch.Tensor, target: torch.Tensor) -> tuple[torch.Tensor, Parts]:
    """The loss of that name, float32 scalar, and its parts by name, detached.

    Args:
        name: ``bce_dice`` is the sum of two parts; the others have themselves as their part.
        logits: [N, C, H, W], any floating type.
        target: uint8 class index [N, H, W]; 0 and 1 for a one-channel head, `UNKNOWN` where nobody labelled.
    """
    if name == "cross_entropy":
        total = cross_entropy(logits, target)
        return total, {name: total.detach()}
    mask = target.unsqueeze(1)
    names = ("bce", "soft_dice") if name == "bce_dice" else (name,)
    parts = {part: _OF_ONE_CHANNEL[part](logits, mask) for part in names}
    total = torch.stack(list(parts.values())).sum()
    return total, {part: value.detach() for part, value in parts.items()}


def dice_of_cases(logits: torch.Tensor, target: torch.Tensor) -> NDArray[np.float64]:
    """Dice of each case over its labelled pixels, [N]; nan for a case without any, 1 for empty against empty.

    A one-channel head says 1 where its probability is at least one half; any other says the likeliest class, and the
    Dice is the mean over its classes but 0, the background.
    """
    known = target != UNKNOWN
    classes = (logits[:, 0] >= 0).long() if logits.shape[1] == 1 else logits.argmax(1)
    scores = [dice((classes == value) & known, target == value) for value in range(1, max(2, logits.shape[1]))]
    mean = torch.stack(scores).mean(0).masked_fill(~known.flatten(1).any(1), torch.nan)
    return mean.cpu().numpy()


def dice(found: torch.Tensor, true: torch.Tensor) -> torch.Tensor:
    """Dice of each case [N] between bool masks [N, H, W]; 1 for empty against empty."""
    total = (found.flatten(1).sum(1) + true.flatten(1).sum(1)).double()
    both = 2.0 * (found & true).flatten(1).sum(1).double()
    return torch.where(total > 0, both / total.clamp(min=1), 1.0)


def possible(target: torch.Tensor, classes: int) -> torch.Tensor:
    """Which classes a target [N, H, W] allows, bool [N, classes, H, W]."""
    table = torch.from_numpy(POSSIBLE[:, :classes].copy()).to(target.device)
    return table[target.long()].movedim(-1, 1)


def one_structure(loss: SegmentLoss, objective: str) -> SegmentLoss:
    """The same loss, for an objective that needs a head of one channel.

    Raises:
        UsageError: the loss is that of one channel a class.
    """
    if loss == "cross_entropy":
        raise UsageError(
            f"the objective '{objective}' segments one structure",
            where="train.loss",
            expected="bce_dice, bce or soft_dice",
            next="train one structure at a time, or use the objective 'segment'",
        )
    return loss


def _minus_log_dice(logits: torch.Tensor, target: torch.Tensor, power: int) -> torch.Tensor:
    t, known = _labelled(target)
    p, t, known = (x.flatten(1) for x in (logits.float().sigmoid() * known, t, known))
    sizes = p.pow(power).sum(1) + t.pow(power).sum(1)
    dice = (2 * (p * t).sum(1) + SMOOTH) / (sizes + SMOOTH)
    # An image without a labelled pixel has a Dice of 1 / 1, so it adds nothing above.
    return -dice.log().sum() / known.amax(1).sum().clamp(min=1)


def _labelled(target: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """The target as float32 with 0 where it is unknown, and 1 where it is known."""
    known = target != UNKNOWN
    return (target * known).float(), known.float()
