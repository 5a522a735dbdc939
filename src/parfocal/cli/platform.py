"""`parfocal serve | monitor | up | down | status`: the services of one machine, for people."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING

import click

from parfocal.cli import candidates, runs
from parfocal.cli import platform_view as view
from parfocal.cli.drift import simulate
from parfocal.cli.platform_run import background, foreground

if TYPE_CHECKING:
    from parfocal.adapters.settings import Settings

DOWN, ALARM = 6, 5
"""Exit codes of `status`: something does not run; a detector is in alarm."""
Command = Callable[..., None]


def _port(name: str) -> Callable[[Command], Command]:
    return click.option(
        f"--{name}-port", type=click.IntRange(1, 65535), help=f"Port of {name}. Default: one that is free."
    )


def _host(default: str = "127.0.0.1") -> Callable[[Command], Command]:
    return click.option("--host", default=default, show_default=True, help="Address to listen on.")


WORKERS = click.option("--workers", type=click.IntRange(min=1), help="Processes of the segmenter.")
OPEN = click.option(
    "--open", "is_open", is_flag=True, help="For development: no tokens; this machine alone is served. [PARFOCAL_OPEN]"
)
AS_JSON = click.option("--json", "as_json", is_flag=True, help="JSON on standard output.")
QUIET = click.option("--quiet", is_flag=True, help="Nothing but errors.")


@click.command()
@_port("segmenter")
@_host()
@WORKERS
@click.option("--monitor-url", default="", help="Where observations are sent. Default: PARFOCAL_MONITOR_URL.")
@OPEN
@AS_JSON
@QUIET
def serve(
    segmenter_port: int | None,
    host: str,
    workers: int | None,
    monitor_url: str,
    is_open: bool,
    as_json: bool,
    quiet: bool,
) -> None:
    """Answer photographs with the champion, until Ctrl-C.

    Two processes: the follower asks the registry every second and fetches a new champion; the segmenter takes it over
    without losing a request, and keeps the old one when the new one is broken. Without a champion it waits for one.

    \b
    The registry is MLFLOW_TRACKING_URI, by default the one in the state folder (PARFOCAL_STATE). Whoever sends a
    photograph needs a token (`parfocal token`; the first start makes one), unless --open serves this machine alone:
        PARFOCAL_STATE=runs/demo/state parfocal serve --open --segmenter-port 3000
        curl -F image=@photo.jpg -F instrument=A http://127.0.0.1:3000/segment
    """
    settings = _settings(is_open)
    if monitor_url:
        settings = settings.model_copy(update={"monitor_url": monitor_url})
    named = {"segmenter": segmenter_port}
    only, speech = ("follower", "segmenter"), (as_json, quiet)
    foreground(settings, only, named, name="serve", speech=speech, host=host, workers=workers or 0)


@click.group(invoke_without_command=True)
@_port("monitor")
@_host()
@OPEN
@AS_JSON
@QUIET
@click.pass_context
def monitor(ctx: click.Context, monitor_port: int | None, host: str, is_open: bool, as_json: bool, quiet: bool) -> None:
    """Watch for drift, take labelled cases, start retrains, show a page, until Ctrl-C.

    An alarm wakes its trigger by itself, unless PARFOCAL_TRIGGER_PATH=alertmanager says that Alertmanager does that.
    People sign in with a token (`parfocal token`; the first start makes one). The segmenter that sends observations has
    the installation's own: PARFOCAL_TOKEN, or what stands in the file `token` of the state folder.

    \b
        parfocal monitor --monitor-port 8081
        PARFOCAL_TOKEN=$(cat parfocal-state/token) parfocal serve --monitor-url http://127.0.0.1:8081
    """
    if ctx.invoked_subcommand is None:
        named = {"monitor": monitor_port}
        foreground(_settings(is_open), ("monitor",), named, name="monitor", speech=(as_json, quiet), host=host)


@monitor.command()
def migrate() -> None:
    """Bring the monitor's database to the version of this program.

    A monitor that starts does so too; this is for who wants it done before. The database is PARFOCAL_DATABASE_URL, by
    default SQLite in the state folder. One that a newer program wrote is refused and left as it is.

    \b
        PARFOCAL_DATABASE_URL=postgresql+psycopg://parfocal@db/parfocal parfocal monitor migrate
    """
    import subprocess

    ended = subprocess.run([sys.executable, "-m", "parfocal_serving.monitor", "--migrate"], check=False)
    sys.exit(ended.returncode)


for command in (simulate, *candidates.COMMANDS, *runs.COMMANDS):
    monitor.add_command(command)


@click.command()
@_port("mlflow")
@_port("segmenter")
@_port("monitor")
@_port("prometheus")
@_port("alertmanager")
@WORKERS
@click.option("--detach", is_flag=True, help="Return when all is ready; `parfocal down` stops it.")
@OPEN
@AS_JSON
@QUIET
def up(workers: int | None, detach: bool, is_open: bool, as_json: bool, quiet: bool, **ports: int | None) -> None:
    """Start the whole platform on this machine and show it, until Ctrl-C.

    MLflow, the follower, the segmenter, the monitor and, when they are installed, Prometheus and Alertmanager; on free
    ports of this machine, unless named. One that dies is started again. All state and all logs are in the folder
    PARFOCAL_STATE, which one platform uses at a time. With MLFLOW_TRACKING_URI at an http address, that registry is
    used and none is started. The first start makes a token and shows it once (`parfocal token` makes more).

    \b
        parfocal up --segmenter-port 3000 --monitor-port 8081
        parfocal up --detach && parfocal status
    """
    named = {name.removesuffix("_port"): port for name, port in ports.items()}
    settings = _settings(is_open)
    if detach:
        background(settings, named, workers, as_json, quiet)
        return
    foreground(settings, None, named, name="platform", speech=(as_json, quiet), workers=workers or 0)


@click.command()
@AS_JSON
def down(as_json: bool) -> None:
    """Stop everything that runs on this state folder (PARFOCAL_STATE), in order, and wait until it is gone.

    A retrain that the monitor has launched on this machine is stopped too, and goes on from its last checkpoint.
    """
    from parfocal.adapters import Settings, local_record

    state = Settings().state.resolve()
    stopped = local_record.stop(state)
    if as_json:
        click.echo(json.dumps({"stopped": stopped}))
    else:
        click.echo(f"stopped: {', '.join(stopped)}" if stopped else f"nothing runs on {state}")


@click.command()
@AS_JSON
def status(as_json: bool) -> None:
    """Show what runs on this state folder (PARFOCAL_STATE), the champion, and alarms.

    Exit codes: 0 all is well, 5 a detector is in alarm, 6 something that should run does not.
    """
    from parfocal.adapters import Settings
    from parfocal.adapters.local_status import look

    found = look(Settings())
    if as_json:
        click.echo(json.dumps(found, indent=1))
    else:
        view.status(found)
    code = DOWN if not found["well"] else ALARM if found["alarms"] else 0
    if code:
        sys.exit(code)


def _settings(is_open: bool) -> Settings:
    from parfocal.adapters import Settings

    found = Settings()
    return found.model_copy(update={"open": True}) if is_open else found
