"""Start a platform for a person: before their eyes until Ctrl-C, or in the background."""

from __future__ import annotations

import json
import signal
import sys
from collections.abc import Mapping
from typing import TYPE_CHECKING

import click

from parfocal.cli import platform_view as view
from parfocal.core.errors import OutsideServiceError

if TYPE_CHECKING:
    from parfocal.adapters.local_platform import LocalPlatform
    from parfocal.adapters.settings import Settings

START = 300
"""Seconds that a platform in the background gets to be ready; on a cold disk MLflow alone may take half a minute."""


def foreground(
    settings: Settings,
    only: tuple[str, ...] | None,
    ports: Mapping[str, int | None],
    *,
    name: str,
    speech: tuple[bool, bool],
    host: str = "127.0.0.1",
    workers: int = 0,
) -> None:
    """Start services, show them, wait for Ctrl-C or SIGTERM, stop them; `speech` is as_json and quiet."""
    from parfocal.adapters.local_platform import LocalPlatform

    as_json, quiet = speech
    made = None if quiet else _first_token(settings)
    report = view.reporter(as_json, quiet)
    chosen = {service: port for service, port in ports.items() if port}
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # as Ctrl-C: everything in order
    platform = LocalPlatform(settings, only=only, ports=chosen, host=host, workers=workers, name=name, reporter=report)
    with platform:
        for missing in platform.left_out:
            report.note(f"{missing} is not installed and is left out (`make system` installs it)")
        with view.board(lambda: _rows(platform), report):
            platform.start()
            if as_json:
                click.echo(json.dumps({"addresses": platform.addresses, "state": str(platform.state), **_told(made)}))
            elif not quiet:
                _ready(platform)
                view.entry(platform.addresses, made, settings.open)
            platform.wait()
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
            report.note("stopping")
            platform.stop()


def _rows(platform: LocalPlatform) -> dict[str, tuple[str, str]]:
    return {name: (state, platform.addresses.get(name, "")) for name, state in platform.states().items()}


def _ready(platform: LocalPlatform) -> None:
    if sys.stdout.isatty():  # the board shows the addresses
        view.files(platform.state)
    else:
        view.addresses(platform.addresses, platform.state)
    click.echo("Ctrl-C stops everything.")


def _first_token(settings: Settings) -> str | None:
    """The token of `owner` where nobody has ever had one and one is needed; it can be shown this once."""
    from parfocal.adapters.tokens import TokenStore

    return None if settings.open else TokenStore(settings.token_file).first()


def _told(made: str | None) -> dict[str, str]:
    return {"token": made} if made else {}


def background(
    settings: Settings, ports: Mapping[str, int | None], workers: int | None, as_json: bool, quiet: bool
) -> None:
    """Start the same command in a session of its own and wait until it says that all is ready."""
    import subprocess
    import time

    from parfocal.adapters import local_record

    words = [f"--{name}-port={port}" for name, port in ports.items() if port]
    words += [f"--workers={workers}"] if workers else []
    words += ["--open"] if settings.open else []
    state = settings.state.resolve()
    made = None if quiet else _first_token(settings)  # here, where it is seen, and not in the log
    log = state / "logs" / "up.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("wb") as output:
        started = subprocess.Popen(  # noqa: S603
            [sys.executable, "-m", "parfocal", "up", "--quiet", *words],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
    until = time.monotonic() + START
    try:
        while True:
            record = local_record.read(state, "platform")
            if record is not None and record["supervisor"] == started.pid and record["ready"]:
                break
            if started.poll() is not None or time.monotonic() > until:
                raise OutsideServiceError(
                    f"the platform did not start:\n{log.read_text(errors='replace').strip()}", where=state / "logs"
                )
            time.sleep(0.1)
    except BaseException:
        started.terminate()
        started.wait()
        raise
    if as_json:
        said = {"addresses": record["addresses"], "state": str(state), "supervisor": started.pid}
        click.echo(json.dumps({**said, **_told(made)}))
    elif not quiet:
        view.addresses(record["addresses"], state)
        view.entry(record["addresses"], made, settings.open)
        click.echo("It runs in the background: `parfocal status` shows it, `parfocal down` stops it.")
