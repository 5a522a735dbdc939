"""Picking and joining rows of `Arrays`."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

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
