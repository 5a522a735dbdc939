"""Observations with a photograph, by instrument: those that declared it and those that a person said are of it."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from parfocal_serving.monitor import rows
from parfocal_serving.monitor.cases import NAME
from parfocal_serving.monitor.schema import ASSIGNMENTS, CANDIDATES, DECISIONS, OBSERVATIONS
from parfocal_serving.monitor.store import MOST_NAMES
from sqlalchemy import Connection, Select, select

from parfocal.core.types import Observation

HERE = OBSERVATIONS.c.case_ref.is_not(None)


def instruments(connection: Connection, task: str) -> list[str]:
    """Those with a photograph, by name."""
    declared = select(OBSERVATIONS.c.instrument).where(OBSERVATIONS.c.task == task, HERE).distinct().limit(MOST_NAMES)
    named = select(CANDIDATES.c.instrument).where(CANDIDATES.c.task == task).distinct()
    found = {*connection.execute(declared).scalars(), *connection.execute(named).scalars()}
    return sorted(name for name in found if NAME.fullmatch(name))


def newest(connection: Connection, task: str, instrument: str, most: int) -> list[Observation]:
    """The newest with a photograph, in the order in which they came. The others' ids cannot name a file."""
    declared = select(OBSERVATIONS).where(OBSERVATIONS.c.task == task, OBSERVATIONS.c.instrument == instrument, HERE)
    of_candidates = (
        select(OBSERVATIONS)
        .join(ASSIGNMENTS, ASSIGNMENTS.c.arrival == OBSERVATIONS.c.arrival)
        .join(CANDIDATES, (CANDIDATES.c.task == ASSIGNMENTS.c.task) & (CANDIDATES.c.id == ASSIGNMENTS.c.candidate))
        .where(ASSIGNMENTS.c.task == task, CANDIDATES.c.instrument == instrument, HERE)
    )
    found = {row["arrival"]: row for query in (declared, of_candidates) for row in _last(connection, query, most)}
    kept = [rows.observation(found[arrival]) for arrival in sorted(found)[-most:]]
    return [one for one in kept if NAME.fullmatch(one.id)]


def one(connection: Connection, task: str, case: str) -> Observation | None:
    """The observation of that id; None when it was pruned."""
    query = select(OBSERVATIONS).where(OBSERVATIONS.c.task == task, OBSERVATIONS.c.id == case)
    found = connection.execute(query).mappings().first()
    return None if found is None else rows.observation(found)


def decided(connection: Connection, task: str, instrument: str) -> Mapping[str, Sequence[str]]:
    """Ids by purpose that the newest decision asks labels for; nothing where a retrain was started since."""
    here = (DECISIONS.c.task == task, DECISIONS.c.instrument == instrument, DECISIONS.c.action.in_(("label", "start")))
    query = select(DECISIONS).where(*here).order_by(DECISIONS.c.number.desc()).limit(1)
    found = connection.execute(query).mappings().first()
    if found is None or found["action"] != "label":
        return {}
    cases: dict[str, list[str]] = json.loads(found["cases"])
    return cases


def _last(connection: Connection, query: Select[Any], most: int) -> Sequence[Any]:
    return connection.execute(query.order_by(OBSERVATIONS.c.arrival.desc()).limit(most)).mappings().all()
