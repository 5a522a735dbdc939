"""How far people agree with one another and with the model, over every label of an instrument."""

from __future__ import annotations

import json
import threading
from collections import defaultdict
from collections.abc import Mapping

from parfocal_serving.monitor.annotate.leases import ACCEPTED
from parfocal_serving.monitor.schema import ANNOTATIONS
from sqlalchemy import Connection, func, select

HERE = ANNOTATIONS.c
Means = dict[str, dict[str, float]]


class _Sums:
    """Of one instrument's labels, as far as they were read.

    Attributes:
        read: (case, reading) of each label.
        newest: when the last of them was accepted, unix seconds.
    """

    def __init__(self) -> None:
        self.read: set[tuple[str, int]] = set()
        self.newest = float("-inf")
        self._dice: defaultdict[tuple[str, str], list[float]] = defaultdict(list)

    def add(self, case: str, reading: int, ended: float, agreement: str) -> None:
        """A label; one that was read before changes nothing."""
        if (case, reading) in self.read:
            return
        self.read.add((case, reading))
        self.newest = max(self.newest, ended)
        for of, structures in json.loads(agreement or "{}").items():
            for structure, dice in structures.items():
                self._dice[of, structure].append(dice)

    def means(self, of: str) -> Means | None:
        found = {
            structure: {"dice": round(sum(values) / len(values), 4), "cases": len(values)}
            for (kind, structure), values in sorted(self._dice.items())
            if kind == of
        }
        return found or None


class Agreements:
    """Of one task. A label that was accepted never changes, so each is read once."""

    def __init__(self, task: str) -> None:
        self._task = task
        self._sums: defaultdict[str, _Sums] = defaultdict(_Sums)
        self._lock = threading.Lock()

    def of(self, connection: Connection, instrument: str) -> Mapping[str, Means | None]:
        """Mean Dice and number of cases by structure: of two people (`reading`), of people and model (`proposal`);
        None where there is no case."""
        here = (HERE.task == self._task, HERE.instrument == instrument, HERE.state == ACCEPTED)
        count = connection.execute(select(func.count()).where(*here)).scalar_one()
        columns = select(HERE.case_id, HERE.reading, HERE.ended, HERE.agreement).where(*here)
        with self._lock:
            sums = self._sums[instrument]
            if len(sums.read) != count:
                for row in connection.execute(columns.where(HERE.ended >= sums.newest)):
                    sums.add(*row)
            if len(sums.read) != count:  # one came late, or the database is another's
                sums = self._sums[instrument] = _Sums()
                for row in connection.execute(columns):
                    sums.add(*row)
            return {of: sums.means(of) for of in ("reading", "proposal")}
