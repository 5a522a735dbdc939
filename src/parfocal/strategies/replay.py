"""Replay: new pictures and exemplars together, then weights between champion and challenger."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from pydantic import Field

from parfocal.core.config import Config
from parfocal.memory.sampler import Source
from parfocal.preprocessing.shards import Arrays
from parfocal.strategies import Candidate, Finished, FinishTools, Weights


class Replay:
    """Half of each batch is new, half is exemplars, balanced by instrument (Rolnick et al. 2019, experience replay).

    Afterwards the weights move back part of the way to the champion's (Wortsman et al. 2022, WiSE-FT), batch-norm
    statistics are recomputed on the mixed batches for each candidate, and the one with the best mean validation Dice
    over all instruments is kept: averaging weights without new statistics gives a network whose layers do not fit.
    """

    class Settings(Config):
        """How much of the past, and where between champion and challenger to look."""

        new_share: float = Field(default=0.5, gt=0, lt=1, description="part of a batch that is new pictures")
        interpolation: tuple[float, ...] = Field(
            default=(0.25, 0.5, 0.75, 1.0),
            min_length=1,
            description="places tried between champion (0) and challenger (1)",
        )

    def __init__(self, settings: Settings) -> None:
        self.settings = settings

    def mixture(self, instrument: str, new: Arrays, memory: Mapping[str, Arrays]) -> tuple[Source, ...]:
        """The new share, and the rest divided equally among past instruments; with no past, all is new."""
        past = {name: arrays for name, arrays in memory.items() if len(arrays)}
        if not past:
            return (Source(instrument, new, 1.0),)
        share = (1.0 - self.settings.new_share) / len(past)
        old = (Source(f"{name} (exemplars)", arrays, share) for name, arrays in sorted(past.items()))
        return (Source(instrument, new, self.settings.new_share), *old)

    def finish(self, before: Weights, after: Weights, tools: FinishTools) -> Finished:
        """The best of the places tried; of equals the one nearest to halfway, which needs least luck."""
        tried = []
        for alpha in self.settings.interpolation:
            weights = tools.recompute(interpolate(before, after, alpha))
            tried.append((Candidate(alpha, dict(tools.score(weights))), weights))
        best, weights = max(
            tried, key=lambda one: (np.mean(list(one[0].scores.values()) or [0.0]), -abs(one[0].alpha - 0.5))
        )
        return Finished(weights, best.alpha, tuple(candidate for candidate, _ in tried))


def interpolate(before: Weights, after: Weights, alpha: float) -> Weights:
    """(1 - alpha) before + alpha after for floating tensors; counters are the challenger's. New tensors."""
    return {
        name: before[name].lerp(value, alpha) if value.is_floating_point() else value.clone()
        for name, value in after.items()
    }
