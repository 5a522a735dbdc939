"""`parfocal registry`: the ledger and the aliases, for people."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from parfocal.adapters.monitored import Answer
    from parfocal.core.protocols import LedgerEntry
    from parfocal.promotion.account import Account

TASK = click.option("--task", default="fundus", show_default=True, help="Registered model.")
JSON = click.option("--json", "as_json", is_flag=True, help="One JSON document on standard output.")
SLACK = 60.0
"""Seconds by which the clocks of segmenter and ledger may differ, and in which a segmenter has swapped its model."""


@click.group()
def registry() -> None:
    """What was promoted, when, by whom and on what evidence; and the way back.

    \b
    Which model answered this patient last month, and why was it promoted?
        parfocal registry who --patient KEY --at 2026-10
        parfocal registry card VERSION
    State is read from ./parfocal-state; set PARFOCAL_STATE where it is elsewhere (of `make demo`: runs/demo/state).
    """


@registry.command(short_help="List every decision, promotion, approval and rollback.")
@TASK
@JSON
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


@registry.command(short_help="Which model answered a patient, or on a day, and why.")
@TASK
@click.option(
    "--patient", default="", metavar="KEY", help="The patient's key, as the clinic sends it in the field `patient`."
)
@click.option("--at", "date", default="", metavar="DATE", help="2026, 2026-10, 2026-10-21 or 2026-10-21T14:05; UTC.")
@JSON
def who(task: str, patient: str, date: str, as_json: bool) -> None:
    """Say which model answered a patient, or answered at a time, and why that model had been promoted.

    The key is turned into the HMAC under which the monitor keeps its observations; it is not written anywhere. Run it
    where the segmenter keeps its state (PARFOCAL_STATE), or with PARFOCAL_PATIENT_SECRET and PARFOCAL_DATABASE_URL
    set as there.
    """
    from parfocal.adapters import monitored
    from parfocal.core.errors import UsageError
    from parfocal.promotion import account

    if not patient and not date:
        raise UsageError("who answered whom, or when?", next="give --patient KEY, --at DATE, or both")
    start, end = account.period(date) if date else (0.0, float("inf"))
    entries = _entries(task)
    if not patient:
        found = account.accounts(entries, start, end)
        _say(as_json, {"task": task, "at": date}, None, found, frozenset())
        return
    settings = monitored.MonitoredSettings()
    given = monitored.answers(settings, task, monitored.pseudonym(settings, patient), start, end)
    stretches = {
        one.reign.seq: one
        for answer in given
        for one in account.accounts(entries, answer.time, answer.time + 1e-3, answer.version)
        or account.accounts(entries, 0.0, float("inf"), answer.version)[-1:]
    }
    reigned = frozenset(
        answer.id
        for answer in given
        if account.accounts(entries, answer.time - SLACK, answer.time + SLACK, answer.version)
    )
    _say(as_json, {"task": task, "at": date}, given, list(stretches.values()), reigned)


@registry.command(short_help="Print the model card of a promoted VERSION, or its evidence.")
@click.argument("version")
@TASK
@click.option("--out", type=click.Path(path_type=Path, dir_okay=False), help="Write it to this file.")
@click.option("--json", "as_json", is_flag=True, help="The evidence that the card is written from, as JSON.")
def card(version: str, task: str, out: Path | None, as_json: bool) -> None:
    """Print the model card of a promoted VERSION, written anew from the evidence in the ledger."""
    from parfocal.core.errors import UsageError
    from parfocal.promotion import account, evidence
    from parfocal.promotion import card as writer

    found = account.evidence_of(_entries(task), version)
    if not as_json and "cells" not in found:
        raise UsageError(
            f"the evidence of version {version} is from a program that wrote no model cards: it has no table of cells",
            next="--json prints what it has",
        )
    text = evidence.text(found) if as_json else writer.render(found)
    if out is None:
        click.echo(text, nl=False)
    else:
        out.write_text(text)
        click.echo(f"written to {out}")


@registry.command(short_help="Make an earlier promoted version answer again.")
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


@registry.command(short_help="Has anybody changed the record?")
def verify() -> None:
    """Recompute the ledger's hash chain, and look for its end.

    The end is compared with the file beside a SQLite ledger and with what every tracked run that decided something was
    told of it. Exit code 3 names the entry that was changed or is missing; 6: the tracked runs cannot be asked now.
    """
    from parfocal.adapters import anchors, connect
    from parfocal.promotion.ledger import hold

    platform = connect()
    number = platform.ledger.verify()
    click.echo(f"{number} entries, chain unbroken")
    kept = anchors.tracked(platform.settings)
    entries = platform.ledger.entries()  # after them: others append meanwhile
    ours = [anchor for anchor in kept if not entries or anchor.first == entries[0].hash]
    hold(entries, ours)
    newest = max((anchor.seq for anchor in ours), default=0)
    said = f"{len(ours)} tracked runs were told of its end, the latest of entry {newest}: nothing is cut off"
    other = f"; {len(kept) - len(ours)} name another ledger" if len(kept) > len(ours) else ""
    click.echo((said if ours else "no tracked run was told of its end") + other)


def _entries(task: str) -> list[LedgerEntry]:
    """The ledger's entries of a task.

    Raises:
        UsageError: there are none, so this is the wrong folder, database or task, or nothing was decided yet.
    """
    from parfocal.adapters import connect
    from parfocal.core.errors import UsageError

    platform = connect()
    entries = list(platform.ledger.entries(task))
    if not entries:
        others = ", ".join(sorted({entry.task for entry in platform.ledger.entries()}))
        raise UsageError(
            f"nothing was ever decided about {task} in this ledger",
            where="PARFOCAL_DATABASE_URL" if platform.settings.database_url else platform.settings.state.resolve(),
            expected=f"--task {others}" if others else "",
            next="set PARFOCAL_STATE to the folder of the installation (of `make demo`: runs/demo/state)",
        )
    return entries


def _say(
    as_json: bool,
    asked: Mapping[str, Any],
    answers: Sequence[Answer] | None,
    accounts: Sequence[Account],
    reigned: frozenset[str],
) -> None:
    """The answer to `who`. `answers` is None when no patient was asked for; `reigned`: ids of a champion's answers."""
    from dataclasses import asdict

    from parfocal.promotion.account import describe, minute

    if as_json:
        rows = None if answers is None else [asdict(one) | {"champion": one.id in reigned} for one in answers]
        shown = {**asked, "answers": rows, "models": [one.values() for one in accounts]}
        click.echo(json.dumps(shown, indent=1))
        return
    if answers is not None and not answers:
        click.echo("no answer to this patient is on record for that time: there was none, it is older than the monitor")
        click.echo("keeps observations (400 days unless told otherwise), or key or secret are not those of the clinic")
        return
    for answer in answers or ():
        device = answer.instrument or "instrument not declared"
        how = "" if answer.id in reigned else "  not the champion then: the challenger of a canary, or before a swap"
        click.echo(f"{minute(answer.time)}  {answer.task} version {answer.version}  {device}{how}")
    explained = {one.reign.version for one in accounts}
    for version in dict.fromkeys(answer.version for answer in answers or () if answer.version not in explained):
        click.echo(f"version {version} was never champion by this ledger, so nothing promoted it")
    if answers is None and not accounts:
        click.echo(f"no model of {asked['task']} answered then")
    for one in accounts:
        click.echo("\n".join(["", *describe(one)] if answers else describe(one)))


def _line(body: Mapping[str, Any]) -> str:
    shown = ("version", "outcome", "approved_by", "by", "reason")
    return "  ".join(f"{name} {body[name]}" for name in shown if body.get(name))
