"""How much one worker takes upon itself, and when to come back for what is too much.

What is uploaded and what is computed are counted apart: a client that sends a byte a second keeps nobody from being
answered, and is sent away long before its request's time is over.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

from parfocal_serving.segmenter.problems import RequestError

Result = TypeVar("Result")

GRACE, SLOWEST = 5.0, 16_000
"""An upload may take so many seconds, and one more for every so many bytes that have come: less than a telephone's
worst connection gives."""
LATER = (1, 60)
"""Bounds of Retry-After in seconds."""
WEIGHT = 0.1
"""Of the newest request in the mean of how long one takes."""


class Pressure:
    """Counts of one kind of work in one worker. Only `timed` is called outside of the event loop.

    Args:
        most: uploads at once, and requests that are computed or wait for it; one more of either is refused.
        threads: that compute.

    Attributes:
        uploads, held: that there are now.
        seconds: that one takes to compute, a running mean; 0 before the first.
    """

    def __init__(self, most: int, threads: int) -> None:
        self._most, self._threads = most, threads
        self.uploads = self.held = 0
        self.seconds = 0.0

    @contextmanager
    def upload(self) -> Iterator[None]:
        """While a body is read.

        Raises:
            RequestError: 429 there are too many.
        """
        if self.held >= self._most or self.uploads >= self._most:
            raise RequestError(
                429, "too many requests at once", expected=f"at most {self._most}",
                next=f"try again in {self.retry_after()} s",
            )  # fmt: skip
        self.uploads += 1
        try:
            yield
        finally:
            self.uploads -= 1

    @contextmanager
    def place(self) -> Iterator[None]:
        """While a request that has been read waits and is computed."""
        self.held += 1
        try:
            yield
        finally:
            self.held -= 1

    def timed(self, work: Callable[[], Result]) -> Result:
        """Do the work, and remember how long it took."""
        began = time.perf_counter()
        try:
            return work()
        finally:
            took = time.perf_counter() - began
            self.seconds += (took - self.seconds) * (WEIGHT if self.seconds else 1.0)

    @property
    def busy(self) -> bool:
        """Whether somebody waits for a thread."""
        return self.held > self._threads

    def retry_after(self) -> int:
        """Whole seconds in which what is here now will have been answered."""
        low, high = LATER
        return min(max(math.ceil(self.held * self.seconds / self._threads), low), high)


async def paced(
    stream: AsyncIterator[bytes], grace: float | None = None, slowest: float | None = None
) -> AsyncGenerator[bytes, None]:
    """A body as it comes, until it comes too slowly.

    Raises:
        RequestError: 408 it does.
    """
    grace, slowest = GRACE if grace is None else grace, SLOWEST if slowest is None else slowest
    began, read = asyncio.get_running_loop().time(), 0
    while True:
        try:
            async with asyncio.timeout_at(began + grace + read / slowest):
                chunk = await anext(stream)
        except StopAsyncIteration:
            return
        except TimeoutError:
            raise RequestError(
                408, "the upload comes too slowly", expected=f"{slowest / 1000:g} kB a second", next="try again"
            ) from None
        read += len(chunk)
        yield chunk
