"""Plain fine-tuning, the papers' retrain: the new instrument alone. The lower bound of what is kept."""

from __future__ import annotations

from collections.abc import Mapping

from parfocal.core.config import Config
from parfocal.memory.sampler import Source
from parfocal.preprocessing.shards import Arrays
from parfocal.strategies import Candidate, Finished, FinishTools, Weights


class Finetune:
    """Batches of new pictures only; the trained weights are kept as they are."""

    class Settings(Config):
        """None."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings

    def mixture(self, instrument: str, new: Arrays, memory: Mapping[str, Arrays]) -> tuple[Source, ...]:  # noqa: ARG002
        """All of a batch is new."""
        return (Source(instrument, new, 1.0),)

    def finish(self, before: Weights, after: Weights, tools: FinishTools) -> Finished:  # noqa: ARG002
        """The trained weights, unchanged."""
        return Finished(after, 1.0, (Candidate(1.0, tools.score(after)),))
