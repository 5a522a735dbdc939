"""LGAN (paper 002; Tan and others 2019): a critic measures how far the predicted masks are from the true ones."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field

from parfocal.core.config import Config
from parfocal.models import ModelSpec
from parfocal.objectives import MAIN, UNKNOWN, Batch, Networks, Parts, Player, SegmentLoss, losses
from parfocal.objectives.passes import untracked

CRITIC = "critic"
_CHANNELS = {"mask": 1, "product": 3, "concat": 4}
_FLOOR = 0.01
"""Root mean square, in parts of full scale, below which two masks count as this far apart: no division by nothing."""


class AdversarialSettings(Config):
    """What the critic is, and how much its word counts."""

    weight: float = Field(
        default=1.0,
        ge=0,
        description="of |E D(fake) - E D(real)| beside the supervised loss; paper 002 adds it as it is",
    )
    critic: Literal["lgan", "patch"] = Field(
        default="lgan",
        description="one number a picture (LGAN), or one a patch, averaged (PatchGAN; paper 002's future)",
    )
    sees: Literal["mask", "product", "concat"] = Field(
        default="concat",
        description="the critic's input: the mask alone, image times mask, or image and mask as channels (LGAN offers "
        "all three; in a product a dark structure, such as a lung, hides its mask)",
    )
    penalty: float = Field(
        default=10.0, ge=0, description="weight of the critic's excess slope, squared (Gulrajani and others 2017: 10)"
    )
    width: int = Field(default=64, ge=1, description="channels of the critic's first convolution (64 in both papers)")
    critic_rate: float = Field(default=1.0, gt=0, description="critic's learning rate, relative to train.learning_rate")


class Adversarial:
    """Supervised segmentation, and a critic D that the predicted masks must not differ for.

    Critic, first in each step: minimise ``E D(fake) - E D(real) + penalty * E max(0, slope - 1)^2``, so that
    ``E D(real) - E D(fake)`` becomes the earth mover's distance (Kantorovich's dual: D may not be steeper than 1).
    Then the main network: minimise ``supervised + weight * |E D(fake) - E D(real)|``.

    The slope is D's difference over the masks' root mean square difference, between a fake, its truth and one place
    on the way, drawn from the batch's generator; it is penalised on the upper side alone (Petzka and others 2018). So
    the distance is in parts of full scale, in [0, 1] whatever the picture's size, beside a cross entropy of about
    that size. Chosen over clipping the weights, which would change them behind the optimiser's back and needs a bound
    for each architecture; and over the slope's usual form, the gradient, which must be differentiated twice.

    A fake is the sigmoid of the logits. Pixels that nobody labelled are 0 in fakes and truths.

    Networks: the main one with one channel, and ``critic``. Logs: the parts of the supervised loss and
    ``adversarial``, |E D(fake) - E D(real)|, in parts of full scale; of the critic ``distance`` (E D(real) -
    E D(fake)) and ``penalty``, before its weight.

    Raises:
        UsageError: a loss that needs one channel a class.
    """

    Settings: ClassVar[type[Config]] = AdversarialSettings
    score_name: ClassVar[str] = "dice"
    inputs: ClassVar[int] = 0
    outputs: ClassVar[Literal["mask", "image", "point"]] = "mask"

    def __init__(self, settings: AdversarialSettings, loss: SegmentLoss = "bce_dice") -> None:
        self.settings = settings
        self.supervised = losses.one_structure(loss, "adversarial")

    def networks(self) -> Mapping[str, ModelSpec]:
        size = {"in_channels": _CHANNELS[self.settings.sees], "width": self.settings.width}
        return {CRITIC: ModelSpec(name=f"{self.settings.critic}_critic", parameters=size)}

    def players(self) -> Mapping[str, Player]:
        return {CRITIC: Player((CRITIC,), self.settings.critic_rate), MAIN: Player((MAIN,))}

    def loss(self, player: str, networks: Networks, batch: Batch) -> tuple[torch.Tensor, Parts]:
        return self._critic(networks, batch) if player == CRITIC else self._generator(networks, batch)

    def score(self, networks: Networks, batch: Batch) -> NDArray[np.float64]:
        """Dice of each case; see `losses.dice_of_cases`."""
        return losses.dice_of_cases(networks[MAIN](batch.images), batch.target)

    def _generator(self, networks: Networks, batch: Batch) -> tuple[torch.Tensor, Parts]:
        logits = networks[MAIN](batch.images)
        total, parts = losses.supervised(self.supervised, logits, batch.target)
        if not self.settings.weight:
            return total, parts
        fake, real = _masks(logits, batch.target)
        judged = self._judge(networks, batch.images, fake, real)
        difference = (judged[0].mean() - judged[1].mean()).abs()
        return total + self.settings.weight * difference, parts | {"adversarial": difference.detach()}

    def _critic(self, networks: Networks, batch: Batch) -> tuple[torch.Tensor, Parts]:
        with torch.no_grad(), untracked(networks[MAIN]):
            fake, real = _masks(networks[MAIN](batch.images), batch.target)
        way = torch.from_numpy(batch.rng.random((len(fake), 1, 1, 1), np.float32)).to(fake.device)
        between = torch.lerp(fake, real, way)
        d_fake, d_real, d_between = self._judge(networks, batch.images, fake, real, between)
        distance = d_real.mean() - d_fake.mean()
        apart = (real - fake).square().mean((1, 2, 3)).sqrt()
        # Of the two ends the farther one: over a very short way, rounding would be read as a slope.
        part = torch.maximum(way.flatten(), 1 - way.flatten())
        end = torch.where(way.flatten() > 0.5, d_fake, d_real)
        slopes = torch.cat([_slope(d_real - d_fake, apart), _slope(d_between - end, part * apart)])
        penalty = (slopes - 1).clamp(min=0).square().mean()
        parts = {"distance": distance.detach(), "penalty": penalty.detach()}
        return self.settings.penalty * penalty - distance, parts

    def _judge(self, networks: Networks, images: torch.Tensor, *masks: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """D of each of the masks, float32 [N] each; one pass, so that all are normalised by the same statistics."""
        seen = torch.cat([self._seen(images, mask) for mask in masks])
        return networks[CRITIC](seen).float().flatten(1).mean(1).chunk(len(masks))  # type: ignore[no-any-return]

    def _seen(self, images: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        if self.settings.sees == "mask":
            return mask
        return images * mask if self.settings.sees == "product" else torch.cat([images, mask], 1)


def _masks(logits: torch.Tensor, target: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Predicted and true mask, float32 [N, 1, S, S] in [0, 1]."""
    truth = target.unsqueeze(1)
    known = truth != UNKNOWN
    return logits.float().sigmoid() * known, (truth * known).float()


def _slope(difference: torch.Tensor, apart: torch.Tensor) -> torch.Tensor:
    return difference.abs() / apart.clamp(min=_FLOOR)
