"""What became of the labels that were handed in: the latest retrain of an instrument, in words for the bar."""

from __future__ import annotations

from typing import Any

from parfocal_serving.monitor.cases import CaseStore
from parfocal_serving.monitor.records import DECIDED
from parfocal_serving.monitor.schema import CHAMPIONS, RUNS
from sqlalchemy import Connection, func, select


def latest(connection: Connection, cases: CaseStore, task: str, instrument: str) -> dict[str, Any] | None:
    """Plain JSON of the newest run, None before the first: `cases` labelled that it learns from, when it was `decided`
    (unix seconds), its `state`, the gate's `outcome`, and whether another champion has `followed` since its end."""
    query = select(RUNS).where(RUNS.c.task == task, RUNS.c.instrument == instrument)
    run = connection.execute(query.order_by(RUNS.c.decided.desc(), RUNS.c.number.desc()).limit(1)).mappings().first()
    if run is None:
        return None
    # Before those that are closed: these become those meanwhile.
    waiting = cases.labelled(instrument) if run["state"] == DECIDED else 0
    closed = cases.closed(instrument, run["number"])
    took_over = connection.scalar(select(func.max(CHAMPIONS.c.time)).where(CHAMPIONS.c.task == task))
    return {
        "cases": closed or waiting,
        "decided": run["decided"],
        "state": run["state"],
        "outcome": run["outcome"],
        "followed": run["ended"] is not None and took_over is not None and took_over > run["ended"],
    }
