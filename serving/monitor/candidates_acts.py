"""What a person makes of a candidate: an instrument, a part of another candidate, or nothing. All of it is recorded."""

from __future__ import annotations

import json

from parfocal_serving.monitor import detectors
from parfocal_serving.monitor.annotate import leases
from parfocal_serving.monitor.candidates import DISMISSED, MERGED, NAMED, Kept, find, kept
from parfocal_serving.monitor.cases import check_name
from parfocal_serving.monitor.database import ignore
from parfocal_serving.monitor.schema import (
    ASSIGNMENTS,
    CANDIDATE_ACTIONS,
    CANDIDATES,
    DETECTORS,
    INSTRUMENTS,
    OBSERVATIONS,
)
from sqlalchemy import Connection, func, insert, select, update

from parfocal.core.errors import UsageError


class Acts:
    """Of one task under one reference, by one person for one reason, at one time (unix seconds)."""

    def __init__(
        self, connection: Connection, task: str, reference_id: str, *, by: str, reason: str, now: float
    ) -> None:
        self._connection, self._task, self._reference_id = connection, task, reference_id
        self._by, self._reason, self._now = by, reason, now

    def name(self, id_: str, instrument: str) -> Kept:
        """Say which instrument a candidate is: a new one, or a known one whose cases came undeclared.

        Where another candidate is that instrument already, the two become one.

        Raises:
            DataContractError: no file can have that name.
            UsageError: there is no such candidate.
        """
        check_name("name", instrument)
        one = self._find(id_)
        known = kept(self._connection, self._task, self._reference_id)
        other = next((each for each in known if each.instrument == instrument and each.id != id_), None)
        self._record(one, "name", instrument)
        if other is not None:
            self._move(one, other)
            return self._find(other.id)
        if one.instrument != instrument:
            self._leave(one)
            self._change(id_, state=NAMED, name=instrument, instrument=instrument, cases="{}")  # the trigger's to say
            self._assign(id_, moved=False)
            self._see(id_, instrument)
            self._rename(id_, instrument)
        return self._find(id_)

    def merge(self, id_: str, into: str) -> Kept:
        """Make a candidate part of another, which keeps its id, its name and its instrument; the other is returned.

        Raises:
            UsageError: there is no such candidate, or they are the same.
        """
        if id_ == into:
            raise UsageError(f"candidate '{id_}' cannot be merged with itself")
        one, other = self._find(id_), self._find(into)
        self._record(one, "merge", into)
        self._move(one, other)
        return self._find(into)

    def dismiss(self, id_: str) -> Kept:
        """Say that a candidate is no instrument. It takes in later cases like its own: they are not shown again.

        Raises:
            UsageError: there is no such candidate.
        """
        one = self._find(id_)
        self._record(one, "dismiss", "")
        self._leave(one)
        self._change(id_, state=DISMISSED, instrument="")
        self._rename(id_, "")
        return self._find(id_)

    def _find(self, id_: str) -> Kept:
        return find(self._connection, self._task, self._reference_id, id_)

    def _move(self, one: Kept, into: Kept) -> None:
        if one.instrument != into.instrument:
            self._leave(one)
            self._assign(one.id, moved=False)
            self._rename(one.id, into.instrument)
        self._assign(one.id, candidate=into.id)
        self._change(one.id, state=MERGED, merged_into=into.id, instrument="")
        self._change(into.id, by_hand=True)

    def _leave(self, one: Kept) -> None:
        """The detectors of the instrument that it was said to be have seen cases that are not its own: start anew."""
        here = (DETECTORS.c.task == self._task, DETECTORS.c.reference_id == self._reference_id)
        asked = select(DETECTORS.c.stream).where(*here, DETECTORS.c.instrument == one.instrument)
        if one.instrument and self._connection.execute(asked).first() is not None:
            reason = f"candidate {one.id} is no longer {one.instrument}: {self._reason}"
            detectors.reset(
                self._connection, self._task, one.instrument, self._reference_id, self._by, reason, self._now
            )

    def _see(self, id_: str, instrument: str) -> None:
        """The instrument is one that is told apart from now on, also where requests have named many."""
        query = (
            select(func.max(OBSERVATIONS.c.time))
            .join(ASSIGNMENTS, ASSIGNMENTS.c.arrival == OBSERVATIONS.c.arrival)
            .where(ASSIGNMENTS.c.task == self._task, ASSIGNMENTS.c.candidate == id_)
        )
        last = min(self._connection.execute(query).scalar() or 0.0, self._now)
        row = {"task": self._task, "instrument": instrument, "observations": 0, "last_seen": last}
        ignore(self._connection, INSTRUMENTS, [row])

    def _rename(self, id_: str, instrument: str) -> None:
        """What annotators have of it, or refused, is the instrument's from now on."""
        cases = (
            select(OBSERVATIONS.c.id)
            .join(ASSIGNMENTS, ASSIGNMENTS.c.arrival == OBSERVATIONS.c.arrival)
            .where(ASSIGNMENTS.c.task == self._task, ASSIGNMENTS.c.candidate == id_)
        )
        leases.rename(self._connection, self._task, cases, instrument)

    def _assign(self, id_: str, **values: object) -> None:
        here = (ASSIGNMENTS.c.task == self._task, ASSIGNMENTS.c.candidate == id_)
        self._connection.execute(update(ASSIGNMENTS).where(*here).values(**values))

    def _change(self, id_: str, **values: object) -> None:
        here = (CANDIDATES.c.task == self._task, CANDIDATES.c.id == id_)
        self._connection.execute(update(CANDIDATES).where(*here).values(updated=self._now, **values))

    def _record(self, one: Kept, action: str, target: str) -> None:
        facts = {
            "state": one.state, "name": one.name, "instrument": one.instrument, "size": one.size,
            "tightness": one.tightness, "reference_id": self._reference_id,
        }  # fmt: skip
        self._connection.execute(
            insert(CANDIDATE_ACTIONS).values(
                time=self._now, task=self._task, candidate=one.id, action=action, target=target, by=self._by,
                reason=self._reason, facts=json.dumps(facts, sort_keys=True),
            )
        )  # fmt: skip
