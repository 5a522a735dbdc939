"""The one-sided CUSUM of normal scores (Page, Continuous inspection schemes, Biometrika 1954)."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

EXTREME = 1e-15
"""p-values are kept this far from 0 and 1, so that every score is finite (within 8)."""


@dataclass(frozen=True, slots=True)
class State:
    """Where a detector stands.

    Attributes:
        statistic: S >= 0 after the last case.
        observations: cases so far.
        alarm_at: number of the first case (from 1) at which S reached the threshold. It stays until the detector is
            restarted, which is a new State.
    """

    statistic: float = 0.0
    observations: int = 0
    alarm_at: int | None = None


def normal_scores(p: NDArray[np.float64]) -> NDArray[np.float64]:
    """The standard normal quantile of 1 - p, float64 [N]: large for a strange case, finite for every p in [0, 1]."""
    from scipy.special import ndtri

    scores: NDArray[np.float64] = -ndtri(np.clip(np.asarray(p, np.float64), EXTREME, 1.0 - EXTREME))
    return scores


def advance(state: State, z: NDArray[np.float64], *, threshold: float, k: float) -> tuple[State, NDArray[np.float64]]:
    """Take cases in: S becomes max(0, S + z - k) at each, and S >= threshold is an alarm. S goes on after it.

    Cases given in several calls end exactly where they do in one.

    Args:
        state: before these cases.
        z: normal scores, float64 [N], in the order of arrival.
        threshold: of the alarm, in units of S; inf never alarms.
        k: allowance a case, half of the shift (in standard deviations) that is to be found soonest.

    Returns:
        The state after these cases, and S after each, float64 [N].

    Raises:
        ValueError: a score is NaN.
    """
    statistic, path = state.statistic, []
    for score in np.asarray(z, np.float64).tolist():
        statistic = max(statistic + score - k, 0.0)  # this order of arguments lets a NaN through, to be seen below
        path.append(statistic)
    if math.isnan(statistic):
        raise ValueError("a normal score is NaN")
    after = np.array(path, np.float64)
    alarm_at = state.alarm_at
    if alarm_at is None and (after >= threshold).any():
        alarm_at = state.observations + 1 + int(np.argmax(after >= threshold))
    return State(statistic, state.observations + len(path), alarm_at), after
