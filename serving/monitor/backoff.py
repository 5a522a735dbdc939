"""When something that failed is tried again: later each time, and never sooner than it was asked for."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass


@dataclass
class _Failed:
    """Since when it fails, how long the pause is, and when it ends; unix seconds."""

    since: float
    pause: float
    until: float


class Backoff:
    """Pauses by key, kept in memory: whoever starts anew tries at once.

    Args:
        first, longest: seconds of the first pause and of any; each is twice the one before.
        clock: unix seconds.
    """

    def __init__(self, first: float, longest: float, clock: Callable[[], float]) -> None:
        self._first, self._longest, self._clock = first, longest, clock
        self._failed: dict[str, _Failed] = {}

    def waits(self, key: str) -> bool:
        """Whether its pause has not ended; one that ends further off than it is long is a clock that was set back."""
        failed = self._failed.get(key)
        return failed is not None and 0 < failed.until - self._clock() <= failed.pause

    def failed(self, key: str, asked: float | None = None) -> float:
        """It failed once more, and asks to be left alone for `asked` seconds; for how long it has been failing."""
        now = self._clock()
        failed = self._failed.get(key)
        if failed is None or failed.since > now:
            failed = self._failed[key] = _Failed(now, self._first, now)
        else:
            failed.pause = min(2 * failed.pause, self._longest)
        failed.pause = min(max(failed.pause, asked or 0.0), self._longest)
        failed.until = now + failed.pause
        return now - failed.since

    def over(self, key: str) -> None:
        """It went well, or is given up."""
        self._failed.pop(key, None)
