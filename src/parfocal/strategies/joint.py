"""Training on everything that the champion has learned from and the new pictures: the upper bound.

What a clinic may not keep, or cannot send, is not there to be trained on; hence the other strategies.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from parfocal.core.config import Config
from parfocal.memory.sampler import Source
from parfocal.preprocessing.shards import Arrays
from parfocal.strategies import Need
from parfocal.strategies.base import Base, PlainSettings


class Joint(Base):
    """All datasets' training pictures, instruments in equal parts (the papers' fusion), from the champion's weights.

    It starts where the other strategies start and takes as many steps, so that the difference is the data's.
    """

    Settings: ClassVar[type[Config]] = PlainSettings
    needs: ClassVar[frozenset[Need]] = frozenset({"datasets"})

    def mixture(self, instrument: str, new: Arrays, past: Mapping[str, Arrays]) -> tuple[Source, ...]:
        """One source an instrument; earlier pictures of the new one share its part by their number."""
        old = {name: arrays for name, arrays in sorted(past.items()) if len(arrays)}
        part = 1 / len({instrument, *old})
        same = len(old.get(instrument, ()))
        sources = [Source(instrument, new, part * len(new) / (len(new) + same))]
        for name, arrays in old.items():
            share = part * same / (len(new) + same) if name == instrument else part
            sources.append(Source(f"{name} (earlier)", arrays, share))
        return tuple(sources)

    def statistics(self, instrument: str, new: Arrays, past: Mapping[str, Arrays]) -> tuple[Source, ...]:
        """What it was trained on."""
        return self.mixture(instrument, new, past)
