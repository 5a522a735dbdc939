"""CycleGAN, semi-supervised (paper 002, section 4.3; Zhu and others 2017): images to masks and masks to images."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field
from torch.nn import functional

from parfocal.core.config import Config
from parfocal.models import ModelSpec
from parfocal.objectives import MAIN, UNKNOWN, Batch, Networks, Parts, Player, SegmentLoss, losses
from parfocal.objectives.passes import untracked

TRANSLATOR, MASK_CRITIC, IMAGE_CRITIC = "translator", "mask_critic", "image_critic"
_CRITICS = "critics"


class CycleSettings(Config):
    """Weights of the terms; all are means over pixels of pictures and masks in [0, 1]."""

    supervised: float = Field(default=1.0, ge=0, description="of train.loss between mask and truth, where labelled")
    translated: float = Field(
        default=0.0,
        ge=0,
        description="of the mean absolute difference between an image and the one made of its true mask; 0, as a mask "
        "does not say what its image looks like, and the adversarial term does not ask for the average",
    )
    adversarial: float = Field(default=1.0, ge=0, description="of each critic's least squares (CycleGAN: 1)")
    cycle: float = Field(default=10.0, ge=0, description="of each way there and back, mean absolute (CycleGAN: 10)")
    width: int = Field(
        default=64, ge=1, description="channels of the first convolution of translator and critics (CycleGAN: 64)"
    )
    blocks: int = Field(default=9, ge=1, description="residual blocks of the translator (CycleGAN: 9; 6 below 256 px)")
    critic_rate: float = Field(default=1.0, gt=0, description="critics' learning rate, relative to train.learning_rate")


class Cycle:
    """Two generators, two patch critics, and terms that need no pairs beside one that does.

    With x the images, y the masks of those that are labelled throughout, G the main network with its sigmoid and F the
    translator, the generators together minimise

        supervised * train.loss(G(x), truth)  +  translated * |F(y) - x|
        + adversarial * ((D_mask(G(x)) - 1)^2 + (D_image(F(y)) - 1)^2)
        + cycle * (|F(G(x)) - x| + |G(F(y)) - y|)

    and then the critics together ``((D(real) - 1)^2 + D(fake)^2) / 2`` each (least squares, Mao and others 2017). Each
    optimiser has its own networks; the code published with paper 002 trains one generator with another's.

    An image that nobody labelled takes part in everything but the supervised term; one that is labelled in part takes
    part in that where it is labelled, and gives no mask to the critic. Without a mask in the batch, terms of y are 0.

    Two departures from CycleGAN: no history of 50 fakes for the critics, so that a step depends on the weights and its
    batch alone; and the main network's batch norms leave the images that F made out of their statistics.

    Networks: the main one with one channel, ``translator`` (mask to image), ``mask_critic``, ``image_critic``. Logs:
    the supervised parts; ``translated``, ``adversarial_mask``, ``adversarial_image``, ``cycle_image``, ``cycle_mask``
    (before their weights, 0 where a batch has no mask); of the critics ``critic_mask`` and ``critic_image``.

    Raises:
        UsageError: a loss that needs one channel a class.
    """

    Settings: ClassVar[type[Config]] = CycleSettings
    score_name: ClassVar[str] = "dice"
    inputs: ClassVar[int] = 0
    outputs: ClassVar[Literal["mask", "image", "point"]] = "mask"

    def __init__(self, settings: CycleSettings, loss: SegmentLoss = "bce_dice") -> None:
        self.settings = settings
        self.supervised = losses.one_structure(loss, "cycle")

    def networks(self) -> Mapping[str, ModelSpec]:
        size = {"width": self.settings.width}
        there = {"in_channels": 1, "out_channels": 3, "blocks": self.settings.blocks}
        return {
            TRANSLATOR: ModelSpec(name="translator", parameters=there | size),
            MASK_CRITIC: ModelSpec(name="patch_critic", parameters={"in_channels": 1} | size),
            IMAGE_CRITIC: ModelSpec(name="patch_critic", parameters={"in_channels": 3} | size),
        }

    def players(self) -> Mapping[str, Player]:
        critics = Player((MASK_CRITIC, IMAGE_CRITIC), self.settings.critic_rate)
        return {"generators": Player((MAIN, TRANSLATOR)), _CRITICS: critics}

    def loss(self, player: str, networks: Networks, batch: Batch) -> tuple[torch.Tensor, Parts]:
        return self._critics(networks, batch) if player == _CRITICS else self._generators(networks, batch)

    def score(self, networks: Networks, batch: Batch) -> NDArray[np.float64]:
        """Dice of each case; see `losses.dice_of_cases`."""
        return losses.dice_of_cases(networks[MAIN](batch.images), batch.target)

    def _generators(self, networks: Networks, batch: Batch) -> tuple[torch.Tensor, Parts]:
        own, x = self.settings, batch.images
        logits = networks[MAIN](x)
        total, parts = losses.supervised(self.supervised, logits, batch.target)
        mask = logits.float().sigmoid()
        terms = {
            "adversarial_mask": _squares(networks[MASK_CRITIC](mask), 1.0),
            "cycle_image": functional.l1_loss(_image(networks, mask), x),
        } | self._from_masks(networks, batch)
        weights = {
            "translated": own.translated,
            "adversarial_mask": own.adversarial,
            "adversarial_image": own.adversarial,
            "cycle_image": own.cycle,
            "cycle_mask": own.cycle,
        }
        weighted = [weights[name] * term for name, term in terms.items()]
        logged = {name: terms[name].detach() for name in weights}
        return torch.stack([own.supervised * total, *weighted]).sum(), parts | logged

    def _from_masks(self, networks: Networks, batch: Batch) -> dict[str, torch.Tensor]:
        """The terms that begin with a true mask."""
        masks, images, counts = _true_masks(batch)
        image = _image(networks, masks)
        with untracked(networks[MAIN]):
            back = networks[MAIN](image).float().sigmoid()
        return {
            "translated": counts * functional.l1_loss(image, images),
            "adversarial_image": counts * _squares(networks[IMAGE_CRITIC](image), 1.0),
            "cycle_mask": counts * functional.l1_loss(back, masks),
        }

    def _critics(self, networks: Networks, batch: Batch) -> tuple[torch.Tensor, Parts]:
        masks, _, counts = _true_masks(batch)
        with torch.no_grad(), untracked(networks[MAIN]):
            mask = networks[MAIN](batch.images).float().sigmoid()
            image = _image(networks, masks)
        on_masks, on_images = networks[MASK_CRITIC], networks[IMAGE_CRITIC]
        parts = {
            "critic_mask": (counts * _squares(on_masks(masks), 1.0) + _squares(on_masks(mask), 0.0)) / 2,
            "critic_image": (_squares(on_images(batch.images), 1.0) + counts * _squares(on_images(image), 0.0)) / 2,
        }
        return torch.stack(list(parts.values())).sum(), {name: part.detach() for name, part in parts.items()}


def _true_masks(batch: Batch) -> tuple[torch.Tensor, torch.Tensor, float]:
    """Masks that are labelled throughout, float32 [M, 1, S, S] in {0, 1}, their images, and how much they count: 1.

    A batch without any gives an empty one that counts 0, so that every process of a training makes the same passes:
    each has to take part when gradients are averaged.
    """
    whole = (batch.target != UNKNOWN).flatten(1).all(1)
    if not whole.any():
        return torch.zeros_like(batch.images[:1, :1]), batch.images[:1], 0.0
    return batch.target[whole].unsqueeze(1).float(), batch.images[whole], 1.0


def _image(networks: Networks, mask: torch.Tensor) -> torch.Tensor:
    """What the translator makes of masks [N, 1, S, S]: float32 [N, 3, S, S] in [0, 1]."""
    image: torch.Tensor = networks[TRANSLATOR](mask).float().sigmoid()
    return image


def _squares(judged: torch.Tensor, goal: float) -> torch.Tensor:
    return (judged.float() - goal).square().mean()
