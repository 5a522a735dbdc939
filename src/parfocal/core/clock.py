"""What a step of the machine's clock may do here: nothing that cannot be undone.

A wall clock is set by hand, by a server, by a virtual machine that wakes up. What is old by it may be forgotten only
after it has gone evenly for a day, and a retrain that lies in its future is taken to have been now.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from math import inf

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

    def credit(self, newest: Callable[[float], float | None]) -> None:
        """Before this process there may have been others, whose work tells that the clock went evenly for a day.

        It does when they worked in the last 24 hours, in the 24 before them, and not in the future. Work of the last
        hours alone would not: it may be by a clock that was set in these hours.

        Args:
            newest: when they last wrote something before a time (all unix seconds); None: never.
        """
        now = self._clock()
        last, before = newest(inf), newest(now - DAY)
        lately = last is not None and now - DAY < last < now + STEP_SECONDS
        if lately and before is not None and before > now - 2 * DAY:
            self._since = self._count() - DAY

    def now(self) -> float | None:
        """The time (unix seconds) by which something may be called old; None when the clock cannot say.

        Whoever forgets goes by this very number: a clock that is looked at again may have been set in between.
        """
        now, count = self._clock(), self._count()
        if abs(now - count - self._offset) > STEP_SECONDS:
            stepped, self._offset, self._since = now - count - self._offset, now - count, count
            logger.warning("the clock was set by %.0f s: for a day nothing is forgotten for its age", stepped)
        return now if count - self._since >= DAY else None
