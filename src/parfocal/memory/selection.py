"""Which cases are worth keeping. Scores and features are computed elsewhere and come as arrays."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from parfocal.core.errors import DataContractError

POOL = 2
"""Important cases that compete for a place: of fewer the choice is importance alone, of all diversity alone."""


def at_random(count: int, size: int, rng: np.random.Generator) -> list[int]:
    """Rows of `size` of `count` cases, each equally likely; all of them, in order, when there are no more."""
    return sorted(int(row) for row in rng.permutation(count)[:size])


def important_and_diverse(
    importance: npt.NDArray[np.floating] | Sequence[float],
    features: npt.NDArray[np.floating],
    size: int,
    *,
    pool: int = POOL,
) -> list[int]:
    """Rows of `size` cases that are important and unlike one another; all when there are no more.

    The `pool` times `size` most important cases compete. The most important one is kept, then again and again the one
    that is farthest from all that are kept (Gonzalez, Clustering to minimize the maximum intercluster distance, 1985).
    Nothing is random: ties go to the earlier row.

    Args:
        importance: [N], larger is more important, such as the loss of a case.
        features: [N, D]; each column is scaled to unit variance first, so no unit dominates.
        size: how many to keep, 0 or more.
        pool: at least 1.

    Returns:
        Row numbers in the order of choice, so that any beginning of them is a good smaller choice.

    Raises:
        DataContractError: lengths differ, or a number is not finite.
    """
    scores, points = np.asarray(importance, np.float64), np.asarray(features, np.float64)
    if points.ndim != 2 or scores.shape != points.shape[:1]:
        raise DataContractError(f"importance {list(scores.shape)} and features {list(points.shape)} do not fit")
    if not (np.isfinite(scores).all() and np.isfinite(points).all()):
        raise DataContractError("importance or features are not finite", next="look for diverged weights")
    candidates = np.argsort(-scores, kind="stable")[: pool * size]
    spread = points.std(axis=0) if len(points) else np.ones(points.shape[1])
    scaled = points[candidates] / np.where(spread > 0, spread, 1.0)
    return [int(candidates[row]) for row in _farthest_first(scaled, size)]


def _farthest_first(points: npt.NDArray[np.float64], size: int) -> list[int]:
    """Rows of [N, D] points: the first, then each time the one farthest from those before it."""
    chosen: list[int] = []
    distance = np.full(len(points), np.inf)
    for _ in range(min(size, len(points))):
        row = int(np.argmax(distance))
        chosen.append(row)
        distance = np.minimum(distance, ((points - points[row]) ** 2).sum(axis=1))
        distance[chosen] = -1.0
    return chosen
