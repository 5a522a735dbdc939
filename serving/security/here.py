"""Where a request comes from: this machine, this very page, or somewhere else."""

from __future__ import annotations

from urllib.parse import urlsplit

from starlette.datastructures import Headers
from starlette.types import Scope

from parfocal.adapters.settings import loopback

FORWARDED = ("forwarded", "x-forwarded-for", "x-forwarded-host", "x-real-ip")


def peer(scope: Scope) -> str:
    """Address of the other end of the connection. What a proxy says about its client is not believed."""
    return str((scope.get("client") or ("", 0))[0])


def from_this_machine(scope: Scope, headers: Headers) -> bool:
    """Whether somebody here asks, by a name of this machine, and not through a proxy that has come to stand here.

    The name counts because a page on the internet may have its own name point at 127.0.0.1 and then read what is here.
    """
    name = urlsplit(f"//{headers.get('host', '')}").hostname or ""
    return loopback(peer(scope)) and loopback(name) and not any(word in headers for word in FORWARDED)


def same_page(headers: Headers) -> bool:
    """Whether a browser that sent this was on a page of this very address, or no browser sent it."""
    if "origin" not in headers:
        return True
    return urlsplit(headers["origin"]).netloc == headers.get("host", "")
