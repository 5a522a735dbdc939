"""Entrants take turns, so that a busy machine slows all alike, and are compared within each round."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping

import numpy as np

Turn = Callable[[], float]
"""One turn of an entrant: does its work and says how many seconds a unit of it took."""
Times = dict[str, list[float]]
"""Seconds by entrant, one a round."""


def in_turn(turns: Mapping[str, Turn], seconds: float, *, least: int = 3, warm: bool = True) -> Times:
    """Give every entrant a turn a round while there is time for a further round, and `least` rounds in any case.

    The order rotates, so that nobody always comes after the same rival. With `warm`, a first round is thrown away.
    """
    names, longest = list(turns), 0.0
    times: Times = {name: [] for name in turns}
    started = time.perf_counter()
    for name in names if warm else ():
        turns[name]()
    while len(times[names[0]]) < least or time.perf_counter() - started + longest < seconds:
        began = time.perf_counter()
        for name in names:
            times[name].append(turns[name]())
        names = names[1:] + names[:1]
        longest = max(longest, time.perf_counter() - began)
    return times


def timed(work: Callable[[], object], units: int = 1) -> Turn:
    """A turn that does `work` once, which is so many units."""

    def turn() -> float:
        started = time.perf_counter()
        work()
        return (time.perf_counter() - started) / units

    return turn


def ratio(one: list[float], other: list[float]) -> str:
    """How many times as long `one` took as `other`: the median over rounds, and where the middle 80 % of rounds lie."""
    low, middle, high = np.percentile(np.array(one) / np.array(other), [10, 50, 90])
    return f"{middle:6.2f} ({low:.2f} to {high:.2f})"


def show(times: Times, ours: str, unit: str, *, scale: float = 1e3, notes: Mapping[str, str] | None = None) -> None:
    """A line an entrant: the median, and the ratio to ours with its spread."""
    print(f"{len(times[ours])} rounds; in brackets, where the middle 80 % of the rounds' ratios lie")
    width = max(len(name) for name in times)
    for name, taken in times.items():
        against = "" if name == ours else f"  {ratio(taken, times[ours])} times ours"
        print(f"{name:<{width}}  {scale * float(np.median(taken)):9.3f} {unit}{against}{(notes or {}).get(name, '')}")
