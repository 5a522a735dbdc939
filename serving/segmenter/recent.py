"""Pictures that were sent a moment ago, so that the next click need not send them again. In memory, never on a disk."""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from parfocal.preprocessing.images import Picture

Masks = Mapping[str, NDArray[np.bool_]]


@dataclass(frozen=True, slots=True)
class Seen:
    """A decoded picture and what is known of it.

    Attributes:
        image: uint8 BGR [H, W, 3] or uint16 grey [H, W].
        instrument: as the caller declared it.
        spacing: (row, column) in millimetres, where known.
        masks: the champion's, bool [H, W] by structure; empty until they are asked for.
        answered_by: checksum of the champion that gave them.
    """

    image: Picture
    instrument: str | None = None
    spacing: tuple[float, float] | None = None
    masks: Masks = field(default_factory=dict)
    answered_by: str = ""

    @property
    def bytes(self) -> int:
        return self.image.nbytes + sum(mask.nbytes for mask in self.masks.values())


class Recent:
    """By request id, bounded in bytes and in seconds since the last use. May be used from several threads."""

    def __init__(self, most_bytes: int, seconds: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._most, self._seconds, self._clock = most_bytes, seconds, clock
        self._held: OrderedDict[str, tuple[float, Seen]] = OrderedDict()  # least recently used first
        self._lock = threading.Lock()
        self._bytes = 0

    @property
    def bytes(self) -> int:
        """What is held."""
        return self._bytes

    def keep(self, case: str, seen: Seen) -> None:
        """Hold a picture, in place of what had its id; one that is larger than all the room is not held."""
        with self._lock:
            self._drop(case)
            if seen.bytes > self._most:
                return
            self._held[case] = (self._clock(), seen)
            self._bytes += seen.bytes
            while self._bytes > self._most:
                self._drop(next(iter(self._held)))

    def get(self, case: str) -> Seen | None:
        """The picture, whose time begins again; None if it is gone, or was never here."""
        self.sweep()
        with self._lock:
            if case not in self._held:
                return None
            seen = self._held[case][1]
            self._held[case] = (self._clock(), seen)
            self._held.move_to_end(case)
            return seen

    def sweep(self) -> None:
        """Forget what nobody has used for too long: called often, so that no picture outstays its time."""
        with self._lock:
            oldest = self._clock() - self._seconds
            while self._held and next(iter(self._held.values()))[0] < oldest:
                self._drop(next(iter(self._held)))

    def _drop(self, case: str) -> None:
        if (found := self._held.pop(case, None)) is not None:
            self._bytes -= found[1].bytes
