"""`parfocal monitor candidates | name | merge | dismiss`: what to make of cases that no known instrument made."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote

import click

from parfocal.cli.asking import URL, ask, signed


@click.command()
@URL
@click.option("--json", "as_json", is_flag=True, help="The monitor's answer as it is.")
def candidates(url: str, as_json: bool) -> None:
    """Show groups of undeclared cases that lie far from every known instrument.

    Each may be an instrument that nobody has named. The cases to label first are those that a retrain on it would need.

    \b
        parfocal monitor candidates
        parfocal monitor name 3f1c9a20 clinic-north --by Ada --reason "new camera since Monday"
    """
    found = ask("GET", url, "/api/candidates")
    if as_json:
        click.echo(json.dumps(found, indent=1))
        return
    if not found["candidates"]:
        click.echo("no group of undeclared cases lies far from every known instrument")
    for one in found["candidates"]:
        _say(one)
    for act in found["actions"][:5]:
        target = f" {act['target']}" if act["target"] else ""
        click.echo(f"{_minute(act['time'])}  {act['by']}: {act['action']} {act['candidate']}{target} ({act['reason']})")


@click.command()
@click.argument("candidate")
@click.argument("instrument")
@signed
def name(candidate: str, instrument: str, by: str, reason: str, url: str) -> None:
    """Say that CANDIDATE is INSTRUMENT: a new one, or a known one whose cases came undeclared.

    Its cases count for that instrument from now on, in the detectors and among those to label, and later cases near it
    are taken for its own. The photographs' own record is left as it came.
    """
    _act(url, candidate, "name", {"name": instrument, "by": by, "reason": reason})


@click.command()
@click.argument("candidate")
@click.argument("into")
@signed
def merge(candidate: str, into: str, by: str, reason: str, url: str) -> None:
    """Make CANDIDATE part of the candidate INTO, which keeps its id and its name."""
    _act(url, candidate, "merge", {"into": into, "by": by, "reason": reason})


@click.command()
@click.argument("candidate")
@signed
def dismiss(candidate: str, by: str, reason: str, url: str) -> None:
    """Say that CANDIDATE is no instrument: test charts, say. Later cases like it are not shown again."""
    _act(url, candidate, "dismiss", {"by": by, "reason": reason})


COMMANDS = (candidates, name, merge, dismiss)


def _act(url: str, candidate: str, what: str, body: Mapping[str, str]) -> None:
    _say(ask("POST", url, f"/candidates/{quote(candidate, safe='')}/{what}", body))


def _say(one: Mapping[str, Any]) -> None:
    """A candidate for a person."""
    state = f"is {one['instrument']}" if one["state"] == "named" else one["state"]
    click.echo(f"{one['id']}  {one['name']}: {state}, {one['size']} cases, tightness {one['tightness']:.2f}")
    if "first_seen" in one:
        click.echo(f"    seen {_minute(one['first_seen'])} to {_minute(one['last_seen'])}")
    click.echo(f"    typical: {', '.join(one['examples']) or 'none'}")
    for purpose, text in (("train", "training"), ("test", "test")):
        if cases := one["cases"].get(purpose):
            click.echo(f"    to label for the {text}: {', '.join(cases)}")


def _minute(seconds: float | None) -> str:
    return "-" if seconds is None else f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%d %H:%M} UTC"
