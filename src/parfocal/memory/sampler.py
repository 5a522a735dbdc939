"""Batches as a pure function of (seed, step, rank, world): nothing to save, nothing to restore after a kill."""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from parfocal.augmentation import geometric
from parfocal.augmentation.geometric import AugmentConfig, Change
from parfocal.core.errors import UsageError
from parfocal.preprocessing.shards import Arrays

_ORDER, _CHANGES = 1, 2
"""Which use of the seed a generator serves."""


class Pictures(NamedTuple):
    """A batch: image uint8 [B, S, S, 3] BGR, mask uint8 [B, S, S], points float32 [B, 2] as in `Arrays`.

    Of stacks of D slices: image [B, D, S, S, 3], mask [B, D, S, S].
    """

    image: NDArray[np.uint8]
    mask: NDArray[np.uint8]
    points: NDArray[np.float32]


class Draw(NamedTuple):
    """What a batch will hold, before a pixel is touched.

    Attributes:
        places: source, and row of its arrays, of each place.
        changes: of each place; None when nothing is changed.
        points: float32 [B, 2], moved already.
    """

    places: tuple[tuple[int, int], ...]
    changes: tuple[Change, ...] | None
    points: NDArray[np.float32]


@dataclass(frozen=True)
class Source:
    """Pictures that fill a share of every batch.

    Attributes:
        name: for the log and for people, such as an instrument's name.
        arrays: pictures and masks, at least one.
        share: part of a batch, above 0; the shares of a sampler are scaled to sum to 1.
    """

    name: str
    arrays: Arrays
    share: float


class Sampler:
    """Draws batches from sources in fixed proportions, and changes each picture at random.

    A batch gives each source its share by largest remainder, and at least one place. A source is walked in seeded
    permutations: no picture comes again before all of its source were used. The batch of a step is the same however
    many ranks divide it among them; each rank gets every `world`-th place, so all ranks see all sources alike.

    Args:
        sources: what to draw from; order matters to the result.
        batch_size: pictures of a step, over all ranks.
        seed: of order and changes.
        augment: ranges of the changes; None leaves pictures as they are.

    Raises:
        UsageError: no sources, an empty one, a share that is not above 0, or more sources than places.
    """

    def __init__(
        self, sources: Sequence[Source], batch_size: int, seed: int, augment: AugmentConfig | None = None
    ) -> None:
        _check(sources, batch_size)
        self.sources = tuple(sources)
        self.batch_size = batch_size
        self.seed = seed
        self.augment = augment
        self.places = apportion([source.share for source in sources], batch_size)
        self._order = lru_cache(maxsize=4 * len(sources))(self._permutation)

    def batch(self, step: int, rank: int = 0, world: int = 1) -> Pictures:
        """The pictures of one rank, B = batch_size / world of them.

        Args:
            step: 0, 1, 2, ...
            rank: which part of the batch.
            world: how many parts.

        Raises:
            UsageError: the batch cannot be divided by `world`.
        """
        places, changes, points = self.draw(step, rank, world)
        pairs = [
            (self.sources[source].arrays.image[row], self.sources[source].arrays.mask[row]) for source, row in places
        ]
        if changes is not None:
            pairs = [geometric.apply(*pair, change) for pair, change in zip(pairs, changes, strict=True)]
        return Pictures(np.stack([image for image, _ in pairs]), np.stack([mask for _, mask in pairs]), points)

    def draw(self, step: int, rank: int = 0, world: int = 1) -> Draw:
        """The choices that `batch` carries out, of the same arguments, for whoever changes pictures elsewhere."""
        mine = self._mine(rank, world)
        picked, drawn = self._picked(step), self._changes(step)
        places = tuple(picked[i] for i in mine)
        points = [self.sources[source].arrays.points[row] for source, row in places]
        changes = None if drawn is None else tuple(drawn[i] for i in mine)
        if changes is not None:
            size = self.sources[0].arrays.mask.shape[1:]
            points = [
                point if np.isnan(point[0]) else geometric.move(point, change, *size)
                for point, change in zip(points, changes, strict=True)
            ]
        return Draw(places, changes, np.stack(points))

    def describe(self) -> dict[str, Any]:
        """What batches depend on, apart from pixels: a resumed run must have the same."""
        return {
            "batch_size": self.batch_size,
            "seed": self.seed,
            "augment": None if self.augment is None else self.augment.model_dump(mode="json"),
            "sources": [
                {
                    "name": source.name,
                    "places": places,
                    "pictures": len(source.arrays),
                    "cases_crc32": zlib.crc32("\n".join(source.arrays.case_ids).encode()),
                }
                for source, places in zip(self.sources, self.places, strict=True)
            ],
        }

    def _mine(self, rank: int, world: int) -> range:
        """Places of one rank."""
        if self.batch_size % world:
            raise UsageError(
                f"a batch of {self.batch_size} cannot be divided among {world} processes",
                where="train.batch_size",
                expected=f"a multiple of {world}",
            )
        return range(rank, self.batch_size, world)

    def _picked(self, step: int) -> list[tuple[int, int]]:
        """Source, and which of what it has, of every place."""
        chosen = []
        for source, places in enumerate(self.places):
            size = self._size(source)
            for place in range(step * places, (step + 1) * places):
                chosen.append((source, int(self._order(source, place // size)[place % size])))
        return chosen

    def _changes(self, step: int) -> tuple[Change, ...] | None:
        """Of every place; None when nothing is changed."""
        if self.augment is None:
            return None
        return geometric.draw(self.augment, np.random.default_rng([self.seed, _CHANGES, step]), self.batch_size)

    def _permutation(self, source: int, turn: int) -> NDArray[np.int64]:
        return np.random.default_rng([self.seed, _ORDER, source, turn]).permutation(self._size(source))

    def _size(self, source: int) -> int:
        """How many different places can be made of a source."""
        return len(self.sources[source].arrays)


def apportion(shares: Sequence[float], places: int) -> tuple[int, ...]:
    """Divide `places` by largest remainder after one place was given to each share; ties go to the earlier."""
    free = places - len(shares)
    ideal = np.asarray(shares, np.float64) / sum(shares) * places
    ideal = np.maximum(ideal - 1.0, 0.0)
    ideal *= free / ideal.sum() if ideal.sum() > 0 else 0.0
    given = np.floor(ideal + 1e-9).astype(int)
    rest = free - int(given.sum())
    given[np.argsort(-(ideal - given), kind="stable")[:rest]] += 1
    return tuple(int(n) + 1 for n in given)


def _check(sources: Sequence[Source], batch_size: int) -> None:
    if not sources:
        raise UsageError("there is nothing to train on", expected="at least one source with pictures")
    for source in sources:
        if len(source.arrays) == 0:
            raise UsageError("a source has no pictures", where=source.name)
        if not source.share > 0:
            raise UsageError(f"a source's share is {source.share}", where=source.name, expected="above 0")
    if len(sources) > batch_size:
        raise UsageError(
            f"a batch of {batch_size} has no place for {len(sources)} sources",
            where="train.batch_size",
            expected=f"at least {len(sources)}",
        )
