"""How large a body may be that is sent to the monitor. Who may send one is `security/`."""

from __future__ import annotations

from parfocal_serving.security.problems import problem
from starlette.datastructures import Headers
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

__all__ = ["Limit", "problem"]


class TooLargeError(Exception):
    """A body grew beyond its limit while it was read."""


class Limit:
    """ASGI middleware: a limit on every body, of a length that is told or not.

    Args:
        limit: bytes of a body.
    """

    def __init__(self, app: ASGIApp, limit: int) -> None:
        self._app, self._limit = app, limit

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        length = Headers(scope=scope).get("content-length", "")
        if length.isdecimal() and int(length) > self._limit:
            await self._too_large()(scope, receive, send)
            return
        left = self._limit

        async def limited() -> Message:
            nonlocal left
            message = await receive()
            left -= len(message.get("body", b""))
            if left < 0:
                raise TooLargeError
            return message

        try:
            await self._app(scope, limited, send)
        except TooLargeError:  # nothing was answered yet: bodies are read before anything is done
            await self._too_large()(scope, receive, send)

    def _too_large(self) -> JSONResponse:
        return problem(413, "the body is too large", expected=f"at most {self._limit / 1e6:g} MB")
