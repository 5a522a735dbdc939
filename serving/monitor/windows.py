"""The second look at appearance: an instrument's newest cases together, held against the reference's.

The window itself is not kept: it is made again from the newest observations, which are.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from parfocal_serving.monitor.references import Judge

from parfocal.core.types import Observation

AMPLE = 2
"""Observations read for each case of a window: one in two may be impossible to measure."""
Earlier = Callable[[str, int], Sequence[Observation]]
"""The newest observations of an instrument that its detectors have seen, so many at most, oldest first."""


def steps(
    row: Mapping[str, Any], judge: Judge, instrument: str, seen: Sequence[Observation], earlier: Earlier
) -> list[float]:
    """The discrepancy after each new case that can be measured; NaN while the window is not full.

    Args:
        row: of the detector, before these cases.
    """
    detector = judge.windows[instrument]
    filled = min(int(row["observations"]), detector.window)
    before = judge.coordinates(instrument, earlier(instrument, AMPLE * filled)) if filled else None
    window = detector.start(before[-filled:] if before is not None else None)
    return [window.push(case) for case in judge.coordinates(instrument, seen)]


def after(row: Mapping[str, Any], path: Sequence[float], threshold: float) -> tuple[float, int, int | None]:
    """Statistic, number of cases and the case of the alarm (None without one) at the end of a path."""
    statistic = next((value for value in reversed(path) if not math.isnan(value)), row["statistic"])
    first = next((place for place, value in enumerate(path, start=1) if value >= threshold), None)
    alarm_at = row["alarm_at"]
    if alarm_at is None and first is not None:
        alarm_at = row["observations"] + first
    return float(statistic), int(row["observations"]) + len(path), alarm_at
