"""Which slices a three-dimensional network sees together, and how its overlapping answers become one.

A stack is `depth` neighbouring slices of one volume. Places are slice numbers, so a slice that is missing inside a
volume, or beyond the ends of one with fewer slices than `depth`, has a place in the stack: the nearest slice that is
there stands in for it, its mask is unknown, and what the network says of it does not count.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from parfocal.core.errors import DataContractError
from parfocal.preprocessing.shards import Arrays

Ints = NDArray[np.int64]


@dataclass(frozen=True, slots=True, eq=False)
class Window:
    """One stack of a list of slices.

    Attributes:
        slices: int64 [depth], which of the list stands at each place.
        there: bool [depth], False where it stands in for one that is missing.
    """

    slices: Ints
    there: NDArray[np.bool_]


@dataclass(frozen=True, slots=True, eq=False)
class VolumeRows:
    """One volume of `Arrays`.

    Attributes:
        numbers: int64 [Z], ascending, of its slices.
        rows: int64 [Z], where they are in the arrays.
    """

    numbers: Ints
    rows: Ints


def window(numbers: Sequence[int] | Ints, first: int, depth: int) -> Window:
    """The stack of places `first` to `first + depth - 1` of a volume whose slices have these ascending numbers.

    Of two slices that are as near to a missing one, the earlier stands in.
    """
    known = np.asarray(numbers, np.int64)
    away = np.abs(np.arange(first, first + depth)[:, None] - known)
    nearest = away.argmin(axis=1)
    return Window(nearest, away[np.arange(depth), nearest] == 0)


def around(numbers: Sequence[int] | Ints, number: int, depth: int) -> Window:
    """The stack in which `number` is in the middle, or as near to it as the ends of the volume allow."""
    last = int(numbers[-1]) - depth + 1
    return window(numbers, max(min(number - depth // 2, last), int(numbers[0])), depth)


def covering(numbers: Sequence[int] | Ints, depth: int, *, step: int = 0) -> tuple[Window, ...]:
    """Stacks that together hold every slice, `step` places apart (half of `depth` when 0); the last one at the end."""
    first, last = int(numbers[0]), max(int(numbers[0]), int(numbers[-1]) - depth + 1)
    starts = [*range(first, last, step or max(1, depth // 2)), last]
    return tuple(window(numbers, start, depth) for start in starts)


def averaged(
    answer: Callable[[Ints], NDArray[np.float32]], numbers: Sequence[int] | Ints, depth: int
) -> NDArray[np.float32]:
    """What a network says of every slice: the plain mean over the overlapping stacks that hold it.

    Args:
        answer: gives of the slices at [depth] places of the list an answer each, float32 [depth, ...].
        numbers: of the slices, ascending.
        depth: of a stack.

    Returns:
        float32 [Z, ...], Z slices.
    """
    total: NDArray[np.float32] | None = None
    count = np.zeros(len(numbers), np.float32)
    for stack in covering(numbers, depth):
        found, held = answer(stack.slices), stack.slices[stack.there]
        if total is None:
            total = np.zeros((len(numbers), *found.shape[1:]), np.float32)
        total[held] += found[stack.there]
        count[held] += 1
    assert total is not None, "a volume without slices"
    mean: NDArray[np.float32] = total / count.reshape(-1, *(1,) * (total.ndim - 1))
    return mean


def volumes(arrays: Arrays) -> dict[str, VolumeRows]:
    """The volumes of `arrays` by name, in the order in which they come.

    Of a case with several rows the first counts, because the others are static copies; of one that came again, in a
    later dataset, the later.

    Raises:
        DataContractError: a row is no slice of a volume, or two cases are the same slice.
    """
    latest: dict[str, int] = {}
    for row, case in enumerate(arrays.case_ids):
        if row == 0 or case != arrays.case_ids[row - 1]:
            latest[case] = row
    found: defaultdict[str, dict[int, int]] = defaultdict(dict)
    for case, row in latest.items():
        volume, number = arrays.slices[row]
        if not volume:
            raise DataContractError(
                "no slice of a volume, so it has no neighbours",
                where=case,
                expected="cases that the readers volume, dicom or phantom cut",
                next="preprocess the volumes again, or train a network of pictures (model.options.dimensions=2)",
            )
        if found[volume].setdefault(number, row) != row:
            raise DataContractError(f"slice {number} of {volume} is there twice", where=case, next="leave one out")
    ordered = {name: sorted(slices.items()) for name, slices in found.items()}
    return {
        name: VolumeRows(*(np.array(column, np.int64) for column in zip(*pairs, strict=True)))
        for name, pairs in ordered.items()
    }
