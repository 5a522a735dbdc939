"""What is kept of the past when a new instrument is learned: what trains, on which batches, for what, and the weights
afterwards.

A strategy is one file and one line of this table. It owns its settings (`Settings`), gets what it needs of the
engine as callables, and changes nothing that it is given but the network that it is to prepare. Most of what a
strategy does not change comes from `parfocal.strategies.base`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Protocol, TypeAlias

from pydantic import Field

from parfocal.core.config import Config, MemberConfig
from parfocal.core.registry import Family

if TYPE_CHECKING:
    import numpy as np
    import torch
    from numpy.typing import NDArray
    from torch import nn

    from parfocal.memory.sampler import Source
    from parfocal.objectives import Batch, Objective
    from parfocal.preprocessing.shards import Arrays

FAMILY = Family(
    "strategies",
    {
        "finetune": "parfocal.strategies.finetune:FineTune",
        "replay": "parfocal.strategies.replay:Replay",
        "ewc": "parfocal.strategies.ewc:OnlineEwc",
        "lwf": "parfocal.strategies.lwf:LearningWithoutForgetting",
        "derpp": "parfocal.strategies.derpp:DarkExperience",
        "instrument_norm": "parfocal.strategies.instrument_norm:InstrumentNorm",
        "bn_adapt": "parfocal.strategies.bn_adapt:BnAdapt",
        "joint": "parfocal.strategies.joint:Joint",
    },
)

Weights: TypeAlias = "dict[str, torch.Tensor]"
"""A state dict on the CPU: parameters and buffers by name."""

Need = Literal["datasets", "logits", "unlabelled"]
"""What a strategy asks for beside new pictures and exemplars.

``datasets``: the past is all training pictures of the champion's datasets, not the exemplars. ``logits``: those of the
exemplars are kept in the memory. ``unlabelled``: the new pictures include those that nobody labelled; their masks are
unknown.
"""


@dataclass(frozen=True, slots=True, eq=False)
class Champion:
    """The network that is taught, and what is kept of its past.

    Attributes:
        network: on the CPU, in evaluation mode, with the weights that training starts from; not to be changed.
        newest: the instrument that it learned last.
        exemplars: by instrument; none empty.
        cases: batches of one case each, on the CPU, without augmentation.
        inputs: network input float32 [N, 3, S, S] on a device, of uint8 pictures [N, S, S, 3].
        logits: of the exemplars, row by row, float16 [N, C, S, S]; for a strategy that needs them.
        carried: what `Strategy.carry` gave in the increment before; empty when that was another strategy.
    """

    network: nn.Module
    newest: str
    exemplars: Mapping[str, Arrays]
    cases: Callable[[Arrays], Iterable[Batch]]
    inputs: Callable[[NDArray[np.uint8], torch.device], torch.Tensor]
    logits: Mapping[str, NDArray[np.float16]] = field(default_factory=dict)
    carried: Mapping[str, torch.Tensor] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class FinishTools:
    """What a strategy may ask of the engine after training. Both leave their argument as it is.

    Attributes:
        recompute: the same weights with batch-norm statistics of the pictures of `Strategy.statistics`.
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
        needs: what it asks for beside new pictures and exemplars.
        trains: False for one that takes no optimiser step.
        separate: True for one that leaves each earlier instrument the network that it had.
    """

    Settings: ClassVar[type[Config]]
    needs: ClassVar[frozenset[Need]]
    trains: ClassVar[bool]
    separate: ClassVar[bool]

    def __init__(self, settings: Any) -> None: ...

    def mixture(self, instrument: str, new: Arrays, past: Mapping[str, Arrays]) -> tuple[Source, ...]:
        """What every batch is made of; the shares sum to 1 and no source is empty.

        Args:
            instrument: name of the one to learn.
            new: its training pictures, at least one.
            past: exemplars by instrument; may be empty, and may hold earlier ones of `instrument`.
        """
        ...

    def statistics(self, instrument: str, new: Arrays, past: Mapping[str, Arrays]) -> tuple[Source, ...]:
        """What batch-norm statistics are recomputed on, where they are; as `mixture`."""
        ...

    def prepare(self, model: nn.Module) -> None:
        """Freeze, in place, what of the champion's network is not to learn."""
        ...

    def carry(self, base: Objective, champion: Champion) -> Weights:
        """Tensors about the champion that this and later increments need; kept in the memory's folder.

        Args:
            base: the supervised objective.
            champion: its `carried` is what the increment before gave.
        """
        ...

    def objective(self, base: Objective, champion: Champion) -> Objective:
        """What the network is trained for, given the supervised objective.

        Args:
            base: compares answers with masks.
            champion: its `carried` is what `carry` gave for this increment.
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


def needs(config: StrategyConfig) -> frozenset[Need]:
    """What the strategy of that name asks for."""
    found: frozenset[Need] = FAMILY.load(config.name).needs
    return found
