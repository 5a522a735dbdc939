"""What is kept of the past during a retrain. A strategy is one file and one line in the table below.

A strategy says what batches are made of (`mixture`), and what becomes of the weights afterwards (`finish`). It is given
callables and imports no engine.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias

from pydantic import Field

from parfocal.core.config import Config
from parfocal.core.registry import Family

if TYPE_CHECKING:
    import torch

    from parfocal.memory.sampler import Source
    from parfocal.preprocessing.shards import Arrays

Weights: TypeAlias = "dict[str, torch.Tensor]"
"""A state dict: parameters and buffers by name."""

FAMILY = Family(
    "strategies",
    {
        "finetune": "parfocal.strategies.finetune:Finetune",
        "replay": "parfocal.strategies.replay:Replay",
    },
)


class StrategyConfig(Config):
    """Which strategy, and its own settings; the strategy's class documents and checks them."""

    name: str = Field(default="replay", description="member of the family `strategies`")
    settings: dict[str, Any] = Field(default_factory=dict, description="settings of that strategy")


@dataclass(frozen=True)
class FinishTools:
    """What `finish` may ask of the engine.

    Attributes:
        recompute: weights to the same weights with batch-norm statistics recomputed on the mixed training batches.
        score: weights to mean validation Dice by instrument, of all instruments known so far.
    """

    recompute: Callable[[Weights], Weights]
    score: Callable[[Weights], Mapping[str, float]]


@dataclass(frozen=True)
class Candidate:
    """One set of weights that `finish` considered: how far from the champion (0) to the challenger (1), and scores."""

    alpha: float
    scores: Mapping[str, float]


@dataclass(frozen=True)
class Finished:
    """The weights to keep, the place they were chosen at, and everything they were chosen from."""

    weights: Weights
    alpha: float
    candidates: tuple[Candidate, ...]


class Strategy(Protocol):
    """See the module's text."""

    Settings: type[Config]

    def __init__(self, settings: Any) -> None: ...

    def mixture(self, instrument: str, new: Arrays, memory: Mapping[str, Arrays]) -> tuple[Source, ...]:
        """What batches are made of: `new` labelled pictures of `instrument`, and exemplars by past instrument."""
        ...

    def finish(self, before: Weights, after: Weights, tools: FinishTools) -> Finished:
        """The weights to keep, given the champion's and the trained ones. Must not change either."""
        ...


def build(config: StrategyConfig) -> Strategy:
    """The strategy of that name with its settings checked.

    Raises:
        UsageError: no such strategy, or a setting it does not have.
    """
    strategy = FAMILY.load(config.name)
    built: Strategy = strategy(strategy.Settings.parse(config.settings, where="retrain.strategy.settings"))
    return built
