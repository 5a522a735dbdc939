"""`parfocal pipeline approve`: a person takes upon themselves what the gate could not decide in a run here."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click

from parfocal.cli import inputs
from parfocal.cli.console import Options
from parfocal.core.errors import UsageError


@click.command()
@click.argument("run")
@click.option("--by", required=True, help="Who. Kept in the ledger and in the evidence.")
@click.option("--reason", required=True, help="Why, in a sentence; kept likewise.")
def approve(run: str, by: str, reason: str) -> None:
    """Promote the challenger of RUN, of which the gate said `inconclusive`.

    RUN is the key of a retrain that the monitor started on this machine, as its page shows it, or the run's folder. A
    refusal cannot be approved. The same command again finishes one that was stopped.

    \b
        parfocal pipeline approve fundus-B-v1-3f1c9a20d7e2 --by Ada --reason "12 of 12 outlines looked at, all better"
    """
    from parfocal.adapters import Settings, monitored
    from parfocal.promotion.evidence import Approval
    from parfocal.steps import promote
    from parfocal.steps.config import RunConfig

    folder = Path(run) if Path(run).is_dir() else Settings().state.resolve() / "runs" / run
    asked, left = _read(folder / "request.json")["arguments"], _read(folder / "state.json")
    outputs = left.get("outputs", {})
    if outputs.get("outcome") != "inconclusive":
        raise UsageError(
            f"the gate did not say inconclusive: the run is {left['state']}, {outputs.get('outcome') or 'no decision'}",
            where=folder,
            next="parfocal registry history shows what was decided",
        )
    key = asked["idempotency_key"]
    with Options(None, (), False, False).reporter() as report, inputs.tracked("promote", key) as (platform, tracked):
        promote.run(
            Path(outputs["evaluation"]),
            Path(outputs["bundle"]),
            folder / "approved",
            RunConfig.from_json(asked["config"]),
            key=key,
            store=platform.models,
            ledger=platform.ledger,
            run=tracked,
            reporter=report,
            approval=Approval(by, reason),
            origin=monitored.origin(key),
        )
    click.echo((folder / "approved" / "summary.md").read_text())


def _read(file: Path) -> dict[str, Any]:
    try:
        return dict(json.loads(file.read_text()))
    except FileNotFoundError:
        raise UsageError(
            "there is no such run in this state folder, or it has not ended",
            where=file.parent,
            expected="the key of a retrain that the monitor of this PARFOCAL_STATE started, or the folder of a run",
            next="set PARFOCAL_STATE as the platform has it (the demo's: runs/demo/state); of a run on a cluster: "
            "parfocal promote EVALUATION --challenger BUNDLE --approve NAME --reason WHY",
        ) from None
