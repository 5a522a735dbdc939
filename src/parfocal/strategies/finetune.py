"""Fine-tuning on the new instrument alone: the papers' method, and the lower bound on what is forgotten."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from parfocal.core.config import Config
from parfocal.memory.sampler import Source
from parfocal.preprocessing.shards import Arrays
from parfocal.strategies import Candidate, Finished, FinishTools, Weights


class FineTuneSettings(Config):
    """Nothing to set."""


class FineTune:
    """Batches of new pictures; the weights that training ended with."""

    Settings: ClassVar[type[Config]] = FineTuneSettings

    def __init__(self, settings: FineTuneSettings) -> None:
        self.settings = settings

    def mixture(self, instrument: str, new: Arrays, past: Mapping[str, Arrays]) -> tuple[Source, ...]:  # noqa: ARG002
        """New pictures alone."""
        return (Source(instrument, new, 1.0),)

    def finish(self, before: Weights, after: Weights, tools: FinishTools) -> Finished:  # noqa: ARG002
        """The retrained weights, as they are."""
        return Finished(dict(after), 1.0, (Candidate(1.0, tools.score(after)),))
