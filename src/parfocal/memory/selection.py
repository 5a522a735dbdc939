"""Which cases are worth remembering."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def random(count: int, k: int, rng: np.random.Generator) -> list[int]:
    """At most `k` of `count` indices, uniformly without repetition."""
    return [int(i) for i in rng.permutation(count)[:k]]


def important_and_diverse(
    importance: NDArray[np.float64], features: NDArray[np.float64], k: int, *, pool: float = 3.0
) -> list[int]:
    """At most `k` indices: the most important first, then always the one farthest from those taken.

    Farthest-first traversal (Gonzalez 1985, a 2-approximation of the k-centre problem; used for core-sets by Sener and
    Savarese 2018) inside the `pool * k` most important cases.

    Args:
        importance: float64 [N]; larger is more worth keeping, such as the loss.
        features: float64 [N, D]; distances are Euclidean after each column is standardised.
        pool: how many times `k` may enter by importance.
    """
    if k <= 0 or not len(importance):
        return []
    candidates = np.argsort(-importance, kind="stable")[: max(k, round(pool * k))]
    spread = features.std(0)
    points = (features[candidates] - features.mean(0)) / np.where(spread > 0, spread, 1.0)
    taken = [0]
    distance = np.linalg.norm(points - points[0], axis=1)
    while len(taken) < min(k, len(candidates)):
        farthest = int(np.argmax(distance))
        if farthest in taken:  # all that are left are copies of ones taken
            farthest = next(i for i in range(len(candidates)) if i not in taken)
        taken.append(farthest)
        distance = np.minimum(distance, np.linalg.norm(points - points[farthest], axis=1))
    return [int(candidates[i]) for i in taken]
