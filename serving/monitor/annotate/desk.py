"""A case on somebody's desk: its row, its observation, its photograph, for whoever has its token."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection
from pathlib import Path
from typing import NamedTuple

from parfocal_serving.monitor.annotate import captured, leases
from parfocal_serving.monitor.annotate.photographs import Photographs
from parfocal_serving.monitor.annotate.refusal import Refusal
from parfocal_serving.monitor.database import Database
from sqlalchemy import RowMapping

from parfocal.core.task import Task
from parfocal.core.types import Observation


class Holder(NamedTuple):
    """Who asks about a case.

    Attributes:
        token: of the lease.
        caller: name that the guard found out; "" where it asks nobody.
        named: who it is by their own word.
    """

    case: str
    token: str
    caller: str = ""
    named: str = ""


class Desk:
    """The cases of one task that are out.

    Args:
        demand: raises when another monitor leads.
        clock: unix seconds.
    """

    def __init__(
        self,
        database: Database,
        pictures: Photographs,
        task: Task,
        demand: Callable[[], None],
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.database, self.pictures, self.task = database, pictures, task
        self.demand, self.clock = demand, clock

    def held(self, who: Holder, states: Collection[str] = (leases.OUT,)) -> RowMapping:
        """The case's row; raises as `leases.held` does."""
        with self.database.read() as connection:
            return leases.held(connection, self.task.name, *who, states=states)

    def seen(self, row: RowMapping) -> Observation:
        """The case's observation.

        Raises:
            Refusal: 410 it was pruned.
        """
        with self.database.read() as connection:
            seen = captured.one(connection, self.task.name, row["case_id"])
        if seen is None:
            raise gone(row["case_id"])
        return seen

    def photograph(self, seen: Observation) -> Path:
        """The case's file.

        Raises:
            Refusal: 410 its days are over.
        """
        file = self.pictures.find(seen.case_ref)
        if file is None:
            raise gone(seen.id)
        return file


def gone(case: str) -> Refusal:
    return Refusal(
        410, "the photograph is no longer kept", where=case,
        next="ask for the next case; PARFOCAL_CAPTURE_DAYS says for how long they are kept",
    )  # fmt: skip
