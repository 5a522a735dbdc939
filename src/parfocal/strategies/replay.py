"""Replay of exemplars beside the new pictures, then weights part of the way from the champion. The default."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from pydantic import Field

from parfocal.core.config import Config
from parfocal.memory.sampler import Source
from parfocal.preprocessing.shards import Arrays
from parfocal.strategies.base import Base, StrategySettings, mixed


class ReplaySettings(StrategySettings):
    """How much of a batch is new, and which mixtures of weights are tried."""

    new_share: float = Field(
        default=0.5, gt=0, le=1, description="part of a batch from the new instrument; the others share the rest evenly"
    )


class Replay(Base):
    """Batches half new, half old with instruments balanced; afterwards the best interpolation of the weights."""

    Settings: ClassVar[type[Config]] = ReplaySettings
    settings: ReplaySettings

    def mixture(self, instrument: str, new: Arrays, past: Mapping[str, Arrays]) -> tuple[Source, ...]:
        """The new pictures and one source an instrument that the memory holds; new pictures alone without a past."""
        return mixed(instrument, new, past, self.settings.new_share)

    def statistics(self, instrument: str, new: Arrays, past: Mapping[str, Arrays]) -> tuple[Source, ...]:
        """What it was trained on."""
        return self.mixture(instrument, new, past)
