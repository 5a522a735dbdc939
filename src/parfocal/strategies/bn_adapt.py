"""Batch-norm statistics of the new instrument's pictures, without labels and without training.

Li and others, Revisiting batch normalization for practical domain adaptation (AdaBN), 2016. Offered, never the
default: on real photographs it helped in one run and cost 0.10 of Dice in another, and old instruments lose theirs.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from torch import nn

from parfocal.core.config import Config
from parfocal.memory.sampler import Source
from parfocal.preprocessing.shards import Arrays
from parfocal.strategies import Finished, FinishTools, Need, Weights
from parfocal.strategies.base import Base, PlainSettings, batch_norms
from parfocal.strategies.interpolation import search


class BnAdapt(Base):
    """The champion with running means and variances of the new pictures; masks, where there are any, are not read."""

    Settings: ClassVar[type[Config]] = PlainSettings
    needs: ClassVar[frozenset[Need]] = frozenset({"unlabelled"})
    trains: ClassVar[bool] = False

    def statistics(self, instrument: str, new: Arrays, past: Mapping[str, Arrays]) -> tuple[Source, ...]:
        """New pictures alone."""
        return self.mixture(instrument, new, past)

    def prepare(self, model: nn.Module) -> None:
        """Nothing is trained.

        Raises:
            UsageError: there is no batch norm, so nothing that could adapt.
        """
        batch_norms(model, "bn_adapt")

    def finish(self, before: Weights, after: Weights, tools: FinishTools) -> Finished:  # noqa: ARG002
        """The champion's weights with recomputed statistics; with an interpolation of (0, 1) the better of the two."""
        return search(before, tools.recompute(before), tools, self.settings.interpolation)
