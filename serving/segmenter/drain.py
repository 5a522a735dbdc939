"""Ending without losing anything, after a SIGTERM.

1. /readyz says 503 for PARFOCAL_DRAIN_SECONDS, so that whoever shares out requests sends them elsewhere. All that come
   are answered as ever, each with `Connection: close`: a connection that is kept would be cut between two requests.
2. What comes from now on is answered 503 with Retry-After; what is being answered ends.
3. The server, whose own handler is called now, closes its socket and ends.

A second SIGTERM goes to 3 at once.
"""

from __future__ import annotations

import asyncio
import logging
import os
import signal
from collections.abc import Callable
from types import FrameType

from parfocal_serving.segmenter.problems import RequestError, body
from starlette.datastructures import MutableHeaders
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

logger = logging.getLogger("parfocal.segmenter")

LOOK = 0.02
"""Seconds between two looks whether anything is still being answered."""
OPEN = {"/livez", "/readyz", "/metrics"}
"""Answered until the end: whoever watches must see it."""


class Drain:
    """The end of one worker.

    Args:
        seconds: of 1.
        patience: the longest 2, in seconds.
        running: requests that are being answered.

    Attributes:
        asked: SIGTERM has come.
        closed: what comes now is sent elsewhere.
    """

    def __init__(self, seconds: float, patience: float, running: Callable[[], int]) -> None:
        self._seconds, self._patience, self._running = seconds, patience, running
        self._before: Callable[[int, FrameType | None], object] | int | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._task: asyncio.Task[None] | None = None
        self.asked = self.closed = False

    def install(self) -> None:
        """Take SIGTERM over from the server. Called in its event loop, on the main thread."""
        self._loop = asyncio.get_running_loop()
        self._before = signal.signal(signal.SIGTERM, self._signalled)

    def _signalled(self, number: int, frame: FrameType | None) -> None:
        if self.asked or self._loop is None or not self._loop.is_running():
            self._pass_on(number, frame)
            return
        self.asked = True
        self._loop.call_soon_threadsafe(self._begin)

    def _begin(self) -> None:
        self._task = asyncio.ensure_future(self._end())

    async def _end(self) -> None:
        await asyncio.sleep(self._seconds)
        self.closed = True
        until = asyncio.get_running_loop().time() + self._patience
        while self._running() and asyncio.get_running_loop().time() < until:
            await asyncio.sleep(LOOK)
        if left := self._running():
            logger.warning("%d requests are cut off", left)
        self._pass_on(signal.SIGTERM, None)

    def _pass_on(self, number: int, frame: FrameType | None) -> None:
        self.closed = True
        if callable(self._before):
            self._before(number, frame)
        else:
            signal.signal(number, self._before if self._before is not None else signal.SIG_DFL)
            os.kill(os.getpid(), number)


class Ending:
    """Middleware that does what `Drain` says to everybody whom the guard lets through."""

    drain: Drain | None = None
    """Of this process."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        drain = Ending.drain
        if scope["type"] != "http" or drain is None:
            await self.app(scope, receive, send)
            return

        async def last(message: Message) -> None:
            if drain.asked and message["type"] == "http.response.start":
                MutableHeaders(scope=message)["Connection"] = "close"
            await send(message)

        if drain.closed and scope["path"] not in OPEN:
            gone = RequestError(503, "this segmenter is being stopped", next="ask another one, or this one in a moment")
            await JSONResponse(body(gone), 503, {"Retry-After": "1"})(scope, receive, last)
            return
        await self.app(scope, receive, last)
