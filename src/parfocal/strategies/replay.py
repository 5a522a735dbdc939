"""Replay of exemplars beside the new pictures, then weights part of the way from the champion. The default."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from pydantic import Field, field_validator

from parfocal.core.config import Config
from parfocal.memory.sampler import Source
from parfocal.preprocessing.shards import Arrays
from parfocal.strategies import Finished, FinishTools, Weights
from parfocal.strategies.interpolation import search


class ReplaySettings(Config):
    """How much of a batch is new, and which mixtures of weights are tried."""

    new_share: float = Field(
        default=0.5, gt=0, le=1, description="part of a batch from the new instrument; the others share the rest evenly"
    )
    interpolation: tuple[float, ...] = Field(
        default=(0.0, 0.25, 0.5, 0.75, 1.0),
        min_length=1,
        description="weights to try, from champion (0) to retrained (1); the best mean validation Dice is taken",
    )

    @field_validator("interpolation")
    @classmethod
    def _between(cls, values: tuple[float, ...]) -> tuple[float, ...]:
        if any(not 0 <= value <= 1 for value in values):
            raise ValueError("every value is in [0, 1]")
        return values


class Replay:
    """Batches half new, half old with instruments balanced; afterwards the best interpolation of the weights."""

    Settings: ClassVar[type[Config]] = ReplaySettings

    def __init__(self, settings: ReplaySettings) -> None:
        self.settings = settings

    def mixture(self, instrument: str, new: Arrays, past: Mapping[str, Arrays]) -> tuple[Source, ...]:
        """The new pictures and one source an instrument that the memory holds; new pictures alone without a past."""
        old = {name: arrays for name, arrays in past.items() if len(arrays)}
        if not old or self.settings.new_share == 1:
            return (Source(instrument, new, 1.0),)
        share = (1 - self.settings.new_share) / len(old)
        first = Source(instrument, new, self.settings.new_share)
        return (first, *(Source(f"{name} (memory)", arrays, share) for name, arrays in sorted(old.items())))

    def finish(self, before: Weights, after: Weights, tools: FinishTools) -> Finished:
        """The interpolation with the best mean of validation Dice over all instruments."""
        return search(before, after, tools, self.settings.interpolation)
