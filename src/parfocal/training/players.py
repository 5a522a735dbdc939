"""The networks of a training and the optimisers that update them, one a player."""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import torch
from lightning_fabric import Fabric
from torch import nn
from torch.optim import Optimizer

from parfocal import models
from parfocal.core.errors import UsageError
from parfocal.objectives import MAIN, Batch, Objective, Parts
from parfocal.training import checkpoint as checkpoints
from parfocal.training import distributed
from parfocal.training.config import TrainConfig


class Players:
    """Builds what an objective needs beside the main network, and takes the steps.

    Attributes:
        networks: as they are, by name.
        trainable: every parameter that some player updates.
    """

    def __init__(self, fabric: Fabric, model: nn.Module, objective: Objective, config: TrainConfig) -> None:
        self._fabric, self._objective, self._config = fabric, objective, config
        self.networks = {MAIN: _placed(model, fabric)}
        for name, spec in objective.networks().items():
            built = models.build(spec.name, spec.parameters, seed=config.seed + zlib.crc32(name.encode()))
            self.networks[name] = _placed(built, fabric)
        self._players = objective.players()
        self._parameters = {
            player: [p for name in who.networks for p in self.networks[name].parameters() if p.requires_grad]
            for player, who in self._players.items()
        }
        for player, parameters in self._parameters.items():
            if not parameters:
                raise UsageError(f"nothing of {player} can learn: all of it is frozen", where="train.encoder.freeze")
        self.optimizers = {
            player: optimizer(config, parameters, self._players[player].rate)
            for player, parameters in self._parameters.items()
        }
        self._steppers = {name: fabric.setup_optimizers(one) for name, one in self.optimizers.items()}
        self._forwards = {name: fabric.setup_module(network) for name, network in self.networks.items()}

    def step(self, batch: Batch, learning_rate: float) -> tuple[torch.Tensor, Parts]:
        """Update every player once, in their order.

        Returns:
            The loss of the player that updates the main network, and the parts of all, detached scalars on the device:
            means over all processes.
        """
        total: torch.Tensor | None = None
        found: Parts = {}
        for player, who in self._players.items():
            for group in self.optimizers[player].param_groups:
                group["lr"] = learning_rate * who.rate
            with self._only(player), distributed.whole_batch(self.networks.values(), self._fabric.world_size):
                loss, parts = self._objective.loss(player, self._forwards, batch)
                self._steppers[player].zero_grad()
                self._fabric.backward(loss)
            self._clip(player)
            self._steppers[player].step()
            if MAIN in who.networks:
                total = loss.detach()
            found |= parts
        assert total is not None, "no player updates the main network"
        if self._fabric.world_size == 1:
            return total, found
        agreed = distributed.mean(self._fabric, {"": total} | found)
        return agreed.pop(""), agreed

    def forget(self) -> None:
        """Empty the optimisers' memory."""
        for one in self.optimizers.values():
            one.state.clear()

    def tensors(self) -> dict[str, torch.Tensor]:
        """Everything that changes: weights and optimisers, by name."""
        found: dict[str, torch.Tensor] = {}
        for player, who in self._players.items():
            for name in who.networks:
                found |= {f"{name}/{key}": value for key, value in self.networks[name].state_dict().items()}
                tensors = checkpoints.optimizer_tensors(self.networks[name], self.optimizers[player])
                found |= {f"{name}/{key}": value for key, value in tensors.items()}
        return found

    def restore(self, tensors: Mapping[str, torch.Tensor]) -> None:
        """Undo `tensors`."""
        for player, who in self._players.items():
            for name in who.networks:
                mine = checkpoints.under(f"{name}/", tensors)
                weights = {key: value for key, value in mine.items() if not key.startswith("optimizer/")}
                self.networks[name].load_state_dict(weights)
                checkpoints.restore_optimizer(self.networks[name], self.optimizers[player], mine)

    @contextmanager
    def _only(self, player: str) -> Iterator[None]:
        """While one player learns, the others' weights need no gradients; several processes expect them all."""
        others = [p for name, parameters in self._parameters.items() if name != player for p in parameters]
        if self._fabric.world_size > 1:
            others = []
        for parameter in others:
            parameter.requires_grad_(False)
        try:
            yield
        finally:
            for parameter in others:
                parameter.requires_grad_(True)

    def _clip(self, player: str) -> None:
        config, first = self._config, self._players[player].networks[0]
        if config.clip is not None:
            self._fabric.clip_gradients(self._forwards[first], self._steppers[player], max_norm=config.clip)
        if config.clip_value is not None:
            self._fabric.clip_gradients(self._forwards[first], self._steppers[player], clip_val=config.clip_value)


def optimizer(config: TrainConfig, parameters: list[nn.Parameter], rate: float = 1.0) -> Optimizer:
    """The optimiser that the settings name, over these parameters."""
    learning_rate = config.learning_rate * rate
    if config.optimizer == "rmsprop":
        return torch.optim.RMSprop(
            parameters, lr=learning_rate, weight_decay=config.weight_decay, momentum=config.momentum
        )
    return torch.optim.Adam(
        parameters, lr=learning_rate, weight_decay=config.weight_decay, betas=config.betas, fused=True
    )


def _placed(network: nn.Module, fabric: Fabric) -> nn.Module:
    """On the device and in training mode; networks of pictures (not of volumes) with channels last in memory."""
    if not any(parameter.dim() == 5 for parameter in network.parameters()):
        network = network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    return network.to(fabric.device).train()
