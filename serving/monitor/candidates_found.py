"""What a look for unnamed instruments reads of the database, and what it writes there."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from parfocal_serving.monitor import rows
from parfocal_serving.monitor.candidates import DISSOLVED, OPEN, Kept
from parfocal_serving.monitor.database import upsert
from parfocal_serving.monitor.schema import ASSIGNMENTS, CANDIDATES, OBSERVATIONS
from sqlalchemy import ColumnElement, Connection, func, or_, select, update

from parfocal.core.types import Observation
from parfocal.drift.novelty import Candidate

LOOKED = 10_000
"""Newest undeclared cases that are looked at for those that are nobody's yet."""
CONSIDERED = 2000
"""Of these, cases that are grouped: the newest."""
SAMPLE = 100
"""Newest cases of a candidate that a person has settled, by which later ones are told to belong to it."""


@dataclass(frozen=True, slots=True)
class Waiting:
    """An undeclared case, and the open candidate that it is in; "" in none."""

    arrival: int
    candidate: str
    observation: Observation


def newest_arrival(connection: Connection, task: str, reference_id: str) -> int:
    """Number of the newest undeclared case under a reference; 0 when there is none."""
    here = _undeclared(task, reference_id)
    return int(connection.execute(select(func.max(OBSERVATIONS.c.arrival)).where(*here)).scalar() or 0)


def waiting(connection: Connection, task: str, reference_id: str) -> list[Waiting]:
    """The newest undeclared cases that are in no candidate that a person has settled, in the order of arrival."""
    arrival = OBSERVATIONS.c.arrival
    newest = select(arrival).where(*_undeclared(task, reference_id)).order_by(arrival.desc()).limit(LOOKED).subquery()
    owner = (CANDIDATES.c.task == ASSIGNMENTS.c.task) & (CANDIDATES.c.id == ASSIGNMENTS.c.candidate)
    query = (
        select(OBSERVATIONS, ASSIGNMENTS.c.candidate)
        .join(newest, newest.c.arrival == arrival)
        .outerjoin(ASSIGNMENTS, ASSIGNMENTS.c.arrival == arrival)
        .outerjoin(CANDIDATES, owner)
        .where(or_(CANDIDATES.c.state.is_(None), CANDIDATES.c.state == OPEN))
        .order_by(arrival.desc())
        .limit(CONSIDERED)
    )
    found = connection.execute(query).mappings().all()
    return [Waiting(row["arrival"], row["candidate"] or "", rows.observation(row)) for row in reversed(found)]


def sample(connection: Connection, task: str, candidate: str) -> list[Observation]:
    """Some of a candidate's cases: the newest."""
    query = (
        select(OBSERVATIONS)
        .join(ASSIGNMENTS, ASSIGNMENTS.c.arrival == OBSERVATIONS.c.arrival)
        .where(ASSIGNMENTS.c.task == task, ASSIGNMENTS.c.candidate == candidate)
        .order_by(OBSERVATIONS.c.arrival.desc())
        .limit(SAMPLE)
    )
    return [rows.observation(row) for row in connection.execute(query).mappings()]


def unmoved(connection: Connection, task: str, reference_id: str, most: int) -> list[tuple[int, Observation]]:
    """Arrival and case of those whose instrument a person named and whose detectors have not seen them yet, oldest
    first; the cases bear that name."""
    owner = (CANDIDATES.c.task == ASSIGNMENTS.c.task) & (CANDIDATES.c.id == ASSIGNMENTS.c.candidate)
    query = (
        select(OBSERVATIONS, CANDIDATES.c.instrument.label("given"))
        .join(ASSIGNMENTS, ASSIGNMENTS.c.arrival == OBSERVATIONS.c.arrival)
        .join(CANDIDATES, owner)
        .where(CANDIDATES.c.task == task, CANDIDATES.c.reference_id == reference_id)
        .where(CANDIDATES.c.instrument != "", ~ASSIGNMENTS.c.moved)
        .order_by(OBSERVATIONS.c.arrival)
        .limit(most)
    )
    found = connection.execute(query).mappings().all()
    return [(row["arrival"], replace(rows.observation(row), instrument=row["given"])) for row in found]


def assign(connection: Connection, task: str, owners: Mapping[int, str], now: float) -> None:
    """Say of cases, by arrival, in which candidate they are."""
    upsert(
        connection,
        ASSIGNMENTS,
        [
            {"arrival": arrival, "task": task, "candidate": candidate, "time": now, "moved": False}
            for arrival, candidate in owners.items()
        ],
    )


def put(
    connection: Connection,
    task: str,
    reference_id: str,
    candidate: Candidate,
    cases: Mapping[str, Sequence[str]],
    before: Kept | None,
    now: float,
) -> None:
    """Write an open candidate down, new or as it is now."""
    upsert(
        connection,
        CANDIDATES,
        [
            {
                "task": task,
                "id": candidate.id,
                "reference_id": reference_id,
                "state": OPEN,
                "name": candidate.name,
                "instrument": "",
                "merged_into": "",
                "tightness": candidate.tightness,
                "examples": json.dumps(candidate.examples),
                "cases": json.dumps(dict(cases)),
                "by_hand": candidate.by_hand,
                "found": before.found if before else now,
                "updated": now,
            }
        ],
    )


def dissolve(connection: Connection, task: str, candidates: Sequence[str], now: float) -> None:
    """Those of the given ones that have no case any more are no more."""
    left = select(ASSIGNMENTS.c.candidate).where(ASSIGNMENTS.c.task == task)
    here = (CANDIDATES.c.task == task, CANDIDATES.c.id.in_(candidates), CANDIDATES.c.id.not_in(left))
    connection.execute(update(CANDIDATES).where(*here).values(state=DISSOLVED, updated=now))


def unused(connection: Connection, task: str, candidate: Candidate) -> Candidate:
    """A fresh candidate under an id that no earlier one has had, merged ones and those of other references included."""
    while connection.execute(
        select(CANDIDATES.c.id).where(CANDIDATES.c.task == task, CANDIDATES.c.id == candidate.id)
    ).first():
        id_ = hashlib.sha256(candidate.id.encode()).hexdigest()[:8]
        candidate = replace(candidate, id=id_, name=f"unknown-{id_}")
    return candidate


def _undeclared(task: str, reference_id: str) -> tuple[ColumnElement[bool], ...]:
    here = OBSERVATIONS.c
    return here.task == task, here.instrument == "", here.reference_id == reference_id
