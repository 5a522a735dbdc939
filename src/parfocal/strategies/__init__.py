"""What is kept of the past when a new instrument is learned: the batches of a retrain, and the weights afterwards.

A strategy is one file and one line of this table. It owns its settings (`Settings`), gets what it needs of the
engine as callables, and changes nothing that it is given.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Protocol, TypeAlias

from pydantic import Field

from parfocal.core.config import Config, MemberConfig
from parfocal.core.registry import Family

if TYPE_CHECKING:
    import torch

    from parfocal.memory.sampler import Source
    from parfocal.preprocessing.shards import Arrays

FAMILY = Family(
    "strategies",
    {
        "finetune": "parfocal.strategies.finetune:FineTune",
        "replay": "parfocal.strategies.replay:Replay",
    },
)

Weights: TypeAlias = "dict[str, torch.Tensor]"
"""A state dict on the CPU: parameters and buffers by name."""


@dataclass(frozen=True, slots=True)
class FinishTools:
    """What a strategy may ask of the engine after training. Both leave their argument as it is.

    Attributes:
        recompute: the same weights with batch-norm statistics of the mixed buffer.
        score: mean validation Dice in [0, 1] by instrument; empty when nothing is held out.
    """

    recompute: Callable[[Weights], Weights]
    score: Callable[[Weights], Mapping[str, float]]


@dataclass(frozen=True, slots=True)
class Candidate:
    """Weights that could have been chosen: `alpha` 0 is the champion, 1 the retrained network; Dice by instrument."""

    alpha: float
    scores: Mapping[str, float]


@dataclass(frozen=True, slots=True)
class Finished:
    """The weights of the challenger, their place between champion (0) and retrained (1), and all that were tried."""

    weights: Weights
    alpha: float
    candidates: tuple[Candidate, ...]


class Strategy(Protocol):
    """How a champion learns a new instrument.

    Attributes:
        Settings: what can be set, with units; frozen.
    """

    Settings: ClassVar[type[Config]]

    def __init__(self, settings: Any) -> None: ...

    def mixture(self, instrument: str, new: Arrays, past: Mapping[str, Arrays]) -> tuple[Source, ...]:
        """What every batch is made of; the shares sum to 1 and no source is empty.

        Args:
            instrument: name of the one to learn.
            new: its training pictures, at least one.
            past: exemplars by instrument; may be empty, and may hold earlier ones of `instrument`.
        """
        ...

    def finish(self, before: Weights, after: Weights, tools: FinishTools) -> Finished:
        """Choose the challenger's weights, given the champion's and those that training ended with."""
        ...


class StrategyConfig(MemberConfig):
    """Which strategy, and that strategy's own settings beside its name; defaults are filled in."""

    family: ClassVar[Family] = FAMILY

    name: str = Field(default="replay", description="member of the family `strategies`")


def build(config: StrategyConfig) -> Strategy:
    """The strategy of that name with its settings.

    Raises:
        UsageError: unknown name.
    """
    strategy: Strategy = FAMILY.load(config.name)(config.settings)
    return strategy
