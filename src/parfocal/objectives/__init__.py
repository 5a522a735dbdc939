"""What a training step optimises: a loss, the networks that it needs beside the main one, and who is updated when.

An objective is one file and one line of the table. The engine is the same for all of them: it makes the batch, asks
for the loss of each player in turn, and updates that player's networks with an optimiser of its own.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Protocol, TypeAlias

from pydantic import Field

from parfocal.core.config import Config, MemberConfig
from parfocal.core.registry import Family
from parfocal.preprocessing.shards import UNKNOWN

if TYPE_CHECKING:
    import numpy as np
    import torch
    from numpy.typing import NDArray
    from torch import nn

    from parfocal.models import ModelSpec

__all__ = [
    "FAMILY",
    "MAIN",
    "UNKNOWN",
    "Batch",
    "Networks",
    "Objective",
    "ObjectiveConfig",
    "Parts",
    "Player",
    "SegmentLoss",
    "build",
]

FAMILY = Family(
    "objectives",
    {
        "segment": "parfocal.objectives.segment:Segment",
        "adversarial": "parfocal.objectives.adversarial:Adversarial",
        "cycle": "parfocal.objectives.cycle:Cycle",
        "restore": "parfocal.objectives.restore:Restore",
        "localize": "parfocal.objectives.localize:Localize",
        "interact": "parfocal.objectives.interact:Interact",
    },
)

SegmentLoss = Literal["bce_dice", "bce", "soft_dice", "soft_dice_squared", "cross_entropy"]

MAIN = "model"
"""Name of the network that is validated, kept and exported."""

Networks: TypeAlias = "Mapping[str, nn.Module]"
"""All networks of a training by name, the main one under `MAIN`; calling one is a forward pass."""
Parts: TypeAlias = "dict[str, torch.Tensor]"
"""Named parts of a loss, detached scalars, for the log."""


@dataclass(frozen=True, slots=True)
class Player:
    """Networks that one optimiser updates.

    Attributes:
        networks: their names.
        rate: learning rate, relative to `train.learning_rate`.
    """

    networks: tuple[str, ...]
    rate: float = 1.0


@dataclass(frozen=True, slots=True, eq=False)
class Batch:
    """What one step looks at.

    Attributes:
        images: float32 [N, 3, S, S] in [0, 1], BGR, channels-last in memory.
        target: uint8 class index [N, S, S]; `UNKNOWN` where nobody labelled.
        points: float32 [N, 2], (x, y) of the structure's centre as parts of the frame's side; NaN where unknown.
        rng: for whatever the objective draws; a function of seed, step and process alone.
    """

    images: torch.Tensor
    target: torch.Tensor
    points: torch.Tensor
    rng: np.random.Generator


class Objective(Protocol):
    """What a training optimises.

    Attributes:
        Settings: what can be set, with units; frozen.
        score_name: what `score` measures, such as ``dice``.
        inputs: channels that the main network takes beyond the image's three.
        outputs: what the main network gives: ``mask`` logits, an ``image`` in [0, 1], or a ``point``.
    """

    Settings: ClassVar[type[Config]]
    score_name: ClassVar[str]
    inputs: ClassVar[int]
    outputs: ClassVar[Literal["mask", "image", "point"]]

    def __init__(self, settings: Any, loss: SegmentLoss = "bce_dice") -> None:
        """`loss` is the supervised part, for those that have one."""
        ...

    def networks(self) -> Mapping[str, ModelSpec]:
        """The networks beside the main one, by name; none for most."""
        ...

    def players(self) -> Mapping[str, Player]:
        """Who is updated in each step, in this order; every network belongs to exactly one player."""
        ...

    def loss(self, player: str, networks: Networks, batch: Batch) -> tuple[torch.Tensor, Parts]:
        """What `player` minimises, a float32 scalar, and its parts. All networks are in training mode."""
        ...

    def score(self, networks: Networks, batch: Batch) -> NDArray[np.float64]:
        """How good the main network is on each case, [N], higher is better; networks are in evaluation mode."""
        ...


class OneNetwork:
    """The part of an objective that says: the main network learns, and there is no other."""

    def networks(self) -> Mapping[str, ModelSpec]:
        return {}

    def players(self) -> Mapping[str, Player]:
        return {MAIN: Player((MAIN,))}


class ObjectiveConfig(MemberConfig):
    """Which objective, and its own settings beside its name."""

    family: ClassVar[Family] = FAMILY
    plain: ClassVar[frozenset[str]] = frozenset({"segment", "restore"})

    name: str = Field(default="segment", description="member of the family `objectives`")


def build(config: ObjectiveConfig, loss: SegmentLoss = "bce_dice") -> Objective:
    """The objective of that name with its settings and the supervised loss.

    Raises:
        UsageError: unknown name.
    """
    objective: Objective = FAMILY.load(config.name)(config.settings, loss)
    return objective
