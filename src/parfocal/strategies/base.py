"""What a strategy does unless it says otherwise: new pictures alone, all of the network, the supervised loss.

Interpolation of the weights is here, so that it can be laid around any strategy by the setting `interpolation`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from pydantic import Field, field_validator
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from parfocal.core.config import Config
from parfocal.core.errors import UsageError
from parfocal.memory.sampler import Source
from parfocal.objectives import Objective
from parfocal.preprocessing.shards import Arrays
from parfocal.strategies import Champion, Finished, FinishTools, Need, Weights
from parfocal.strategies.interpolation import search


class StrategySettings(Config):
    """What every strategy has."""

    interpolation: tuple[float, ...] = Field(
        default=(0.0, 0.25, 0.5, 0.75, 1.0),
        min_length=1,
        description="weights to try, from champion (0) to retrained (1); the best mean validation Dice is taken. "
        "[1] alone: the retrained weights as they are",
    )

    @field_validator("interpolation")
    @classmethod
    def _between(cls, values: tuple[float, ...]) -> tuple[float, ...]:
        if any(not 0 <= value <= 1 for value in values):
            raise ValueError("every value is in [0, 1]")
        return values


class PlainSettings(StrategySettings):
    """Only what every strategy has, and the retrained weights as they are."""

    interpolation: tuple[float, ...] = Field(
        default=(1.0,), min_length=1, description="weights to try, from champion (0) to retrained (1)"
    )


class Base:
    """The defaults of a strategy; a member overrides what makes it one."""

    Settings: ClassVar[type[Config]] = StrategySettings
    needs: ClassVar[frozenset[Need]] = frozenset()
    trains: ClassVar[bool] = True
    separate: ClassVar[bool] = False

    def __init__(self, settings: Any) -> None:
        self.settings = settings

    def mixture(self, instrument: str, new: Arrays, past: Mapping[str, Arrays]) -> tuple[Source, ...]:  # noqa: ARG002
        """New pictures alone."""
        return (Source(instrument, new, 1.0),)

    def statistics(self, instrument: str, new: Arrays, past: Mapping[str, Arrays]) -> tuple[Source, ...]:
        """Half new, half exemplars: weights that lie between are to answer old and new instruments."""
        return mixed(instrument, new, past, 0.5)

    def prepare(self, model: nn.Module) -> None:
        """All of it learns."""

    def carry(self, base: Objective, champion: Champion) -> Weights:  # noqa: ARG002
        """Nothing."""
        return {}

    def objective(self, base: Objective, champion: Champion) -> Objective:  # noqa: ARG002
        """The supervised one."""
        return base

    def finish(self, before: Weights, after: Weights, tools: FinishTools) -> Finished:
        """The interpolation with the best mean of validation Dice over all instruments."""
        return search(before, after, tools, self.settings.interpolation)


def batch_norms(model: nn.Module, strategy: str) -> list[nn.Module]:
    """The batch norms of a network, for a strategy that is about them.

    Raises:
        UsageError: there is none.
    """
    norms: list[nn.Module] = [module for module in model.modules() if isinstance(module, _BatchNorm)]
    if not norms:
        raise UsageError(
            "this network has no batch norm that an instrument could have for itself",
            where=f"retrain.strategy.name: {strategy}",
            expected="a network with model.batch_norm",
            next="take the strategy replay",
        )
    return norms


def mixed(instrument: str, new: Arrays, past: Mapping[str, Arrays], new_share: float) -> tuple[Source, ...]:
    """`new_share` of new pictures, the rest shared evenly by the instruments of the past; new alone without a past."""
    old = {name: arrays for name, arrays in past.items() if len(arrays)}
    if not old or new_share == 1:
        return (Source(instrument, new, 1.0),)
    share = (1 - new_share) / len(old)
    first = Source(instrument, new, new_share)
    return (first, *(Source(f"{name} (memory)", arrays, share) for name, arrays in sorted(old.items())))
