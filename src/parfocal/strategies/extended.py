"""A supervised objective with one further term in what the main network minimises."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from parfocal.models import ModelSpec
from parfocal.objectives import MAIN, Batch, Networks, Objective, Parts, Player

Pass = tuple[torch.Tensor, torch.Tensor]
"""What went into the main network and what came out, with its gradient."""
Term = Callable[[nn.Module, Sequence[Pass], Batch], torch.Tensor]
"""Of the main network, its passes in the supervised loss, and the batch: a float32 scalar."""


def extended(base: Objective, name: str, term: Term) -> Objective:
    """`base` whose loss of the main network is ``loss + term``; the term is logged under `name`.

    Everything else is the base's: its networks, players and score. The term sees the passes that the loss made
    anyhow, so that a comparison of answers costs no second one.
    """
    return cast("Objective", _Extended(base, name, term))


class _Extended:
    def __init__(self, base: Objective, name: str, term: Term) -> None:
        self._base, self._name, self._term = base, name, term
        self.score_name, self.inputs, self.outputs = base.score_name, base.inputs, base.outputs

    def networks(self) -> Mapping[str, ModelSpec]:
        return self._base.networks()

    def players(self) -> Mapping[str, Player]:
        return self._base.players()

    def loss(self, player: str, networks: Networks, batch: Batch) -> tuple[torch.Tensor, Parts]:
        if MAIN not in self._base.players()[player].networks:
            return self._base.loss(player, networks, batch)
        heard = _Heard(networks[MAIN])
        total, parts = self._base.loss(player, {**networks, MAIN: heard}, batch)
        more = self._term(networks[MAIN], heard.passes, batch)
        return total + more, parts | {self._name: more.detach()}

    def score(self, networks: Networks, batch: Batch) -> NDArray[np.float64]:
        return self._base.score(networks, batch)


class _Heard(nn.Module):
    """The network, with its passes written down."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.training = network.training
        self.network = network
        self.passes: list[Pass] = []

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y: torch.Tensor = self.network(x)
        if y.requires_grad:  # others, such as those that answer clicks on the way, are not what trains
            self.passes.append((x, y))
        return y
