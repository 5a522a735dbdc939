"""Picking and joining rows of `Arrays`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from parfocal.core.types import Slice
from parfocal.preprocessing.shards import Arrays


def take(arrays: Arrays, indices: Sequence[int]) -> Arrays:
    """The rows at `indices`, in that order."""
    rows = list(indices)
    return Arrays(
        arrays.image[rows],
        arrays.mask[rows],
        tuple(arrays.case_ids[i] for i in rows),
        arrays.points[rows],
        tuple(arrays.slices[i] for i in rows),
    )


def common(one: Arrays, other: Arrays) -> dict[int, int]:
    """Row of `one` to the first row of `other` that has the same case and slice."""
    first = {key: row for row, key in reversed(list(enumerate(_keys(other))))}
    return {row: first[key] for row, key in enumerate(_keys(one)) if key in first}


def replaced(one: Arrays, other: Arrays, places: Mapping[int, int]) -> Arrays:
    """`one` with picture, mask and point of a row of `other` at each place."""
    image, mask, points = one.image.copy(), one.mask.copy(), one.points.copy()
    for row, source in places.items():
        image[row], mask[row], points[row] = other.image[source], other.mask[source], other.points[source]
    return replace(one, image=image, mask=mask, points=points)


def _keys(arrays: Arrays) -> list[tuple[str, Slice]]:
    return list(zip(arrays.case_ids, arrays.slices, strict=True))


def concatenate(parts: Sequence[Arrays]) -> Arrays:
    """All rows of one or more parts, in order."""
    if len(parts) == 1:
        return parts[0]
    return Arrays(
        np.concatenate([part.image for part in parts]),
        np.concatenate([part.mask for part in parts]),
        tuple(case for part in parts for case in part.case_ids),
        np.concatenate([part.points for part in parts]),
        tuple(place for part in parts for place in part.slices),
    )
