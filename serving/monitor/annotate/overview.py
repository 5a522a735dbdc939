"""What the annotation page shows before a case is opened: what waits, how far the labels are, how far people agree."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from parfocal_serving.monitor.annotate import looks, retrains
from parfocal_serving.monitor.annotate.agreements import Agreements
from parfocal_serving.monitor.annotate.assistant import Assistant
from parfocal_serving.monitor.annotate.offer import Standing
from parfocal_serving.monitor.annotate.queue import Queue
from parfocal_serving.monitor.annotate.sides import PURPOSE
from parfocal_serving.monitor.cases import CaseStore
from parfocal_serving.monitor.database import Database
from parfocal_serving.monitor.lead import Lead
from sqlalchemy import Connection

from parfocal.core.task import Task
from parfocal.core.types import Split

COLOURS = ("#ffb000", "#4da3ff", "#ff6ea8", "#63d297")
"""Of structures, outermost first: told apart by people who see red and green alike."""


class Overview:
    """Of one task."""

    def __init__(
        self, database: Database, queue: Queue, cases: CaseStore, assistant: Assistant, lead: Lead, task: Task
    ) -> None:
        self._database, self._queue, self._cases = database, queue, cases
        self._assistant, self._lead, self._task = assistant, lead, task
        self._agreements = Agreements(task.name)

    def labelled(self, instrument: str) -> int:
        """Labelled cases that wait for the next experience."""
        return self._cases.labelled(instrument)

    def read(self, now: float) -> dict[str, Any]:
        """Everything, as plain JSON, at `now` (unix seconds)."""
        clicks = self._assistant.answers_clicks()
        with self._database.read() as connection:
            names = self._queue.instruments(connection)
            instruments = [self._instrument(connection, name, now) for name in names]
            # "": of a candidate that is no instrument any more
            out = looks.out(connection, self._task.name, [*names, ""], now)
        return {
            "annotating": self._lead.held,
            "clicks": clicks,
            "instruments": instruments,
            "structures": [
                {
                    "name": one.name, "within": one.inside, "pieces": one.pieces,
                    "colour": COLOURS[place % len(COLOURS)],
                }
                for place, one in enumerate(self._task.structures)
            ],
            "leases": [
                {
                    "case": row["case_id"], "annotator": row["annotator"], "instrument": row["instrument"],
                    "until": row["until"],
                }
                for row in out
            ],
        }  # fmt: skip

    def _instrument(self, connection: Connection, name: str, now: float) -> dict[str, Any]:
        standing = self._queue.standing(connection, name, "", now)
        agreements = self._agreements.of(connection, name)
        return {
            "name": name,
            "waiting": _waiting(standing),
            "labelled": _by_purpose(standing.labelled),
            "wanted": _by_purpose(standing.aims),
            "experience": self._cases.next_number(name),
            "agreement": agreements["reading"],
            "proposal_agreement": agreements["proposal"],
            "run": retrains.latest(connection, self._cases, self._task.name, name),
        }


def _by_purpose(sides: Mapping[Split, int]) -> dict[str, int]:
    found = {"train": 0, "test": 0}
    for side, count in sides.items():
        found[PURPOSE[side]] += count
    return found


def _waiting(standing: Standing) -> dict[str, int]:
    """Photographs that can be given out: none of a side that is full. One can wait for two sides, and counts once."""
    open_sides = standing.sides()
    found: dict[str, set[str]] = {"train": set(), "test": set()}
    for side in open_sides:
        found[PURPOSE[side]] |= set(standing.free[side])
    if Split.TRAIN in open_sides and Split.VALIDATION in open_sides:
        lacking = standing.lacks(Split.VALIDATION)
        shared = [name for name in standing.free[Split.VALIDATION] if name in found["train"]]
        found["train"] -= set(shared[:lacking])
        found["test"] -= set(shared[lacking:])
    return {purpose: len(names) for purpose, names in found.items()}
