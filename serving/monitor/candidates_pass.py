"""The thread that looks for instruments nobody has named: it groups undeclared cases that no known instrument made.

Nothing waits for it: a POST only stores. It looks when undeclared cases have come or a person has acted, at the newest
of them, and takes at most a twentieth of a core. Only the monitor that leads looks.
"""

from __future__ import annotations

import logging
import math
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from parfocal_serving.monitor import candidates_found as found
from parfocal_serving.monitor import detectors
from parfocal_serving.monitor.candidates import DISMISSED, DISSOLVED, NAMED, OPEN, Kept, kept
from parfocal_serving.monitor.candidates_found import Waiting
from parfocal_serving.monitor.database import Database
from parfocal_serving.monitor.detectors import Alarm
from parfocal_serving.monitor.plan import Plan
from parfocal_serving.monitor.references import Judge, References
from parfocal_serving.monitor.schema import ASSIGNMENTS
from parfocal_serving.monitor.worth import chosen
from sqlalchemy import update

from parfocal.core.types import Observation
from parfocal.drift.nearness import nearest_group
from parfocal.drift.novelty import Candidate, NoveltyConfig, group
from parfocal.triggers.policy import TEST_SHARE

PAUSE_SECONDS = 5.0
"""Between two looks, at least."""
SHARE = 20.0
"""Pause after a look, in times that the look took: a twentieth of a core at most."""
BATCH = 500
"""Cases shown to detectors in one transaction."""
logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Look:
    """What there was when a look began.

    Attributes:
        newest: arrival of the newest undeclared case.
        candidates: all of the reference.
        waiting: cases to group.
        samples: cases of each candidate that a person has settled.
    """

    newest: int
    candidates: tuple[Kept, ...]
    waiting: tuple[Waiting, ...]
    samples: Mapping[str, Sequence[Observation]]


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a look found: candidates with the cases of each most worth a label, and cases by arrival whose they are."""

    groups: tuple[tuple[Candidate, Mapping[str, Sequence[str]]], ...]
    owners: Mapping[int, str]


class Grouping(threading.Thread):
    """Sleeps until it is time, or somebody acted.

    Args:
        leads: whether this monitor is the one that acts.
        alarmed: is told of alarms at instruments whose cases came undeclared.
        clock: unix seconds.
    """

    def __init__(
        self,
        database: Database,
        references: References,
        plan: Plan,
        *,
        leads: Callable[[], bool] = lambda: True,
        alarmed: Callable[[Sequence[Alarm]], None] = lambda _: None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        super().__init__(name="grouping", daemon=True)
        self._database, self._references, self._plan = database, references, plan
        self._leads, self._alarmed, self._clock = leads, alarmed, clock
        self._settings = NoveltyConfig()
        self._signal, self._over = threading.Event(), threading.Event()
        self._seen: tuple[object, ...] = ()

    def wake(self) -> None:
        """Look soon: somebody said what a candidate is."""
        self._signal.set()

    def stop(self) -> None:
        self._over.set()
        self._signal.set()

    def run(self) -> None:
        """Look, and rest; an error never ends it."""
        while not self._over.is_set():
            began = time.monotonic()
            try:
                self.step()
            except Exception:
                logger.exception("grouping goes on after an error")
            self._signal.wait(max(PAUSE_SECONDS, SHARE * (time.monotonic() - began)))
            self._signal.clear()

    def step(self) -> None:
        """One look, and what follows from it."""
        champion = self._references.champion
        judge = self._references.judge(champion.reference_id) if champion else None
        if champion is None or judge is None or not self._leads():
            return
        look = self._look(champion.reference_id)
        if look is not None and self._write(champion.reference_id, look, self._grouped(judge, look)):
            self._seen = _mark(champion.reference_id, look)
        self._show(judge, champion.reference_id)

    def _look(self, reference_id: str) -> Look | None:
        """What there is; None where nothing has come since the last look."""
        task = self._plan.task
        with self._database.read() as connection:
            newest = found.newest_arrival(connection, task, reference_id)
            known = tuple(kept(connection, task, reference_id))
            if not newest or _mark(reference_id, Look(newest, known, (), {})) == self._seen:
                return None
            samples = {
                one.id: found.sample(connection, task, one.id) for one in known if one.state in (NAMED, DISMISSED)
            }
            return Look(newest, known, tuple(found.waiting(connection, task, reference_id)), samples)

    def _grouped(self, judge: Judge, look: Look) -> Outcome:
        """Cases like those of a settled candidate go to it, the others are grouped."""
        reference = judge.reference
        fresh = [one.observation for one in look.waiting if not one.candidate]
        settled = nearest_group(fresh, reference, self._settings, look.samples)
        rest = {one.observation.id: one for one in look.waiting if one.observation.id not in settled}
        members: dict[str, list[str]] = {}
        for one in rest.values():
            members.setdefault(one.candidate, []).append(one.observation.id)
        previous = [
            Candidate(one.id, one.name, tuple(members[one.id]), one.examples, one.tightness, one.by_hand)
            for one in look.candidates
            if one.state == OPEN and one.id in members
        ]
        groups = group([one.observation for one in rest.values()], reference, self._settings, previous)
        owners = {one.arrival: settled[one.observation.id] for one in look.waiting if one.observation.id in settled}
        owners |= {rest[id_].arrival: one.id for one in groups for id_ in one.members if rest[id_].candidate != one.id}
        worth = [self._worth(judge, [rest[id_].observation for id_ in one.members]) for one in groups]
        return Outcome(tuple(zip(groups, worth, strict=True)), owners)

    def _worth(self, judge: Judge, cases: Sequence[Observation]) -> dict[str, list[str]]:
        """As many of a candidate's cases as a retrain on it would need."""
        needed = self._plan.config.labels_needed
        test = math.ceil(needed * TEST_SHARE)
        return chosen(judge, "", cases, (needed - test, test), self._plan.run.split.key)

    def _write(self, reference_id: str, look: Look, outcome: Outcome) -> bool:
        """Write down what was found, unless somebody acted meanwhile; then the next look sees what they did."""
        task, now = self._plan.task, self._clock()
        before = {one.id: one for one in look.candidates}
        if not self._leads():  # asked before the transaction: whoever takes the lead writes that down
            return False
        with self._database.write() as connection:
            if _settled(kept(connection, task, reference_id)) != _settled(look.candidates):
                return False
            names: dict[str, str] = {}
            for candidate, cases in outcome.groups:
                known = before.get(candidate.id)
                fit = known is not None and known.state == OPEN
                written = candidate if fit else found.unused(connection, task, candidate)
                names[candidate.id] = written.id
                found.put(connection, task, reference_id, written, cases, known if fit else None, now)
            owners = {arrival: names.get(owner, owner) for arrival, owner in outcome.owners.items()}
            found.assign(connection, task, owners, now)
            found.dissolve(connection, task, [one.id for one in look.candidates if one.state == OPEN], now)
        for candidate, _ in outcome.groups:
            if names[candidate.id] not in before:
                size = len(candidate.members)
                logger.warning("candidate %s: %d undeclared cases like no instrument", names[candidate.id], size)
        return True

    def _show(self, judge: Judge, reference_id: str) -> None:
        """Show the detectors of instruments the cases that a person said are theirs, each once."""
        task = self._plan.task
        with self._database.read() as connection:
            some = found.unmoved(connection, task, reference_id, 1)
        while some:
            with self._database.write() as connection:
                some = found.unmoved(connection, task, reference_id, BATCH)
                cases, now = [case for _, case in some], self._clock()
                alarms = detectors.move(connection, judge, task, reference_id, cases, now, windows_too=False)
                done = ASSIGNMENTS.c.arrival.in_([arrival for arrival, _ in some])
                connection.execute(update(ASSIGNMENTS).where(done).values(moved=True))
            self._alarmed(alarms)


def _settled(candidates: Sequence[Kept]) -> frozenset[tuple[str, str, str, bool]]:
    """What only people change."""
    return frozenset(one.settled for one in candidates if one.by_hand or one.state not in (OPEN, DISSOLVED))


def _mark(reference_id: str, look: Look) -> tuple[object, ...]:
    return reference_id, look.newest, _settled(look.candidates)
