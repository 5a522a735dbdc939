"""Shared convolutions, and batch norms of its own for every instrument: nothing that an old one uses is touched.

Karani and others, A lifelong learning approach to brain MR segmentation across scanners and protocols, 2018.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from torch import nn

from parfocal.core.config import Config
from parfocal.memory.sampler import Source
from parfocal.preprocessing.shards import Arrays
from parfocal.strategies.base import Base, PlainSettings, batch_norms


class InstrumentNorm(Base):
    """Learns the weights, biases and statistics of the batch norms alone, on new pictures alone.

    The champion's convolutions stay, so the network of every earlier instrument is the one that it had, to the byte:
    nothing is forgotten where the instrument of a picture is known. The challenger keeps a network for each; a picture
    of an instrument that nobody named, or that it does not know, is answered by the newest one's.
    """

    Settings: ClassVar[type[Config]] = PlainSettings
    separate: ClassVar[bool] = True

    def statistics(self, instrument: str, new: Arrays, past: Mapping[str, Arrays]) -> tuple[Source, ...]:
        """New pictures alone: these norms are for no other instrument."""
        return self.mixture(instrument, new, past)

    def prepare(self, model: nn.Module) -> None:
        """Freeze everything but the batch norms.

        Raises:
            UsageError: there is none.
        """
        norms = batch_norms(model, "instrument_norm")
        model.requires_grad_(False)
        for norm in norms:
            norm.requires_grad_(True)
