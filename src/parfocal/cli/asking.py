"""Questions and orders to a running monitor, for the commands below `parfocal monitor`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import reduce
from typing import Any

import click

Command = Callable[..., None]
SECONDS = 30
URL = click.option("--url", default="", help="Of the monitor. Default: PARFOCAL_MONITOR_URL, or the one here.")
SIGNED = (
    click.option("--by", default="", help="Who says so. A token's name goes before it."),
    click.option("--reason", required=True, help="Why; it is kept."),
    URL,
)


def signed(command: Command) -> Command:
    """With who, why and where."""
    return reduce(lambda made, option: option(made), reversed(SIGNED), command)


def ask(method: str, url: str, path: str, body: Mapping[str, str] | None = None) -> Any:
    """The monitor's answer.

    Raises:
        UsageError: it refused, or no monitor is known.
        OutsideServiceError: it does not answer.
    """
    import httpx

    from parfocal.adapters import Settings
    from parfocal.core.errors import OutsideServiceError, UsageError

    settings = Settings()
    address = url or settings.monitor_url or _here(settings)
    headers = {"Authorization": f"Bearer {settings.token}"} if settings.token else {}
    try:
        reply = httpx.request(method, f"{address.rstrip('/')}{path}", json=body, headers=headers, timeout=SECONDS)
        said = reply.json()
    except (httpx.HTTPError, httpx.InvalidURL, ValueError) as error:
        raise OutsideServiceError(f"the monitor does not answer: {error}", where=address) from None
    if reply.status_code >= 400:
        told = said.get("error", {}) if isinstance(said, dict) else {}
        kind = OutsideServiceError if reply.status_code >= 500 else UsageError
        parts = {name: str(told.get(name, "")) for name in ("where", "expected", "next")}
        raise kind(str(told.get("what") or f"the monitor said {reply.status_code}"), **parts)
    return said


def _here(settings: Any) -> str:
    """Address of the monitor that runs on this state folder."""
    from parfocal.adapters import local_record
    from parfocal.core.errors import UsageError

    for record in local_record.running(settings.state.resolve()):
        if address := record["services"].get("monitor", {}).get("address"):
            return str(address)
    raise UsageError("no monitor runs here", next="give --url, or set PARFOCAL_MONITOR_URL or PARFOCAL_STATE")
