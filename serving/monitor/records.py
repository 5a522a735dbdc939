"""Decisions and runs, as the database keeps them."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from parfocal_serving.monitor.schema import DECISIONS, RUNS
from sqlalchemy import Connection, RowMapping, insert, select, update

DECIDED, PENDING, RUNNING, SUCCEEDED, FAILED, CANCELLED = (
    "decided", "pending", "running", "succeeded", "failed", "cancelled",
)  # fmt: skip
ENDED = (SUCCEEDED, FAILED, CANCELLED)


@dataclass(frozen=True, slots=True)
class RunRecord:
    """One retrain, from the decision to its end.

    Attributes:
        key: idempotency key, and the run's name.
        number: of the experience that it closes.
        arguments: exactly what the pipeline gets.
        state: ``decided`` until the launcher has it, then the launcher's word for it.
        run_id: the launcher's.
        outcome: what the gate said, where the launcher hands it back.
        decided, launched, ended: unix seconds.
        error: of the run, or of the latest attempt to launch it.
    """

    key: str
    task: str
    instrument: str
    number: int
    pipeline: str
    arguments: Mapping[str, str]
    decided: float
    state: str = DECIDED
    run_id: str = ""
    outcome: str = ""
    launched: float | None = None
    ended: float | None = None
    error: str = ""


def decide(
    connection: Connection,
    task: str,
    instrument: str,
    action: str,
    reason: str,
    key: str,
    facts: str,
    now: float,
    cases: Mapping[str, Sequence[str]] | None = None,
) -> None:
    """Write a decision down; one that says again what the instrument's last one said, other numbers apart, is counted
    there, with the latest wording."""
    named = json.dumps(dict(cases or {}))
    here = (DECISIONS.c.task == task, DECISIONS.c.instrument == instrument)
    last = connection.execute(select(DECISIONS).where(*here).order_by(DECISIONS.c.number.desc()).limit(1)).first()
    if last is not None and (last.action, last.key, _sentence(last.reason)) == (action, key, _sentence(reason)):
        again = update(DECISIONS).where(DECISIONS.c.number == last.number)
        connection.execute(again.values(times=last.times + 1, last_time=now, reason=reason, facts=facts, cases=named))
        return
    connection.execute(
        insert(DECISIONS).values(
            time=now, last_time=now, times=1, task=task, instrument=instrument, action=action, reason=reason, key=key,
            facts=facts, cases=named,
        )
    )  # fmt: skip


def decisions(connection: Connection, task: str, most: int) -> list[RowMapping]:
    """The newest first."""
    query = (
        select(DECISIONS)
        .where(DECISIONS.c.task == task)
        .order_by(DECISIONS.c.last_time.desc(), DECISIONS.c.number.desc())
    )
    return list(connection.execute(query.limit(most)).mappings())


def begin(connection: Connection, run: RunRecord) -> None:
    """Record a run before anything else is done for it."""
    values = {name: getattr(run, name) for name in RunRecord.__slots__}
    connection.execute(insert(RUNS).values(**{**values, "arguments": json.dumps(dict(run.arguments), sort_keys=True)}))


def change(connection: Connection, key: str, was: str = "", **values: Any) -> bool:
    """Write down how a run goes on, if its state is what it `was`, where that is said; whether it was."""
    query = update(RUNS).where(RUNS.c.key == key)
    query = query.where(RUNS.c.state == was) if was else query
    return connection.execute(query.values(**values)).rowcount > 0


def redate(connection: Connection, run: RunRecord, now: float) -> None:
    """A run that lies in the future, because the clock was set back, was now."""
    times = {name: getattr(run, name) for name in ("decided", "launched", "ended")}
    late: dict[str, Any] = {name: now for name, time in times.items() if time is not None and time > now}
    change(connection, run.key, **late)


def runs(connection: Connection, task: str) -> Sequence[RunRecord]:
    """All of them, the newest first."""
    query = select(RUNS).where(RUNS.c.task == task).order_by(RUNS.c.decided.desc(), RUNS.c.number.desc())
    return [
        RunRecord(**{**row, "arguments": json.loads(row["arguments"])}) for row in connection.execute(query).mappings()
    ]


def _sentence(reason: str) -> str:
    return re.sub(r"\d+", "#", reason)
