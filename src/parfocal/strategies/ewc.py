"""Elastic weight consolidation, online: weights that the past needs are held where they were.

Kirkpatrick and others, Overcoming catastrophic forgetting in neural networks, 2017, in the form that keeps one
diagonal however many instruments came: Schwarz and others, Progress & Compress, 2018, section 4.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import ClassVar

import torch
from pydantic import Field
from torch import nn

from parfocal.core.config import Config
from parfocal.core.errors import DataContractError, UsageError
from parfocal.objectives import MAIN, Batch, Objective
from parfocal.strategies import Champion, Weights
from parfocal.strategies.base import Base, StrategySettings
from parfocal.strategies.extended import Pass, extended


class EwcSettings(StrategySettings):
    """How firmly, and for how long."""

    strength: float = Field(
        default=1.0,
        ge=0,
        description="lambda: nats a unit of squared change of a weight of mean importance, times two; 0: fine-tuning",
    )
    decay: float = Field(
        default=0.9, ge=0, le=1, description="gamma: what of the earlier instruments' importance an increment leaves"
    )


class OnlineEwc(Base):
    r"""The supervised loss and ``(lambda / 2) sum_i F_i (theta_i - theta*_i)^2``; batches of new pictures.

    theta* are the champion's weights. F is the decayed sum over increments ``F <- gamma F + F_new`` of `fisher`'s
    diagonals, each scaled to a mean of 1, so that every instrument counts the same whatever the size of its loss
    (Schwarz, section 4). F_new is taken of the exemplars of the instrument that the champion learned last; of all
    exemplars when the memory carries no F, as after another strategy or a purge.

    Batch-norm statistics are not weights: nothing holds them, so they move with the new pictures.
    """

    Settings: ClassVar[type[Config]] = EwcSettings
    settings: EwcSettings

    def carry(self, base: Objective, champion: Champion) -> Weights:
        """F for this increment, by the parameter's name.

        Raises:
            DataContractError: neither exemplars nor an earlier F says which weights matter.
            UsageError: the loss is not that of one network.
        """
        if base.networks():
            raise UsageError(
                "the importance of weights is that of a loss of one network",
                where="retrain.train.objective",
                expected="segment with the strategy ewc",
            )
        earlier = champion.carried
        recent = {champion.newest} if earlier else set(champion.exemplars)
        pictures = [arrays for name, arrays in sorted(champion.exemplars.items()) if name in recent]
        if not pictures and earlier:
            return dict(earlier)
        if not pictures:
            raise DataContractError(
                "nothing says which of the champion's weights matter: its memory is empty",
                where="retrain.strategy.name: ewc",
                expected="exemplars of at least one instrument",
                next="train or retrain with retrain.exemplars above 0, or take the strategy finetune",
            )
        fresh = fisher(champion.network, (case for arrays in pictures for case in champion.cases(arrays)), base)
        mean = sum(float(part.sum()) for part in fresh.values()) / sum(part.numel() for part in fresh.values())
        scale = 1 / mean if mean > 0 else 0.0
        return {
            name: self.settings.decay * earlier.get(name, torch.zeros(())) + scale * part
            for name, part in fresh.items()
        }

    def objective(self, base: Objective, champion: Champion) -> Objective:
        """`base` and the penalty, logged as ``ewc``."""
        anchors = {name: value.detach().clone() for name, value in champion.network.named_parameters()}
        importance = {name: champion.carried[name] for name in anchors}
        at: dict[torch.device, tuple[list[torch.Tensor], list[torch.Tensor]]] = {}

        def term(network: nn.Module, passes: Sequence[Pass], batch: Batch) -> torch.Tensor:  # noqa: ARG001
            # By order, not by name: the engine's wrapper may put a prefix before the names.
            parameters = list(network.parameters())
            device = parameters[0].device
            if device not in at:
                at[device] = [a.to(device) for a in anchors.values()], [f.to(device) for f in importance.values()]
            return self.settings.strength / 2 * weighted_distance(parameters, *at[device])

        return extended(base, "ewc", term)


def weighted_distance(
    parameters: Sequence[torch.Tensor], anchors: Sequence[torch.Tensor], importance: Sequence[torch.Tensor]
) -> torch.Tensor:
    """``sum_i F_i (theta_i - theta*_i)^2``, a float32 scalar."""
    parts = [
        (f * (p.float() - a).square()).sum() for p, a, f in zip(parameters, anchors, importance, strict=True)
    ]  # fmt: skip
    return torch.stack(parts).sum()


def fisher(network: nn.Module, cases: Iterable[Batch], base: Objective) -> Weights:
    """Diagonal of the empirical Fisher information: mean over cases of the squared gradient of -log p(mask | image).

    The loss that trains stands for -log p: it is a mean over pixels, and a factor would be scaled away afterwards.
    In evaluation mode, so that a case's gradient does not depend on the others.

    Args:
        network: its weights, gradients and mode are left as they are.
        cases: batches of one case each, at least one.
        base: of one network.
    """
    parameters = dict(network.named_parameters())
    needed, was = {name: parameter.requires_grad for name, parameter in parameters.items()}, network.training
    total = {name: torch.zeros_like(parameter, requires_grad=False) for name, parameter in parameters.items()}
    count = 0
    network.eval().requires_grad_(True)
    try:
        for case in cases:
            loss, _ = base.loss(MAIN, {MAIN: network}, case)
            for name, slope in zip(total, torch.autograd.grad(loss, list(parameters.values())), strict=True):
                total[name] += slope.square()
            count += 1
    finally:
        network.train(was)
        for name, parameter in parameters.items():
            parameter.requires_grad_(needed[name])
    return {name: part / count for name, part in total.items()}
