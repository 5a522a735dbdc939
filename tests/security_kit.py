"""A guarded service in a folder: tokens, a clock, and the routes of both services."""

import re
from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from parfocal_serving.monitor.app import build
from parfocal_serving.monitor.settings import MonitorSettings
from starlette.testclient import TestClient

from parfocal.adapters.tokens import Role, TokenStore

ROLES: tuple[Role, ...] = ("segment", "annotate", "operate", "observe")
FAR = ("10.1.2.3", 50000)
SECRET = "the webhook's secret"


class Clock:
    """One time for everything, moved by hand."""

    def __init__(self) -> None:
        self.now = datetime(2026, 11, 21, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.now

    def forward(self, **more: float) -> None:
        self.now += timedelta(**more)


def token(state: Path, name: str, *roles: Role) -> str:
    """A new token's word."""
    return TokenStore(state / "tokens.json").add(name, roles)[1]


def bearer(word: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {word}"}


def monitor(state: Path, **settings: Any) -> TestClient:
    """A guarded monitor that somebody far away talks to; it does not work until it is entered."""
    given = {"token": "", "open": False, "database_url": "", "webhook_secret": SECRET, **settings}
    app = build(MonitorSettings(state=state, **given))
    return TestClient(app, base_url="http://monitor:8081", client=FAR, follow_redirects=False)


def routes(app: Any) -> Iterator[tuple[str, str]]:
    """Every (method, path) of an application, with something put in for what stands in braces."""
    for route in app.routes:
        path = re.sub(r"\{[^}]*:path\}", "a/b", getattr(route, "path", "") or "")
        path = re.sub(r"\{[^}]*\}", "x", path)
        for method in getattr(route, "methods", None) or ():
            yield method, path
        if not getattr(route, "methods", None):  # mounted
            inner = list(routes(route)) if getattr(route, "routes", None) else [("GET", "/x")]
            yield from ((method, path + below) for method, below in inner)


def audited(state: Path) -> str:
    """All that the audit log says."""
    with suppress(FileNotFoundError):
        return "".join(file.read_text() for file in sorted((state / "audit").iterdir()))
    return ""
