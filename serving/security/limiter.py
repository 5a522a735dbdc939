"""So many in so long, and no more."""

from __future__ import annotations

import time
from collections import OrderedDict, deque
from collections.abc import Callable

KEYS = 1000
"""Keys that are remembered; the one longest unused is forgotten first."""


class Limiter:
    """A sliding window for every key.

    Args:
        most: times within the window.
        seconds: length of the window.
    """

    def __init__(self, most: int, seconds: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._most, self._seconds, self._clock = most, seconds, clock
        self._seen: OrderedDict[str, deque[float]] = OrderedDict()

    def allows(self, key: str = "") -> bool:
        """Whether there is room for one more, which is counted if so."""
        now = self._clock()
        times = self._seen.setdefault(key, deque())
        self._seen.move_to_end(key)
        while len(self._seen) > KEYS:
            self._seen.popitem(last=False)
        while times and times[0] <= now - self._seconds:
            times.popleft()
        if len(times) >= self._most:
            return False
        times.append(now)
        return True
