"""When to ask again, and how long to wait before."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from random import Random

AGAIN = frozenset({429, 503, 504})
"""Statuses that say: not now."""


@dataclass(frozen=True, slots=True)
class Patience:
    """How often a request is tried.

    Attributes:
        tries: of one request, the first one included.
        first: seconds before the second try; every further pause may be twice as long.
        longest: seconds of a pause, also of one that the service asks for.
    """

    tries: int = 5
    first: float = 0.2
    longest: float = 10.0

    def pause(self, tried: int, asked: float | None, rng: Random) -> float:
        """Seconds before the next try.

        Args:
            tried: how often it was tried, 1 or more.
            asked: what Retry-After says, in seconds; None where it says nothing.
            rng: clients that were refused together must not come back together.
        """
        own: float = min(self.longest, self.first * 2 ** (tried - 1)) * (0.5 + rng.random() / 2)
        return own if asked is None else min(self.longest, max(asked, own))


def retry_after(header: str | None, now: Callable[[], float] = time.time) -> float | None:
    """Seconds that a Retry-After header asks for, which is a number or a date (RFC 9110, 10.2.3)."""
    if not header:
        return None
    if header.strip().isdigit():
        return float(header)
    try:
        return max(0.0, parsedate_to_datetime(header).timestamp() - now())
    except (TypeError, ValueError):
        return None
