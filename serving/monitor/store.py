"""Observations: stored once each, and shown to the detectors in the same transaction.

A kill at any moment leaves either all of a POST or nothing of it, so what was not answered is simply sent again.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from parfocal_serving.monitor import detectors, rows
from parfocal_serving.monitor.database import Database, add, ignore
from parfocal_serving.monitor.detectors import Alarm
from parfocal_serving.monitor.references import Champion, References
from parfocal_serving.monitor.rows import Rejection
from parfocal_serving.monitor.schema import ASSIGNMENTS, COUNTERS, INSTRUMENTS, OBSERVATIONS, REJECTED
from sqlalchemy import Connection, delete, func, insert, or_, select, update

from parfocal.core.errors import DataContractError, UsageError
from parfocal.core.observations import from_json
from parfocal.core.types import Observation

MOST = 500
"""Observations in a POST."""
MOST_NAMES = 200
"""Instruments that are told apart. Whoever may send a photograph may name one, and each is watched, shown and given to
Prometheus for ever: what is named beyond these counts as undeclared."""
PRUNED_AT_ONCE = 2000
"""Rows deleted in one transaction, so that pruning never makes a segmenter wait."""


@dataclass(frozen=True, slots=True)
class Received:
    """What became of a POST: how many were new, how many were known, what was no observation, what went into alarm."""

    accepted: int
    duplicates: int
    rejected: tuple[Rejection, ...]
    alarms: tuple[Alarm, ...] = ()


class Store:
    """The observations of one task.

    Args:
        clock: unix seconds.
    """

    def __init__(
        self, database: Database, references: References, task: str, clock: Callable[[], float] = time.time
    ) -> None:
        self._database, self._references, self._task, self._clock = database, references, task, clock
        self._followed: Champion | None = None

    def receive(self, items: Sequence[Any]) -> Received:
        """Store what is new and move the detectors, in one transaction.

        Raises:
            UsageError: more than 500.
            OutsideServiceError: the database failed, and nothing was stored.
        """
        if len(items) > MOST:
            raise UsageError(f"{len(items)} observations in one POST", expected=f"at most {MOST}")
        observations, refused = self._read(items)
        now = self._clock()
        with self._database.write() as connection:
            new = _unknown(connection, observations)
            alarms = self._take(connection, new, now)
            ignore(connection, REJECTED, [{**row, "time": now} for row in refused])
            duplicates = len(observations) - len(new)
            self._count(connection, accepted=len(new), duplicates=duplicates, rejected=len(refused))
        rejected = tuple({"id": row["id"], "reason": row["reason"]} for row in refused)
        return Received(len(new), duplicates, rejected, tuple(alarms))

    def follow(self) -> bool:
        """Write down who the champion is; whether it is another one than at the last call."""
        champion = self._references.champion
        if champion is None or champion == self._followed:
            return False
        with self._database.write() as connection:
            detectors.succeed(connection, self._task, champion, self._clock())
        self._followed = champion
        return True

    def forget_champion(self) -> None:
        """Have the next `follow` look into the database who it is that was written down last."""
        self._followed = None

    def newest(self, before: float) -> float | None:
        """When the last observation came that came before then, unix seconds."""
        here = OBSERVATIONS.c.received
        with self._database.read() as connection:
            found: float | None = connection.execute(select(func.max(here)).where(here < before)).scalar()
        return found

    def catch_up(self) -> list[Alarm]:
        """Judge what came before its reference did, in the order in which it came."""
        champion = self._references.champion
        if champion is None or self._references.current() is None:
            return []
        with self._database.write() as connection:
            return self._catch_up(connection, champion.reference_id, self._clock())

    def prune(self, before: float) -> int:
        """Delete observations, and what was rejected, that came before then (unix s); the number of observations."""
        deleted = 0
        while True:
            with self._database.write() as connection:
                connection.execute(delete(REJECTED).where(REJECTED.c.time < before))
                here = OBSERVATIONS.c
                some = select(here.arrival).where(here.received < before).limit(PRUNED_AT_ONCE)
                old = connection.execute(some).scalars().all()
                connection.execute(delete(ASSIGNMENTS).where(ASSIGNMENTS.c.arrival.in_(old)))
                gone = connection.execute(delete(OBSERVATIONS).where(OBSERVATIONS.c.arrival.in_(old))).rowcount
            deleted += gone
            if gone < PRUNED_AT_ONCE:
                return deleted

    def note(self, name: str) -> None:
        """Count something that happened once."""
        with self._database.write() as connection:
            self._count(connection, **{name: 1})

    def _read(self, items: Sequence[Any]) -> tuple[list[Observation], list[Rejection]]:
        observations, refused = [], []
        for item in items:
            try:
                observations.append(self._checked(from_json(item)))
            except (DataContractError, ValueError, OverflowError) as error:
                refused.append(rows.refused(item, " ".join(str(error).split())))
        return observations, refused

    def _checked(self, observation: Observation) -> Observation:
        if observation.task != self._task:
            raise DataContractError(f"this monitor watches {self._task}, not {observation.task[:60]!a}")
        texts = (observation.id, observation.instrument, observation.model_version, observation.reference_id)
        if "\0" in "".join(filter(None, (*texts, observation.patient_hmac, observation.case_ref))).encode().decode():
            raise DataContractError("a text with a zero byte")  # nor half a surrogate: no database takes either
        return observation

    def _take(self, connection: Connection, new: Sequence[Observation], now: float) -> list[Alarm]:
        alarms: list[Alarm] = []
        scored: set[str] = set()
        named = self._named(connection, new)
        for reference_id in dict.fromkeys(observation.reference_id for observation in new):
            judge = self._references.judge(reference_id)
            if judge is not None:
                scored.add(reference_id)
                alarms += self._catch_up(connection, reference_id, now)  # those came first
                group = [observation for observation in named if observation.reference_id == reference_id]
                alarms += detectors.move(connection, judge, self._task, reference_id, group, now)
        if new:
            kept = [rows.row(observation, now, observation.reference_id in scored) for observation in new]
            connection.execute(insert(OBSERVATIONS), kept)
            self._see(connection, named, now)
            self._count(connection, unscored=sum(not one["scored"] for one in kept))
        return alarms

    def _catch_up(self, connection: Connection, reference_id: str, now: float) -> list[Alarm]:
        judge = self._references.judge(reference_id)
        waiting = (OBSERVATIONS.c.reference_id == reference_id, ~OBSERVATIONS.c.scored)
        alarms: list[Alarm] = []
        while judge is not None:
            query = select(OBSERVATIONS).where(*waiting).order_by(OBSERVATIONS.c.arrival).limit(MOST)
            found = connection.execute(query).mappings().all()
            if not found:
                break
            seen = self._named(connection, [rows.observation(kept) for kept in found])
            alarms += detectors.move(connection, judge, self._task, reference_id, seen, now)
            done = OBSERVATIONS.c.arrival <= found[-1]["arrival"]
            connection.execute(update(OBSERVATIONS).where(*waiting, done).values(scored=True))
        return alarms

    def _named(self, connection: Connection, observations: Sequence[Observation]) -> list[Observation]:
        """The same, without the names that are one too many."""
        here = select(INSTRUMENTS.c.instrument).where(INSTRUMENTS.c.task == self._task)
        judge = self._references.current()
        names = {"", *connection.execute(here).scalars(), *(judge.instruments if judge else ())}
        for observation in observations:
            if len(names) <= MOST_NAMES:
                names.add(observation.instrument or "")
        return [one if one.instrument in names else replace(one, instrument=None) for one in observations]

    def _see(self, connection: Connection, new: Sequence[Observation], now: float) -> None:
        """Count them and move `last_seen`, which is never ahead of this machine's clock for longer than that was."""
        counts = Counter(observation.instrument or "" for observation in new)
        key = {"task": self._task}
        rows = [{**key, "instrument": name, "observations": n, "last_seen": 0.0} for name, n in counts.items()]
        add(connection, INSTRUMENTS, ["observations"], rows)
        for name in counts:
            last = max(observation.time for observation in new if (observation.instrument or "") == name)
            stale = or_(INSTRUMENTS.c.last_seen < min(last, now), INSTRUMENTS.c.last_seen > now)
            here = (INSTRUMENTS.c.task == self._task, INSTRUMENTS.c.instrument == name, stale)
            connection.execute(update(INSTRUMENTS).where(*here).values(last_seen=min(last, now)))

    def _count(self, connection: Connection, **amounts: int) -> None:
        rows = [{"task": self._task, "name": name, "value": value} for name, value in amounts.items() if value]
        add(connection, COUNTERS, ["value"], rows)


def counters(connection: Connection, task: str) -> dict[str, int]:
    """Everything that was counted since the database was made."""
    return {row.name: row.value for row in connection.execute(select(COUNTERS).where(COUNTERS.c.task == task))}


def _unknown(connection: Connection, observations: Sequence[Observation]) -> list[Observation]:
    """Those whose id is not stored, the first of each id."""
    first = {observation.id: observation for observation in reversed(observations)}
    known = connection.execute(select(OBSERVATIONS.c.id).where(OBSERVATIONS.c.id.in_(list(first)))).scalars()
    for name in known:
        del first[name]
    return [observation for observation in observations if first.get(observation.id) is observation]
