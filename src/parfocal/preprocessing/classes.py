"""Masks of several structures as one label image, for a network that tells them apart in one pass.

Classes are exclusive: 0 is the background, and a pixel of a structure that lies in no other structure inside that one
has the structure's own class. So a disc with its cup is the classes 1 (rim) and 2 (cup), and the disc is 1 and 2.

Where somebody drew some structures and not others, a pixel may be of one of several classes: inside a disc whose cup
nobody drew it is 1 or 2, and nobody said which. A label says that too.

label 0 to 6      the class
label 128 + bits  one of the classes whose bits are set, bit k for class k
label 255         any of them: `UNKNOWN`, which is 128 with all bits
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
import numpy.typing as npt

from parfocal.core.errors import UsageError
from parfocal.core.task import Task
from parfocal.preprocessing.images import Pixels
from parfocal.preprocessing.shards import UNKNOWN

MOST = 7
"""Classes that a label has room for, the background included."""
_OPEN = 128


def _bits() -> npt.NDArray[np.uint8]:
    """Of every label the classes that it leaves possible, as bits; none of a label that means nothing."""
    labels = np.arange(256)
    exact = np.where(labels < MOST, 1 << np.minimum(labels, MOST), 0)
    return np.where(labels >= _OPEN, labels - _OPEN, exact).astype(np.uint8)


BITS = _bits()
POSSIBLE: npt.NDArray[np.bool_] = (BITS[:, None] >> np.arange(MOST) & 1).astype(np.bool_)
"""By label and class, bool [256, 7]: whether a pixel with that label may be of that class."""


@dataclass(frozen=True, slots=True)
class Classes:
    """The classes of a network.

    Attributes:
        names: of the structures, outer ones before those inside them; the i-th is class i + 1.
        channels: by structure the classes that make it up, its own first and then those of what lies inside it.
    """

    names: tuple[str, ...]
    channels: Mapping[str, tuple[int, ...]]

    @classmethod
    def of(cls, task: Task, names: Sequence[str]) -> Self:
        """The classes for these structures of a task.

        Raises:
            UsageError: they are more than a label has room for.
        """
        kept = [structure for structure in task.structures if structure.name in names]
        if len(kept) >= MOST:
            raise UsageError(f"{len(kept)} structures in one network", expected=f"at most {MOST - 1}")
        channels: dict[str, tuple[int, ...]] = {}
        for number, structure in enumerate(kept, start=1):
            channels[structure.name] = (number,)
            around = structure.inside
            while around is not None:
                if around in channels:
                    channels[around] += (number,)
                around = task.structure(around).inside
        return cls(tuple(channels), channels)

    @property
    def count(self) -> int:
        """How many channels the network has: a class each, and the background."""
        return len(self.names) + 1

    @property
    def groups(self) -> tuple[tuple[int, ...], ...]:
        """The channels of each structure, in the order of `names`."""
        return tuple(self.channels[name] for name in self.names)

    def labels(self, masks: Mapping[str, Pixels]) -> Pixels:
        """Label image of the masks that somebody drew.

        Where drawings contradict one another the outer structure holds, and of two beside each other the first: an
        inner one ends where its outer one ends, as it does in an answer.

        Args:
            masks: uint8 {0, 1}, of equal shapes, by structure; at least one. One that nobody drew is absent.
        """
        drawn: dict[str, npt.NDArray[np.bool_]] = {}
        shape = next(iter(masks.values())).shape
        bits = np.full(shape, self._all, np.uint8)
        for name in self.names:
            if name not in masks:
                continue
            mask = masks[name] > 0
            for earlier, other in drawn.items():
                mask &= other if self._holds(earlier, name) else ~other
            drawn[name] = mask
            own = self._of(name)
            bits &= np.where(mask, own, self._all & ~own).astype(np.uint8)
        return self._label_of_bits()[bits]

    def mask(self, labels: Pixels, name: str) -> Pixels:
        """What a label image says of one structure: uint8, 1 inside, 0 outside, `UNKNOWN` where it leaves that open."""
        bits, own = BITS[labels] & self._all, self._of(name)
        found = np.full(labels.shape, UNKNOWN, np.uint8)
        found[bits & (self._all & ~own) == 0] = 1
        found[bits & own == 0] = 0
        return found

    @property
    def _all(self) -> int:
        return (1 << self.count) - 1

    def _of(self, name: str) -> int:
        return sum(1 << channel for channel in self.channels[name])

    def _holds(self, outer: str, inner: str) -> bool:
        return self.channels[inner][0] in self.channels[outer]

    def _label_of_bits(self) -> Pixels:
        labels = np.arange(1 << self.count, dtype=np.uint8) + np.uint8(_OPEN)
        labels[[1 << k for k in range(self.count)]] = np.arange(self.count)
        labels[self._all] = UNKNOWN
        return labels
