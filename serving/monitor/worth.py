"""What an instrument's newest answers are probably worth, and which of its cases are worth a label."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from parfocal_serving.monitor.annotate.leases import refused
from parfocal_serving.monitor.cases import CaseStore
from parfocal_serving.monitor.references import Judge
from parfocal_serving.monitor.rows import newest
from sqlalchemy import Connection

from parfocal.core.types import Interval, Observation
from parfocal.triggers.labels import Waiting, cases_worth_labelling

NEWEST = 50
"""Observations of an instrument behind its predicted Dice: few enough to see a change, enough for an interval."""
CONSIDERED = 500
"""Observations of an instrument among which those worth a label are looked for."""
REMEMBERED = 1000


class Quality:
    """Predicted mean Dice by structure, computed anew only when something has come."""

    def __init__(self, task: str) -> None:
        self._task = task
        self._lock = threading.Lock()
        self._found: dict[tuple[str, str], tuple[int, Mapping[str, Interval]]] = {}

    def of(
        self, connection: Connection, judge: Judge | None, reference_id: str, instrument: str, observations: int
    ) -> Mapping[str, Interval]:
        """Of an instrument's newest answers; empty where nothing predicts it.

        Args:
            observations: how many there were so far under this reference.
        """
        if judge is None or not judge.predicts or not observations:
            return {}
        key = (reference_id, instrument)
        with self._lock:
            known = self._found.get(key)
        if known is not None and known[0] == observations:
            return known[1]
        found = judge.predicted(instrument, newest(connection, self._task, instrument, reference_id, NEWEST))
        with self._lock:
            self._found[key] = (observations, found)
            while len(self._found) > REMEMBERED:
                del self._found[next(iter(self._found))]
        return found


def lowest(predicted: Mapping[str, Interval]) -> float | None:
    """Of the structure that fares worst; None where nothing predicts any."""
    return min((found.estimate for found in predicted.values()), default=None)


def to_label(
    connection: Connection,
    judge: Judge | None,
    cases: CaseStore,
    task: str,
    instrument: str,
    reference_id: str,
    wanted: tuple[int, int],
    key: str,
) -> dict[str, list[str]]:
    """Ids of the cases that are most worth a label, for training and for the test; fewer where fewer are known.

    Where photographs are kept, only cases whose photograph is there are named. Those whose name was handed in are done.

    Args:
        wanted: how many for training, how many for the test.
        key: of the hash that says which patients are for the test.
    """
    done = cases.names(instrument) | refused(connection, task, instrument)
    seen = [one for one in newest(connection, task, instrument, reference_id, CONSIDERED) if one.id not in done]
    return chosen(judge, instrument, seen, wanted, key)


def chosen(
    judge: Judge | None, instrument: str, seen: Sequence[Observation], wanted: tuple[int, int], key: str
) -> dict[str, list[str]]:
    """The same of cases that are given."""
    seen = [one for one in seen if one.case_ref] or seen
    plan = cases_worth_labelling(waiting(judge, instrument, seen), train=wanted[0], test=wanted[1], key=key)
    return {"train": list(plan.train), "test": list(plan.test)}


def waiting(judge: Judge | None, instrument: str, seen: Sequence[Observation]) -> list[Waiting]:
    """Observations as cases that could be labelled."""
    dice: Iterable[float | None] = [None] * len(seen)
    far: Any = [float("inf")] * len(seen)
    if judge is not None and seen:
        dice, far = judge.lowest(instrument, seen), judge.distances(instrument, seen)
    return [
        Waiting(one.id, one.patient_hmac or "", found, float(distance), one.embedding)
        for one, found, distance in zip(seen, dice, far, strict=True)
    ]
