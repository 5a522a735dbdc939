"""Weights on the line between champion and retrained network: part of the way often keeps what all of it forgets.

Wortsman and others, Robust fine-tuning of zero-shot models, 2022 (WiSE-FT), here with batch-norm statistics
recomputed, since statistics of averaged weights are not averages of statistics.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import fmean
from typing import TYPE_CHECKING

from parfocal.core.errors import DataContractError
from parfocal.strategies import Candidate, Finished, FinishTools, Weights

if TYPE_CHECKING:
    import torch

TIE = 0.001
"""Means of Dice that are this near count as equal: a validation set of some tens of cases cannot tell them apart."""
HALFWAY = 0.5


def between(before: Weights, after: Weights, alpha: float) -> Weights:
    """New tensors ``(1 - alpha) before + alpha after``; at 0 and 1 exactly those of the end.

    Between the ends, tensors of integers (counters) are `after`'s.

    Raises:
        DataContractError: the two are not of one network.
    """
    if before.keys() != after.keys():
        raise DataContractError("these are weights of two different networks", where=min(before.keys() ^ after.keys()))
    return {name: _mix(name, before[name], after[name], alpha) for name in after}


def search(before: Weights, after: Weights, tools: FinishTools, alphas: Sequence[float]) -> Finished:
    """Score each of `alphas` and choose (`choose`). Champion and retrained network themselves keep their statistics."""
    tried: list[tuple[Candidate, Weights]] = []
    for alpha in sorted(set(alphas)):
        weights = between(before, after, alpha)
        if 0 < alpha < 1:
            weights = tools.recompute(weights)
        tried.append((Candidate(alpha, tools.score(weights)), weights))
    candidates = tuple(candidate for candidate, _ in tried)
    best = choose(candidates)
    return Finished(tried[candidates.index(best)][1], best.alpha, candidates)


def choose(candidates: Sequence[Candidate]) -> Candidate:
    """The highest mean of Dice over instruments, each counting the same; among near equals (`TIE`) nearest halfway.

    Halfway, because it was best or near best on all six cameras on which the first measurements were made.
    """
    means = [_mean(candidate.scores) for candidate in candidates]
    equal = [c for c, mean in zip(candidates, means, strict=True) if mean >= max(means) - TIE]
    return min(equal, key=lambda candidate: (abs(candidate.alpha - HALFWAY), candidate.alpha))


def _mean(scores: Mapping[str, float]) -> float:
    return fmean(scores.values()) if scores else 0.0


def _mix(name: str, before: torch.Tensor, after: torch.Tensor, alpha: float) -> torch.Tensor:
    if before.shape != after.shape or before.dtype != after.dtype:
        raise DataContractError(
            f"weights of two different networks: {list(before.shape)} and {list(after.shape)}", where=name
        )
    if alpha == 0:
        return before.clone()
    if alpha == 1 or not after.is_floating_point():
        return after.clone()
    return (before.double() * (1 - alpha) + after.double() * alpha).to(after.dtype)
