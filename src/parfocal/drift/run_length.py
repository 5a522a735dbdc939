"""How long a CUSUM runs before it alarms for nothing, given that its reference is itself a sample.

A conformal p-value of n held-out cases takes the values 1/(n+1) ... 1. How often a new case of the same instrument
takes each of them depends on which n cases were drawn: over draws, those n + 1 probabilities are the spacings of
uniform order statistics, Dirichlet(1, ..., 1). So for each of many seeded draws of a reference we compute the run
length by a Markov chain (Brook and Evans, An approach to the probability distribution of CUSUM run length, Biometrika
1972), and choose the threshold for which the false-alarm rate, averaged over draws, is what was declared
(docs/adr/0009).
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from parfocal.drift.cusum import normal_scores

SMALLEST = 20
"""Held-out cases below which nothing is promised: the strangest p-value they can give is 1 in 20."""
HIGHEST = 25.0
"""Threshold above which nothing is promised: a shift of two sigma would take about twenty cases to reach it."""
STEP = 0.1
"""Width of a state of the chain, in units of the statistic."""
DAYS = 365.25 / 12
"""Of a month."""

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Threshold:
    """Where the CUSUM alarms, and what that promises.

    Attributes:
        h: threshold of the statistic; inf when nothing can be promised.
        arl0: declared number of cases to a false alarm: 1 / arl0 is the rate, averaged over references of this size.
        low, high: 5 % and 95 % of the run length of one reference of this size at `h`, in cases.
        reference_size: held-out cases.
        k: allowance of the CUSUM.
        promise: false when `h` is inf; `reason` then says why.
    """

    h: float
    arl0: float
    low: float
    high: float
    reference_size: int
    k: float = 0.5
    promise: bool = True
    reason: str = ""


def arl0_for(false_alarms_a_month: float, cases_a_day: float, streams: int) -> float:
    """The run length to declare so that an installation has that many false alarms a month.

    Args:
        false_alarms_a_month: budget of the whole installation, above 0.
        cases_a_day: over all instruments.
        streams: how many streams look at every case.
    """
    return cases_a_day * DAYS * streams / false_alarms_a_month


@lru_cache(maxsize=256)
def threshold(arl0: float, reference_size: int, k: float = 0.5, *, seed: int = 0) -> Threshold:
    """The threshold whose false-alarm rate, averaged over draws of the reference, is 1 / arl0.

    Args:
        arl0: cases to a false alarm, above 1.
        reference_size: held-out cases that p-values are computed against.
        k: allowance of the CUSUM, in standard deviations.
        seed: of the draws; equal arguments give an equal threshold.
    """
    if reference_size < SMALLEST:
        return _none(arl0, reference_size, k, f"{reference_size} held-out cases; {SMALLEST} are the fewest")
    if _scores(reference_size)[0] <= k:
        return _none(arl0, reference_size, k, f"no score of {reference_size} held-out cases is above k = {k}")
    before_h, before = 0.0, np.ones(1)
    for h, rates in _rates(_draw(reference_size, seed), k):
        if h > HIGHEST:
            break
        if rates.mean() <= 1.0 / arl0:
            share = _share(math.log(before.mean()), math.log(rates.mean()), -math.log(arl0))
            low, high = np.quantile(1.0 / _between(before, rates, share), [0.05, 0.95])
            return Threshold(before_h + share * (h - before_h), arl0, float(low), float(high), reference_size, k)
        before_h, before = h, rates
    reason = f"{reference_size} held-out cases cannot keep one false alarm in {arl0:g} cases: too many references fail"
    return _none(arl0, reference_size, k, reason)


def run_lengths(h: float, reference_size: int, k: float = 0.5, *, seed: int = 0) -> Floats:
    """Mean cases to a false alarm at threshold `h` of each of many drawn references, float64 [draws].

    Args:
        h: above 0.
        reference_size, k, seed: as in `threshold`.
    """
    return chain_run_lengths(_draw(reference_size, seed), h, k)


def chain_run_lengths(probabilities: Floats, h: float, k: float) -> Floats:
    """Mean run length from S = 0 by the Markov chain, float64 [R], for references that are known.

    Args:
        probabilities: [R, n + 1]; how often a case has the p-value 1/(n+1), 2/(n+1), ..., 1. Rows sum to 1.
        h: threshold, above 0.
        k: allowance.
    """
    before_h, before = 0.0, np.ones(1)
    for at, rates in _rates(probabilities, k):
        if at >= h:
            return 1.0 / _between(before, rates, (h - before_h) / (at - before_h))
        before_h, before = at, rates
    raise AssertionError("the chain has no end")


def _none(arl0: float, reference_size: int, k: float, reason: str) -> Threshold:
    nothing = math.inf
    return Threshold(nothing, arl0, nothing, nothing, reference_size, k, False, f"nothing can be promised: {reason}")


def _scores(size: int) -> Floats:
    """The normal scores that a reference can give, largest first, [size + 1]."""
    return normal_scores(np.arange(1, size + 2) / (size + 1.0))


def _draw(size: int, seed: int) -> Floats:
    """Probabilities of the p-values under drawn references, [draws, size + 1]: fewer of larger, more alike ones."""
    draws = int(np.clip(2_000_000 // (size + 1), 200, 6_000))
    spacings = np.random.default_rng([seed, size]).standard_exponential((draws, size + 1))
    spacings /= spacings.sum(axis=1, keepdims=True)
    return spacings


def _rates(probabilities: Floats, k: float) -> Iterator[tuple[float, Floats]]:
    """Thresholds h = STEP/2, 3 STEP/2, ... and the false-alarm rate at each, [R].

    State i of the chain is S = i STEP. With m states, h lies half a step above the last. `visits` is how often a
    sequence from S = 0 is in each state before it falls below 0 or reaches h: the first row of the inverse of
    the Toeplitz matrix I - Q, grown a state at a time by the Levinson recursion. Page (1954): the CUSUM repeats such
    sequences until one reaches h, so the rate is the chance of reaching h over the length of a sequence.
    """
    up, down = _steps(probabilities, k)
    reach = np.cumsum(up[::-1], axis=0)[::-1]  # [i]: chance of a step of i or more
    first = np.ones((1, len(probabilities))) / (1.0 - up[0])
    visits = first.copy()  # in reverse order: [0] is the last state
    for states in range(1, 1_000_000):
        length = min(states, len(reach) - 1)
        caught = (visits[:length] * reach[1 : length + 1]).sum(axis=0)
        yield (states - 0.5) * STEP, caught / visits.sum(axis=0)
        length = min(states, len(down) - 1)
        below = (first[states - length :] * down[length:0:-1]).sum(axis=0)
        length = min(states, len(up) - 1)
        above = (visits[:length] * up[1 : length + 1]).sum(axis=0)
        scale = 1.0 / (1.0 - below * above)
        grown_first, grown_visits = np.zeros((2, states + 1, len(probabilities)))
        grown_first[:-1], grown_visits[1:] = first, visits
        grown_first[1:] += below * visits
        grown_visits[:-1] += above * first
        first, visits = grown_first * scale, grown_visits * scale


def _steps(probabilities: Floats, k: float) -> tuple[Floats, Floats]:
    """Chances of a step of 0, 1, 2, ... states up, and of 0, 1, 2, ... states down, each [steps, R].

    A step z - k falls between two states and is shared by three, so that its mean and its variance are kept.
    """
    steps = (_scores(probabilities.shape[1] - 1) - k) / STEP
    nearest = np.rint(steps).astype(np.int64)
    lowest, highest = int(nearest.min()) - 1, max(int(nearest.max()), 0) + 1
    offset = steps - nearest
    shares = np.zeros((highest - lowest + 1, len(steps)))
    case = np.arange(len(steps))
    for move, share in ((-1, (offset**2 - offset) / 2), (0, 1 - offset**2), (1, (offset**2 + offset) / 2)):
        shares[nearest + move - lowest, case] += share
    chances = shares @ probabilities.T
    return chances[-lowest:], chances[-lowest::-1]


def _share(before: float, after: float, wanted: float) -> float:
    return float(np.clip((before - wanted) / (before - after), 0.0, 1.0))


def _between(before: Floats, after: Floats, share: float) -> Floats:
    """Rates between two thresholds: their logarithms are all but straight lines."""
    rates: Floats = np.exp((1.0 - share) * np.log(before) + share * np.log(after))
    return rates
