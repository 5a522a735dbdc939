"""What a person may do with a run: start one again that failed, end one that is stuck. Both are decisions on record."""

from __future__ import annotations

from parfocal_serving.monitor import records
from parfocal_serving.monitor.records import CANCELLED, DECIDED, ENDED, FAILED, RunRecord
from sqlalchemy import Connection

from parfocal.core.errors import UsageError


def again(connection: Connection, task: str, key: str, by: str, reason: str, now: float) -> None:
    """Have a failed run carried through once more, under its own key.

    Raises:
        UsageError: there is no such run, or it did not fail.
    """
    found = _found(connection, task, key)
    if found is None or found.state not in (FAILED, CANCELLED):
        raise UsageError("there is no such run that failed", where=key, next="look at /api/state for the runs")
    said = f"started again by {by}: {reason}"
    records.decide(connection, task, found.instrument, "start", said, key, "{}", now)
    records.change(connection, key, state=DECIDED, ended=None, error="")


def abandon(connection: Connection, task: str, key: str, by: str, reason: str, now: float) -> None:
    """Have a run followed no longer, so that others may start. What runs at the launcher's is not stopped.

    Raises:
        UsageError: there is no such run, or it has ended.
    """
    found = _found(connection, task, key)
    if found is None or found.state in ENDED:
        raise UsageError("there is no such run that goes on", where=key, next="look at /api/state for the runs")
    said = f"abandoned by {by}: {reason}"
    records.decide(connection, task, found.instrument, "none", said, key, "{}", now)
    records.change(connection, key, state=CANCELLED, ended=now, error=said)


def _found(connection: Connection, task: str, key: str) -> RunRecord | None:
    return next((run for run in records.runs(connection, task) if run.key == key), None)
