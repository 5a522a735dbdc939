"""Learning without forgetting: on the new pictures, the network keeps saying what the champion says of them.

Li and Hoiem, Learning without forgetting, 2017. No exemplar is needed.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import ClassVar

import torch
from pydantic import Field
from torch import nn
from torch.nn import functional

from parfocal.core.config import Config
from parfocal.objectives import Batch, Objective
from parfocal.strategies import Champion
from parfocal.strategies.base import Base, StrategySettings
from parfocal.strategies.extended import Pass, extended


class LwfSettings(StrategySettings):
    """How much the champion's word counts."""

    temperature: float = Field(
        default=2.0, gt=0, description="logits are divided by it, so that doubt counts too (the paper: 2)"
    )
    weight: float = Field(default=1.0, ge=0, description="of the distillation, in nats beside nats (the paper: 1)")


class LearningWithoutForgetting(Base):
    """The supervised loss and `weight` times `distillation`, on batches of new pictures as they are augmented.

    The paper's networks have a head for each task; here old and new instruments ask for the same structure of one
    head, so both terms are on the same logits. The champion answers in evaluation mode.
    """

    Settings: ClassVar[type[Config]] = LwfSettings
    settings: LwfSettings

    def objective(self, base: Objective, champion: Champion) -> Objective:
        """`base` and the distillation, logged as ``distillation``."""
        # Its own copy: it goes where the batches are, and what the step was given stays where it is.
        teacher = copy.deepcopy(champion.network).eval().requires_grad_(False)

        def term(network: nn.Module, passes: Sequence[Pass], batch: Batch) -> torch.Tensor:  # noqa: ARG001
            teacher.to(batch.images.device)
            losses = []
            for seen, logits in passes:
                with torch.no_grad():
                    said = teacher(seen)
                losses.append(distillation(logits, said, self.settings.temperature))
            return self.settings.weight * torch.stack(losses).mean()

        return extended(base, "distillation", term)


def distillation(logits: torch.Tensor, champion: torch.Tensor, temperature: float) -> torch.Tensor:
    """Mean over all pixels of the cross entropy ``-sum_k q_k log p_k``, in nats; float32 scalar.

    p and q are the network's and the champion's probabilities raised to 1/T and normalised (the paper's equations 2 and
    3): the softmax of the logits [N, classes, ...] over `temperature`. One channel is two classes, and their
    probabilities are the sigmoid of the logit over T and the rest.
    """
    ours, theirs = logits.float() / temperature, champion.float() / temperature
    if logits.shape[1] == 1:
        return functional.binary_cross_entropy_with_logits(ours, theirs.sigmoid())
    return functional.cross_entropy(ours, theirs.softmax(1))
