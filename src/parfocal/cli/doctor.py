"""`parfocal doctor`: whether this machine and its settings will do, and what to do where they will not."""

from __future__ import annotations

import json
import sys

import click

MARKS = {"ok": ("ok  ", "green"), "warn": ("warn", "yellow"), "fail": ("fail", "red")}


@click.command()
@click.option("--json", "as_json", is_flag=True, help="One JSON document on standard output.")
def doctor(as_json: bool) -> None:
    """Look whether this machine and its settings will do.

    Python and packages, processor and graphics card, disk, what is optional, the state folder (PARFOCAL_STATE), the
    registry (MLFLOW_TRACKING_URI) and the database (PARFOCAL_DATABASE_URL), and whether the champion draws the same
    masks on this processor as its weights do. A line with "warn" costs speed or a feature, one with "fail" has to be
    mended; each says what to do. Nothing is changed.

    Exit codes: 0 nothing failed, 1 something did, 6 an outside service could not be reached.
    """
    from parfocal.adapters import Settings
    from parfocal.adapters.checks import every

    found = []
    for check in every(Settings()):
        found.append(check)
        if not as_json:
            mark, colour = MARKS[check.level]
            click.echo(f"{click.style(mark, fg=colour)}  {check.name:<12} {check.says}")
            if check.next:
                click.echo(f"      {'':<12} -> {check.next}")
    failed = [check for check in found if check.level == "fail"]
    if as_json:
        rows = [{"name": c.name, "level": c.level, "says": c.says, "next": c.next} for c in found]
        click.echo(json.dumps({"well": not failed, "checks": rows}, indent=1))
    if failed:
        sys.exit(6 if all(check.outside for check in failed) else 1)
