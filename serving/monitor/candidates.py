"""Candidate instruments as the database keeps them: what was found, what a person made of it, and whose cases they are.

The observations stay as they arrived: an assignment stands beside each, and says in which candidate it is. A candidate
belongs to the reference under which its cases were seen, because no other network's numbers can be compared with them.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from parfocal_serving.monitor.schema import ASSIGNMENTS, CANDIDATE_ACTIONS, CANDIDATES, OBSERVATIONS
from sqlalchemy import Connection, RowMapping, func, select

from parfocal.core.errors import UsageError

OPEN, NAMED, DISMISSED, MERGED, DISSOLVED = "open", "named", "dismissed", "merged", "dissolved"
"""Found; somebody said which instrument it is; somebody said that it is none; part of another; its cases are all in
others since more of them came."""
GONE = (MERGED, DISSOLVED)
ACTIONS = 50
"""Shown, newest first."""


@dataclass(frozen=True, slots=True)
class Kept:
    """A candidate.

    Attributes:
        instrument: that a person said it is; "" before.
        merged_into: id of the candidate that it is part of now; "" for one of its own.
        tightness: mean distance of its cases over that of a known instrument's; about 1 for an instrument.
        examples: ids of its most typical cases.
        cases: ids of those most worth a label, by purpose.
        by_hand: another was merged into it, so it is never split again.
        found, updated: unix seconds.
        size: cases that are still kept.
    """

    id: str
    reference_id: str
    state: str
    name: str
    instrument: str
    merged_into: str
    tightness: float
    examples: tuple[str, ...]
    cases: Mapping[str, Sequence[str]]
    by_hand: bool
    found: float
    updated: float
    size: int

    @property
    def settled(self) -> tuple[str, str, str, bool]:
        """What only a person changes: a look at cases that began before such a change does not count."""
        return self.id, self.state, self.instrument, self.by_hand


def kept(connection: Connection, task: str, reference_id: str) -> list[Kept]:
    """All candidates of a reference, the largest first."""
    size = func.count(ASSIGNMENTS.c.arrival).label("size")
    mine = (ASSIGNMENTS.c.task == CANDIDATES.c.task) & (ASSIGNMENTS.c.candidate == CANDIDATES.c.id)
    query = (
        select(CANDIDATES, size)
        .select_from(CANDIDATES.outerjoin(ASSIGNMENTS, mine))
        .where(CANDIDATES.c.task == task, CANDIDATES.c.reference_id == reference_id)
        .group_by(*CANDIDATES.c)
        .order_by(size.desc(), CANDIDATES.c.id)
    )
    return [_kept(row) for row in connection.execute(query).mappings()]


def find(connection: Connection, task: str, reference_id: str, id_: str) -> Kept:
    """A candidate that something can be done with.

    Raises:
        UsageError: there is none of that id now.
    """
    for one in kept(connection, task, reference_id):
        if one.id == id_ and one.state in GONE:
            where = f"it is part of '{one.merged_into}'" if one.merged_into else "its cases are in others now"
            raise UsageError(f"candidate '{id_}' is no more: {where}", next="look at /api/candidates for what is there")
        if one.id == id_:
            return one
    known = (CANDIDATES.c.task == task, CANDIDATES.c.id == id_)
    if connection.execute(select(CANDIDATES.c.id).where(*known)).first() is not None:
        raise UsageError(
            f"candidate '{id_}' was found before the champion changed",
            next="the new one's cases are grouped anew: look at /api/candidates",
        )
    raise UsageError(f"there is no candidate '{id_}'", next="look at /api/candidates for what is there")


def assigned(connection: Connection, task: str, reference_id: str) -> dict[str, int]:
    """Undeclared cases by the instrument that a person said they are of."""
    named = (CANDIDATES.c.task == task, CANDIDATES.c.reference_id == reference_id, CANDIDATES.c.instrument != "")
    query = (
        select(CANDIDATES.c.instrument, func.count())
        .join(ASSIGNMENTS, (ASSIGNMENTS.c.task == CANDIDATES.c.task) & (ASSIGNMENTS.c.candidate == CANDIDATES.c.id))
        .where(*named)
        .group_by(CANDIDATES.c.instrument)
    )
    return {row[0]: int(row[1]) for row in connection.execute(query)}


def actions(connection: Connection, task: str, most: int = ACTIONS) -> list[dict[str, Any]]:
    """What people did with candidates of any time, the newest first."""
    here = CANDIDATE_ACTIONS.c
    query = select(CANDIDATE_ACTIONS).where(here.task == task).order_by(here.number.desc()).limit(most)
    names = ("time", "candidate", "action", "target", "by", "reason")
    return [
        {**{name: row[name] for name in names}, "facts": json.loads(row["facts"])}
        for row in connection.execute(query).mappings()
    ]


def listing(connection: Connection, task: str, reference_id: str) -> list[dict[str, Any]]:
    """Those of a reference that are still of their own, as plain JSON, the largest first."""
    found = [one for one in kept(connection, task, reference_id) if one.state not in GONE]
    return [{**as_json(one), **_period(connection, task, one.id)} for one in found]


def as_json(one: Kept) -> dict[str, Any]:
    """A candidate as plain JSON."""
    names = ("id", "state", "name", "instrument", "size", "found", "updated")
    return {
        **{name: getattr(one, name) for name in names},
        "tightness": round(one.tightness, 3),
        "examples": list(one.examples),
        "cases": {purpose: list(ids) for purpose, ids in one.cases.items()},
    }


def _period(connection: Connection, task: str, id_: str) -> dict[str, float | None]:
    """When the first and the last of its cases that came were taken, unix seconds."""
    mine = select(func.min(ASSIGNMENTS.c.arrival), func.max(ASSIGNMENTS.c.arrival))
    mine = mine.where(ASSIGNMENTS.c.task == task, ASSIGNMENTS.c.candidate == id_)
    ends = connection.execute(mine).one()
    query = select(OBSERVATIONS.c.arrival, OBSERVATIONS.c.time).where(OBSERVATIONS.c.arrival.in_(ends))
    times = {row[0]: row[1] for row in connection.execute(query)}
    return {"first_seen": times.get(ends[0]), "last_seen": times.get(ends[1])}


def _kept(row: RowMapping) -> Kept:
    values = {name: row[name] for name in Kept.__slots__}
    values["examples"], values["cases"] = tuple(json.loads(row["examples"])), json.loads(row["cases"])
    return Kept(**values)
