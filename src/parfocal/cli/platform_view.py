"""How the platform's verbs look on a console."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from parfocal.core.reporting import JsonLines, Silent

if TYPE_CHECKING:
    from rich.table import Table

    from parfocal.core.protocols import Reporter

PAGES = {
    "mlflow": "runs and models",
    "segmenter": "POST /segment",
    "monitor": "drift, alarms, labels, retrains",
    "prometheus": "every measured value",
    "alertmanager": "alerts",
}
COLOURS = {"up": "green", "starting": "yellow", "coming": "yellow", "restarting": "red", "stopped": "dim"}
LOOK = 0.5
"""Seconds between two looks at the services while a person watches."""


class Lines:
    """A line a sentence, with the time: for a log, or for a person who looks now and then."""

    def __init__(self, write: Callable[[str], None] | None = None) -> None:
        self._lock = threading.Lock()
        self._write = write or (lambda text: click.echo(text, err=True))

    def progress(self, stage: str, done: int, total: int) -> None: ...

    def epoch(self, stage: str, step: int, values: Mapping[str, float]) -> None: ...

    def note(self, message: str) -> None:
        from datetime import datetime

        with self._lock:
            self._write(f"{datetime.now().astimezone():%H:%M:%S}  {message}")


def reporter(as_json: bool, quiet: bool) -> Reporter:
    """Silence, JSON lines or lines, on standard error."""
    if quiet:
        return Silent()
    return JsonLines(sys.stderr) if as_json else Lines()


@contextmanager
def board(states: Callable[[], Mapping[str, tuple[str, str]]], lines: Reporter) -> Iterator[None]:
    """While it is open, the services stand below the lines, kept up to date; on a terminal alone.

    Args:
        states: gives service to state and address.
        lines: what is said meanwhile; anything but `Lines` is left as it is, without a board.
    """
    if not (isinstance(lines, Lines) and sys.stdout.isatty() and sys.stderr.isatty()):
        yield
        return
    from rich.console import Console
    from rich.live import Live

    console = Console(highlight=False)
    written = lines._write
    with Live(_table(states()), console=console, auto_refresh=False) as live:
        lines._write = lambda text: console.print(text, markup=False)
        closed = threading.Event()

        def follow() -> None:
            while not closed.wait(LOOK):
                live.update(_table(states()), refresh=True)

        follower = threading.Thread(target=follow, daemon=True)
        follower.start()
        try:
            yield
        finally:
            closed.set()
            follower.join()
            live.update(_table(states()), refresh=True)
            lines._write = written


def _table(states: Mapping[str, tuple[str, str]]) -> Table:
    from rich.table import Table
    from rich.text import Text

    table = Table("service", "state", "address", "", box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for name, (state, address) in states.items():
        table.add_row(name, Text(state, COLOURS.get(state, "")), address, Text(PAGES.get(name, ""), "dim"))
    return table


def addresses(known: Mapping[str, str], state: Path) -> None:
    """Where everything is."""
    click.echo()
    for name, address in known.items():
        click.echo(f"  {name:<13} {address:<28} {PAGES.get(name, '')}".rstrip())
    files(state)
    click.echo()


def entry(known: Mapping[str, str], made: str | None, is_open: bool) -> None:
    """How to come in: the first token, which is shown this once, or that none is asked for."""
    if is_open:
        click.echo("Open: no token is asked for, and this machine alone is served.")
    elif made:
        click.echo(f"The first token, shown this once (of `owner`; `parfocal token` makes and ends tokens):\n  {made}")
        if "monitor" in known:
            click.echo(f"  sign in       {known['monitor']}/sign-in#{made}")
        if "segmenter" in known:
            click.echo(f'  curl -H "Authorization: Bearer {made}" -F image=@photo.jpg {known["segmenter"]}/segment')
    else:
        click.echo("A token is asked for: `parfocal token list` shows whose, `parfocal token add` makes one.")


def files(state: Path) -> None:
    """Where logs and token are."""
    click.echo(f"  {'logs':<13} {state / 'logs'}")
    if (state / "token").is_file():
        click.echo(f"  {'token':<13} {state / 'token'}")


def status(found: Mapping[str, Any]) -> None:
    """What `parfocal.adapters.local_status.look` has found: services, then the champion, then alarms."""
    if found["services"]:
        _services(found["services"])
        click.echo()
    else:
        click.echo(f"nothing runs on {found['state']}; `parfocal up` starts everything")
    champion, rejected = found["champion"], found["rejected"]
    click.echo(f"champion of {found['task']}: {_version(champion) if champion else 'none is served here'}")
    if rejected:
        click.echo(f"refused: version {rejected['version']}, {rejected['reason']}")
    for alarm in found["alarms"]:
        name = alarm["instrument"] or "an undeclared instrument"
        click.echo(f"ALARM: {alarm['stream']} at {name}, raised by its case {alarm['alarm_at']}")
    if found["services"]:
        click.echo(f"logs: {Path(found['state']) / 'logs'}")


def _services(rows: Mapping[str, Mapping[str, Any]]) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    heads = ("service", "state", "process", "address", "health", "restarts")
    table = Table(*heads, box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for name, row in rows.items():
        health = Text(row["health"], "green" if row["well"] else "red")
        table.add_row(name, row["state"], str(row["pid"] or "-"), row["address"] or "-", health, str(row["restarts"]))
    Console(highlight=False, width=None if sys.stdout.isatty() else 120).print(table)


def _version(champion: Mapping[str, Any]) -> str:
    return f"version {champion['version']} ({champion['checksum'][:12]}) since {champion['since']}"
