"""Who may talk to the monitor, and how much at once. Stands before everything else."""

from __future__ import annotations

import ipaddress
import secrets
from typing import Any
from urllib.parse import urlsplit

from starlette.datastructures import Headers
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

READING = {"GET", "HEAD"}


class TooLargeError(Exception):
    """A body grew beyond its limit while it was read."""


class Guard:
    """ASGI middleware: the token on everything that writes, and a limit on every body.

    Without a token only this machine is served, and a browser only on a page of this very address: any other page
    that somebody on this machine opens could otherwise write here.

    Args:
        limit: bytes of a body.
    """

    def __init__(self, app: ASGIApp, token: str, limit: int) -> None:
        self._app, self._token, self._limit = app, token, limit

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        refusal = self._refusal(scope, headers)
        if refusal is not None:
            await refusal(scope, receive, send)
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

    def _refusal(self, scope: Scope, headers: Headers) -> JSONResponse | None:
        writes = scope["method"] not in READING
        if self._token:
            said = headers.get("authorization", "")
            if writes and not secrets.compare_digest(said.encode(), f"Bearer {self._token}".encode()):
                return problem(401, "no valid token", expected="Authorization: Bearer and the value of PARFOCAL_TOKEN")
        elif not loopback((scope.get("client") or ("", 0))[0]):
            return problem(
                403, "without a token only this machine is served", next="set PARFOCAL_TOKEN for monitor and segmenter"
            )
        elif writes and not _same_page(headers):
            return problem(403, "a page from elsewhere cannot write here", where=headers["origin"])
        length = headers.get("content-length", "")
        if length.isdecimal() and int(length) > self._limit:
            return self._too_large()
        return None

    def _too_large(self) -> JSONResponse:
        return problem(413, "the body is too large", expected=f"at most {self._limit / 1e6:g} MB")


def problem(status: int, what: str, *, where: str = "", expected: str = "", next: str = "") -> JSONResponse:
    """An answer in the house's four parts of an error."""
    content: dict[str, Any] = {"error": {"what": what, "where": where, "expected": expected, "next": next}}
    headers = {"WWW-Authenticate": "Bearer"} if status == 401 else None
    return JSONResponse(content, status, headers)


def loopback(host: str) -> bool:
    """Whether a client's or a listening address is this machine alone."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _same_page(headers: Headers) -> bool:
    """A name that somebody else's server has pointed at this machine is not this machine's page."""
    if "origin" not in headers:
        return True
    page = urlsplit(headers["origin"])
    return page.netloc == headers.get("host", "") and loopback(page.hostname or "")
