"""Batches of stacks: neighbouring slices of one volume, changed as one."""

from __future__ import annotations

from typing import Any

import numpy as np

from parfocal.augmentation import geometric
from parfocal.memory.sampler import Pictures, Sampler
from parfocal.preprocessing import stacks
from parfocal.preprocessing.shards import UNKNOWN, Arrays


class StackSampler(Sampler):
    """A sampler whose places hold a stack of `depth` slices each: image [B, D, S, S, 3] and mask [B, D, S, S].

    It walks the slices; each brings the stack around it (`stacks.around`), so every slice is in the middle of one as
    often as the ends of its volume allow. All slices of a stack get one and the same change. Places of slices that are
    missing have the nearest one's picture and an unknown mask. A stack has no point.

    Args:
        sampler: whose sources, seed, changes and batch size it has.
        depth: slices of a stack, at least 1.

    Raises:
        DataContractError: a source has pictures that are no slices of volumes.
    """

    def __init__(self, sampler: Sampler, depth: int) -> None:
        self.depth = depth
        self._stacks = [_stacks(source.arrays, depth) for source in sampler.sources]
        super().__init__(sampler.sources, sampler.batch_size, sampler.seed, sampler.augment)

    def batch(self, step: int, rank: int = 0, world: int = 1) -> Pictures:
        """The stacks of one rank, see `Sampler.batch`."""
        mine = self._mine(rank, world)
        picked, changes = self._picked(step), self._changes(step)
        pairs = []
        for i in mine:
            source, item = picked[i]
            rows, there = self._stacks[source][item]
            arrays = self.sources[source].arrays
            image, mask = arrays.image[rows], arrays.mask[rows]
            mask[~there] = UNKNOWN
            if changes is not None:
                warped = [geometric.apply(*pair, changes[i]) for pair in zip(image, mask, strict=True)]
                image, mask = (np.stack(part) for part in zip(*warped, strict=True))
            pairs.append((image, mask))
        images, masks = (np.stack(part) for part in zip(*pairs, strict=True))
        return Pictures(images, masks, np.full((len(pairs), 2), np.nan, np.float32))

    def describe(self) -> dict[str, Any]:
        """As `Sampler.describe`, and the depth."""
        return {**super().describe(), "depth": self.depth}

    def _size(self, source: int) -> int:
        return len(self._stacks[source])


def stacked(sampler: Sampler, depth: int) -> Sampler:
    """The sampler itself for a network of pictures (`depth` 0), else one of stacks of the same sources."""
    return StackSampler(sampler, depth) if depth else sampler


def _stacks(arrays: Arrays, depth: int) -> list[tuple[stacks.Ints, np.ndarray[Any, np.dtype[np.bool_]]]]:
    """Rows and presence, [depth] both, of the stack around every slice."""
    found = []
    for volume in stacks.volumes(arrays).values():
        for number in volume.numbers.tolist():
            one = stacks.around(volume.numbers, number, depth)
            found.append((volume.rows[one.slices], one.there))
    return found
