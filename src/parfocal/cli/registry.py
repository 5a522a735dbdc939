"""`parfocal registry`: the ledger and the aliases, for people."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import click

TASK = click.option("--task", default="fundus", show_default=True, help="Registered model.")


@click.group()
def registry() -> None:
    """What was promoted, when, by whom and on what evidence; and the way back."""


@registry.command()
@TASK
@click.option("--json", "as_json", is_flag=True, help="One JSON document on standard output.")
def history(task: str, as_json: bool) -> None:
    """List every decision, promotion, approval, rollback and alias moved by hand, oldest first."""
    from parfocal.adapters import connect

    platform = connect()
    entries = platform.ledger.entries(task)
    champion = platform.models.get(task, "champion")
    if as_json:
        rows = [{"seq": e.seq, "time": e.time, "kind": e.kind, "key": e.key, "body": dict(e.body)} for e in entries]
        click.echo(json.dumps({"champion": champion.version if champion else None, "entries": rows}, indent=1))
        return
    for entry in entries:
        click.echo(f"{entry.seq:>4}  {entry.time}  {entry.kind:<18} {_line(entry.body)}")
    click.echo(f"champion of {task}: {f'version {champion.version}' if champion else 'none'}")


@registry.command()
@TASK
@click.option("--to", "version", default="", help="Version to go back to. Default: the champion before this one.")
@click.option("--by", required=True, help="Who; goes to the ledger.")
@click.option("--reason", required=True, help="Why; goes to the ledger.")
def rollback(task: str, version: str, by: str, reason: str) -> None:
    """Move the alias `champion` back to an earlier promoted version."""
    from parfocal.adapters import connect
    from parfocal.steps.promote import rollback as step

    platform = connect()
    moved = step(platform.models, platform.ledger, task, to=version or None, by=by, reason=reason)
    click.echo(f"champion of {task}: version {moved.version}")


@registry.command()
def verify() -> None:
    """Recompute the ledger's hash chain; exit code 3 names the entry that was changed."""
    from parfocal.adapters import connect

    click.echo(f"{connect().ledger.verify()} entries, chain unbroken")


def _line(body: Mapping[str, Any]) -> str:
    shown = ("version", "outcome", "approved_by", "by", "reason")
    return "  ".join(f"{name} {body[name]}" for name in shown if body.get(name))
