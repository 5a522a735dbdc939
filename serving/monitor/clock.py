"""What a step of the machine's clock may do here: nothing that cannot be undone.

A wall clock is set by hand, by a server, by a virtual machine that wakes up. What is old by it may be forgotten only
after it has gone evenly for a day, and a retrain that lies in its future is taken to have been now.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable

DAY = 86_400.0
STEP_SECONDS = 600.0
"""A clock that is off by more than this from one that only counts has been set; less is a server's correction."""
logger = logging.getLogger(__name__)


def counting() -> float:
    """Seconds since the machine started, those asleep too; no one can set them."""
    return time.clock_gettime(getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC))


class Steady:
    """For how long a wall clock has gone evenly.

    Args:
        clock: unix seconds.
        count: seconds that only count.
    """

    def __init__(self, clock: Callable[[], float] = time.time, count: Callable[[], float] = counting) -> None:
        self._clock, self._count = clock, count
        self._offset, self._since = clock() - count(), count()

    def credit(self, newest: float | None) -> None:
        """Before this process there was another, and what it wrote last (unix seconds) lies just before now."""
        if newest is not None and -STEP_SECONDS < self._clock() - newest < DAY:
            self._since = self._count() - DAY

    def for_a_day(self) -> bool:
        """Whether the clock can say what is old."""
        offset = self._clock() - self._count()
        if abs(offset - self._offset) > STEP_SECONDS:
            logger.warning(
                "the clock was set by %.0f s: for a day nothing is forgotten for its age", offset - self._offset
            )
            self._offset, self._since = offset, self._count()
        return self._count() - self._since >= DAY
