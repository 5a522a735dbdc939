"""Dark experience replay with labels (DER++): exemplars are rehearsed by their labels and by what was said of them.

Buzzega and others, Dark experience for general continual learning: a strong, simple baseline, 2020.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar

import numpy as np
import torch
from pydantic import Field
from torch import nn

from parfocal.core.config import Config
from parfocal.memory.sampler import Source
from parfocal.objectives import Batch, Objective
from parfocal.objectives.passes import untracked
from parfocal.preprocessing.shards import Arrays
from parfocal.strategies import Champion, Need
from parfocal.strategies.base import Base, StrategySettings, mixed
from parfocal.strategies.extended import Pass, extended


class DarkExperienceSettings(StrategySettings):
    """How the past is rehearsed."""

    new_share: float = Field(
        default=0.5, gt=0, le=1, description="part of a batch from the new instrument; the others share the rest evenly"
    )
    alpha: float = Field(default=0.1, ge=0, description="of the mean squared distance of logits (the paper: 0.1 to 1)")
    rehearsed: int = Field(default=4, ge=1, description="exemplars a step whose logits are compared")


class DarkExperience(Base):
    """``loss(new and labelled exemplars) + alpha mean (h(x') - z')^2``, x' exemplars with the logits z' said of them.

    The labelled exemplars are in the batch, where their part is the paper's beta. x' are drawn apart from them, as in
    the paper, evenly over all exemplars; they are replayed without augmentation, because z' belongs to the picture as
    it is: a warped z' would be interpolated, and what a warp brings in from outside nobody ever answered. Their pass
    normalises by its own statistics and leaves no trace in the running ones.

    z' is kept in the memory from when the exemplar was; an exemplar without is answered by the champion.
    """

    Settings: ClassVar[type[Config]] = DarkExperienceSettings
    needs: ClassVar[frozenset[Need]] = frozenset({"logits"})
    settings: DarkExperienceSettings

    def mixture(self, instrument: str, new: Arrays, past: Mapping[str, Arrays]) -> tuple[Source, ...]:
        """As for replay."""
        return mixed(instrument, new, past, self.settings.new_share)

    def statistics(self, instrument: str, new: Arrays, past: Mapping[str, Arrays]) -> tuple[Source, ...]:
        """What it was trained on."""
        return self.mixture(instrument, new, past)

    def objective(self, base: Objective, champion: Champion) -> Objective:
        """`base` and the comparison of logits, logged as ``logits``; `base` alone where no exemplar is kept."""
        names = sorted(champion.exemplars)
        if not names:
            return base
        images = np.concatenate([champion.exemplars[name].image for name in names])
        answers = np.concatenate([champion.logits[name] for name in names])

        def term(network: nn.Module, passes: Sequence[Pass], batch: Batch) -> torch.Tensor:  # noqa: ARG001
            rows = batch.rng.permutation(len(images))[: self.settings.rehearsed]
            device = batch.images.device
            with untracked(network):
                logits = network(champion.inputs(images[rows], device))
            return self.settings.alpha * logit_distance(logits, torch.from_numpy(answers[rows]).to(device))

        return extended(base, "logits", term)


def logit_distance(logits: torch.Tensor, kept: torch.Tensor) -> torch.Tensor:
    """Mean over pictures, channels and pixels of ``(h - z)^2``, a float32 scalar; [N, C, S, S] both."""
    return (logits.float() - kept.float()).square().mean()
