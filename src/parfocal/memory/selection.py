"""Which cases are worth keeping. Scores and features are computed elsewhere and come as arrays.

A selection is one function and one line of `SELECTIONS`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from parfocal.core.errors import DataContractError

POOL = 2
"""Important cases that compete for a place: of fewer the choice is importance alone, of all diversity alone."""


@dataclass(frozen=True)
class Pool:
    """Cases that compete for `size` places.

    Attributes:
        count: of cases; rows 0 to `count` - 1.
        size: places, 0 or more.
        rng: of what is random.
        kept: the first rows are those that have a place already.
        seen: cases that had come before these new ones, those with a place included.
        difficulty: 1 - Dice of each case, [count].
        slopes: norm of the gradient of each case's loss by the last layer's weights, [count].
        features: of each case, [count, D].
    """

    count: int
    size: int
    rng: np.random.Generator
    kept: int
    seen: int
    difficulty: Callable[[], npt.NDArray[np.floating]]
    slopes: Callable[[], npt.NDArray[np.floating]]
    features: Callable[[], npt.NDArray[np.floating]]


def choose(name: str, pool: Pool) -> list[int]:
    """Rows of the cases to keep, by the selection of that name: `size` of them, or all when there are no more."""
    return SELECTIONS[name](pool)


def at_random(count: int, size: int, rng: np.random.Generator) -> list[int]:
    """Rows of `size` of `count` cases, each equally likely; all of them, in order, when there are no more."""
    return sorted(int(row) for row in rng.permutation(count)[:size])


def reservoir(kept: int, seen: int, fresh: int, size: int, rng: np.random.Generator) -> list[int]:
    """Rows that make every case of a sequence equally likely to be kept, however many increments it comes in.

    Algorithm R: the i-th case of all takes a place at random with probability size / i (Vitter, Random sampling with a
    reservoir, 1985). Places that a purge has freed go to the next cases that come, which then are likelier than others.

    Args:
        kept: rows 0 to `kept` - 1 are in the reservoir; where they are more than `size`, some leave at random.
        seen: cases before the fresh ones, at least `kept`.
        fresh: rows from `kept` on, in the order in which they came.
        size: of the reservoir.
        rng: of this increment alone; the same one twice would favour the same places.

    Returns:
        Sorted row numbers.
    """
    places = at_random(kept, size, rng)
    for number, row in enumerate(range(kept, kept + fresh), start=seen + 1):
        if len(places) < size:
            places.append(row)
        elif (place := int(rng.integers(number))) < size:
            places[place] = row
    return sorted(places)


def most_important(importance: npt.NDArray[np.floating] | Sequence[float], size: int) -> list[int]:
    """Rows of the `size` largest, the largest first; ties go to the earlier row.

    By the norm of a case's loss gradient: Paul and others, Deep learning on a data diet (GraNd), 2021.

    Raises:
        DataContractError: a number is not finite.
    """
    scores = np.asarray(importance, np.float64)
    if not np.isfinite(scores).all():
        raise DataContractError("importance is not finite", next="look for diverged weights")
    return [int(row) for row in np.argsort(-scores, kind="stable")[:size]]


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


def _by_reservoir(pool: Pool) -> list[int]:
    return reservoir(pool.kept, pool.seen, pool.count - pool.kept, pool.size, pool.rng)


SELECTIONS: Mapping[str, Callable[[Pool], list[int]]] = {
    "random": lambda pool: at_random(pool.count, pool.size, pool.rng),
    "reservoir": _by_reservoir,
    "gradient-norm": lambda pool: most_important(pool.slopes(), pool.size),
    "important-diverse": lambda pool: important_and_diverse(pool.difficulty(), pool.features(), pool.size),
}
ORDERED = frozenset({"gradient-norm", "important-diverse"})
"""Selections whose rows come in the order of worth, so that any beginning of them is a good smaller choice."""
