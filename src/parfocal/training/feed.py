"""Where a training's batches come from: changed by the host, or on the device that holds all pictures."""

from __future__ import annotations

from functools import cached_property

from lightning_fabric import Fabric

from parfocal.memory.sampler import Sampler
from parfocal.training.batches import Batches, upcoming
from parfocal.training.resident import Resident


class Feed:
    """The batches of one process.

    Attributes:
        resident: whether the device holds the pictures; settled before the first batch.
    """

    def __init__(self, sampler: Sampler, fabric: Fabric, *, resident: bool) -> None:
        self._sampler, self._fabric = sampler, fabric
        self.resident = resident

    def batches(self, first: int, last: int) -> Batches:
        """Of steps `first` to `last` - 1; close it to end its thread."""
        rank, world = self._fabric.global_rank, self._fabric.world_size
        if self.resident:
            return self._pictures.upcoming(first, last, rank=rank, world=world)
        return upcoming(self._sampler, first, last, self._fabric.device, rank=rank, world=world)

    @cached_property
    def _pictures(self) -> Resident:
        return Resident(self._sampler, self._fabric.device)
