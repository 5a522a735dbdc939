"""Interactive segmentation by clicks (paper 003, after Sakinis and others 2019): a training that clicks by itself."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field

from parfocal.augmentation import clicks
from parfocal.augmentation.clicks import Click
from parfocal.core.config import Config
from parfocal.objectives import MAIN, UNKNOWN, Batch, Networks, OneNetwork, Parts, SegmentLoss, losses
from parfocal.objectives.passes import predicting

Mask = NDArray[np.bool_]
Masks = NDArray[np.bool_]
"""[H, W], and [N, H, W]."""


class InteractSettings(Config):
    """How a person is imitated."""

    max_clicks: int = Field(default=5, ge=1, description="each picture gets 1 to this many clicks (paper 003: 5)")
    sigma: float = Field(
        default=clicks.SIGMA, gt=0, description="Gaussian that a click becomes, in pixels of the network's frame"
    )
    background_share: float = Field(
        default=0.1,
        ge=0,
        le=1,
        description="part of the training pictures whose truth becomes all background, so that a click counts more "
        "than a known shape (paper 003 does so at random and gives no rate)",
    )
    begun: float = Field(
        default=0.5,
        ge=0,
        le=1,
        description="part of the training pictures whose dialogue begins with a wrong mask that is there already, as a "
        "model's proposal is, and whose first click is in its largest error (paper 003: 0); nothing without `previous`",
    )
    previous: bool = Field(
        default=True,
        description="the network sees its answer to the clicks before the last (paper 003's future work); else zeros",
    )


class Interact(OneNetwork):
    """The supervised loss of the last answer in a dialogue of clicks.

    Each picture gets 1 to `max_clicks` clicks, the number drawn evenly: the first on the object's innermost point
    (background, anywhere, where there is no object), each later one in the largest error of the network's answer to
    the clicks before, in evaluation mode and without gradient; a right answer ends the dialogue. Then comes the pass
    that trains. On average that is `(max_clicks - 1) / 2` passes forward a picture beside the one that trains.

    A part of the dialogues begins with a mask instead, the truth distorted (`augmentation.clicks.wrong`), and its first
    click is a correction: networks that only know clicks from the first one on lose what they are shown (Sofiiuk and
    others, Reviving iterative training with mask guidance for interactive segmentation, 2021, for the same reason).

    Nobody clicks on what nobody labelled, and a picture without labels counts nothing.

    Networks: the main one, one channel out and six in: BGR, object clicks, background clicks, previous probability.
    Logs: the parts of the supervised loss, and ``clicks``, their mean number a picture.

    Raises:
        UsageError: a loss that needs one channel a class.
    """

    Settings: ClassVar[type[Config]] = InteractSettings
    score_name: ClassVar[str] = "dice"
    inputs: ClassVar[int] = 3
    outputs: ClassVar[Literal["mask", "image", "point"]] = "mask"

    def __init__(self, settings: InteractSettings, loss: SegmentLoss = "bce_dice") -> None:
        self.settings = settings
        self.supervised = losses.one_structure(loss, "interact")

    def loss(self, player: str, networks: Networks, batch: Batch) -> tuple[torch.Tensor, Parts]:  # noqa: ARG002
        emptied = batch.rng.random(len(batch.images)) < self.settings.background_share
        counts = batch.rng.integers(1, self.settings.max_clicks, len(batch.images), endpoint=True)
        empty = torch.from_numpy(emptied).to(batch.target.device)[:, None, None] & (batch.target != UNKNOWN)
        target = batch.target.masked_fill(empty, 0)
        begun = self._begun(batch)
        made, previous = self._dialogue(networks, batch, target, counts, begun)
        total, parts = losses.supervised(
            self.supervised, networks[MAIN](self._input(batch.images, made, previous)), target
        )
        mean = total.new_tensor(sum(map(len, made)) / max(1, len(made)))
        return total, parts | {"clicks": mean}

    def score(self, networks: Networks, batch: Batch) -> NDArray[np.float64]:
        """Dice of each case with one click (paper 003), on the innermost point; see `losses.dice_of_cases`."""
        made = [[clicks.first(mask)] for mask in _objects(batch.target)]
        logits = networks[MAIN](self._input(batch.images, made, torch.zeros_like(batch.images[:, :1])))
        return losses.dice_of_cases(logits, batch.target)

    def _begun(self, batch: Batch) -> dict[int, Mask]:
        """Wrong masks [S, S] that dialogues begin with, by the picture's place in the batch."""
        if not (self.settings.begun and self.settings.previous):
            return {}
        chosen = np.flatnonzero(batch.rng.random(len(batch.images)) < self.settings.begun)
        truth = _objects(batch.target)
        return {int(i): clicks.wrong(truth[i], batch.rng) for i in chosen if truth[i].any()}

    def _dialogue(
        self,
        networks: Networks,
        batch: Batch,
        target: torch.Tensor,
        counts: NDArray[np.int64],
        begun: Mapping[int, Mask],
    ) -> tuple[list[list[Click]], torch.Tensor]:
        """The clicks of each picture, and the probabilities [N, 1, S, S] before the last of them."""
        truth, known = _objects(target), (target != UNKNOWN).cpu().numpy()
        made = [[] if i in begun else [clicks.first(mask, batch.rng)] for i, mask in enumerate(truth)]
        previous = torch.zeros_like(batch.images[:, :1])
        for i, mask in begun.items():
            previous[i, 0] = torch.from_numpy(mask).to(previous)
            correction = clicks.following(truth[i], mask & known[i])
            made[i] += [] if correction is None else [correction]
        going = [i for i, count in enumerate(counts) if count > 1]
        with predicting(networks[MAIN]):
            while going:
                at = torch.tensor(going, device=previous.device)
                seen = self._input(batch.images[at], [made[i] for i in going], previous[at])
                probability = networks[MAIN](seen).float().sigmoid()
                answers = (probability[:, 0] >= 0.5).cpu().numpy()
                found = {row: clicks.following(truth[i], answers[row] & known[i]) for row, i in enumerate(going)}
                clicked = {row: click for row, click in found.items() if click is not None}
                for row, click in clicked.items():
                    made[going[row]].append(click)
                rows = list(clicked)
                previous[at[rows]] = probability[rows]
                going = [going[row] for row in rows if len(made[going[row]]) < counts[going[row]]]
        return made, previous

    def _input(self, images: torch.Tensor, made: list[list[Click]], previous: torch.Tensor) -> torch.Tensor:
        """BGR, object clicks, background clicks, previous probability: float32 [N, 6, S, S], channels-last."""
        height, width = images.shape[-2:]
        maps = np.stack([clicks.encode(some, height, width, self.settings.sigma) for some in made])
        seen = previous if self.settings.previous else torch.zeros_like(previous)
        stacked = torch.cat([images, torch.from_numpy(maps).to(images.device), seen], 1)
        return stacked.contiguous(memory_format=torch.channels_last)


def _objects(target: torch.Tensor) -> Masks:
    return (target == 1).cpu().numpy()
