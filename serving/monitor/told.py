"""What the ledger says of runs: the gate's word on each, and how it ended, whoever started it."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from parfocal.core.protocols import LedgerEntry
from parfocal.core.types import Outcome
from parfocal.promotion.ledger import DECISION, PROMOTION
from parfocal.steps.report_end import RUN_ENDED, UNKNOWN

SHOWN = 20
"""Runs of others, newest first."""


@dataclass(frozen=True, slots=True)
class Told:
    """Of one run.

    Attributes:
        outcome: the gate's word; ``promote`` only when the model has become the champion. Empty: it said nothing.
        state: how the run ended, by its own report; empty without one, or where Kubeflow did not know.
        error: what failed, by that report.
    """

    outcome: str = ""
    state: str = ""
    error: str = ""


def of(entries: Sequence[LedgerEntry], key: str, launched: float | None) -> Told:
    """What a task's entries, oldest first, say of the run with that key, by its newest report since it was launched.

    A report from before is of an earlier attempt at the same piece of work. The gate's word is of the work.
    """
    promoted = any((entry.kind, entry.key) == (PROMOTION, key) for entry in entries)
    said = [str(entry.body["outcome"]) for entry in entries if entry.kind == DECISION and entry.body.get("key") == key]
    # A promotion that was decided on and not carried out replaces nobody.
    outcome = Outcome.PROMOTE.value if promoted else next((one for one in said[-1:] if one != Outcome.PROMOTE), "")
    reports = [
        entry.body
        for entry in entries
        if entry.kind == RUN_ENDED and entry.body.get("key") == key and _seconds(entry) >= (launched or 0.0)
    ]
    report = reports[-1] if reports else {}
    state = str(report.get("state", ""))
    return Told(outcome, "" if state == UNKNOWN else state, str(report.get("error", "")))


def others(entries: Sequence[LedgerEntry], mine: Collection[str]) -> list[dict[str, Any]]:
    """How the runs ended that this monitor did not start, newest first; plain JSON, `ended` in unix seconds."""
    found = [entry for entry in entries if entry.kind == RUN_ENDED and entry.body.get("key") not in mine]
    return [
        {**{name: str(entry.body.get(name, "")) for name in ("pipeline", "key", "state", "run", "error")},
         "ended": _seconds(entry)}
        for entry in reversed(found[-SHOWN:])
    ]  # fmt: skip


def _seconds(entry: LedgerEntry) -> float:
    return datetime.fromisoformat(entry.time).timestamp()
