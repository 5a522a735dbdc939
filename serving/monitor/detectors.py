"""The detectors' state: one row for every instrument, stream and reference, moved in the transaction that stores.

A new reference starts new detectors, and so does an earlier one that comes back with its champion. Late observations
of an earlier one move only the earlier one's. After an alarm the state stays in alarm until the champion changes or a
person resets it.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from parfocal_serving.monitor import windows
from parfocal_serving.monitor.database import upsert
from parfocal_serving.monitor.references import WINDOW, Champion, Judge
from parfocal_serving.monitor.rows import declared
from parfocal_serving.monitor.schema import CHAMPIONS, DETECTORS, RESETS
from parfocal_serving.monitor.windows import Earlier
from sqlalchemy import Connection, and_, insert, select, update

from parfocal.core.errors import UsageError
from parfocal.core.types import Observation
from parfocal.drift.cusum import State, advance

HISTORY = 300
"""Statistics a detector keeps for its picture."""


_RESTARTED: Mapping[str, Any] = {
    "statistic": 0.0, "observations": 0, "alarm_at": None, "alarm_time": None, "history": "[]"
}  # fmt: skip
_FRESH: Mapping[str, Any] = {**_RESTARTED, "resets": 0}


@dataclass(frozen=True, slots=True)
class Alarm:
    """A statistic crossed its threshold just now."""

    instrument: str
    stream: str


def epoch(reference_id: str, resets: int) -> str:
    """Name of a detector's life, at most twelve letters: its reference, and how often it was started again."""
    again = f"-r{resets}" if resets else ""
    return reference_id[: 12 - len(again)] + again


def move(
    connection: Connection,
    judge: Judge,
    task: str,
    reference_id: str,
    observations: Sequence[Observation],
    now: float,
    *,
    windows_too: bool = True,
) -> list[Alarm]:
    """Show new observations of one reference to its detectors, in the order given, and write down where they stand.

    They are not stored yet, or not marked as scored.

    Args:
        windows_too: whether they are the instrument's newest, so that its window of newest cases sees them as well.
    """
    groups: dict[str, list[Observation]] = {}
    for observation in observations:
        groups.setdefault(observation.instrument or "", []).append(observation)
    rows = _rows(connection, task, reference_id, list(groups))

    def earlier(instrument: str, most: int) -> Sequence[Observation]:
        return declared(connection, task, instrument, reference_id, most)

    moved, alarms = [], []
    for instrument, seen in groups.items():
        for stream in (one for one in judge.watches(instrument) if windows_too or one != WINDOW):
            before = rows.get((instrument, stream), _FRESH)
            look = _window if stream == WINDOW else _cusum
            values, path = look(before, judge, instrument, stream, seen, earlier)
            if before["alarm_at"] is None and values["alarm_at"] is not None:
                alarms.append(Alarm(instrument, stream))
                values["alarm_time"] = now
            key = {"task": task, "instrument": instrument, "stream": stream, "reference_id": reference_id}
            history = _history(before, path)
            moved.append({**before, **values, **key, "updated": now, "history": history})
    upsert(connection, DETECTORS, moved)
    return alarms


Moved = tuple[dict[str, Any], Sequence[float]]


def _cusum(
    row: Mapping[str, Any], judge: Judge, instrument: str, stream: str, seen: Sequence[Observation], _: Earlier
) -> Moved:
    """What changes in a detector's row once it has seen some more, and the statistic after each."""
    limit = judge.limit(instrument, stream)
    state = State(row["statistic"], row["observations"], row["alarm_at"])
    end, path = advance(state, judge.scores(instrument, stream, seen), threshold=limit.threshold, k=limit.k)
    alarm_at = None if end.alarm_at is None else int(end.alarm_at)
    return {
        "statistic": float(end.statistic),
        "observations": int(end.observations),
        "alarm_at": alarm_at,
    }, path.tolist()


def _window(
    row: Mapping[str, Any], judge: Judge, instrument: str, stream: str, seen: Sequence[Observation], earlier: Earlier
) -> Moved:
    path = windows.steps(row, judge, instrument, seen, earlier)
    statistic, observations, alarm_at = windows.after(row, path, judge.limit(instrument, stream).threshold)
    return {"statistic": statistic, "observations": observations, "alarm_at": alarm_at}, path


def _history(row: Mapping[str, Any], path: Sequence[float]) -> str:
    """The newest [observation, statistic] pairs, as JSON."""
    steps = [
        [row["observations"] + place, round(value, 4)]
        for place, value in enumerate(path, start=1)
        if not math.isnan(value)
    ]
    return json.dumps([*json.loads(row["history"]), *steps][-HISTORY:])


def succeed(connection: Connection, task: str, champion: Champion, now: float) -> None:
    """Write down who answers from now on. Detectors of a reference that has had its time before start anew.

    Else a rollback would bring back the alarm of months ago, whose retrain was started, and no new one would get its.
    """
    before = connection.execute(
        select(CHAMPIONS).where(CHAMPIONS.c.task == task).order_by(CHAMPIONS.c.number.desc())
    ).mappings().all()  # fmt: skip
    values = {
        "version": champion.version, "checksum": champion.checksum, "reference_id": champion.reference_id
    }  # fmt: skip
    if before and all(before[0][name] == value for name, value in values.items()):
        return
    connection.execute(insert(CHAMPIONS).values(time=now, task=task, **values))
    if champion.reference_id not in {row["reference_id"] for row in before}:
        return
    here = (DETECTORS.c.task == task, DETECTORS.c.reference_id == champion.reference_id)
    for instrument in connection.execute(select(DETECTORS.c.instrument).where(*here).distinct()).scalars().all():
        reason = f"version {champion.version} is champion, with a reference that was one's before"
        reset(connection, task, instrument, champion.reference_id, "the monitor", reason, now)


def reset(
    connection: Connection, task: str, instrument: str, reference_id: str, by: str, reason: str, now: float
) -> int:
    """Start an instrument's detectors anew; who did and why is kept. How many detectors there were.

    Raises:
        UsageError: there are none.
    """
    rows = _rows(connection, task, reference_id, [instrument])
    if not rows:
        raise UsageError(f"no detector watches '{instrument}' now", next="look at /api/state for those that do")
    stood = {
        stream: {name: row[name] for name in ("statistic", "observations", "alarm_at", "alarm_time", "resets")}
        for (_, stream), row in rows.items()
    }
    connection.execute(
        insert(RESETS).values(
            time=now, task=task, instrument=instrument, reference_id=reference_id, by=by, reason=reason,
            statistics=json.dumps(stood, sort_keys=True),
        )
    )  # fmt: skip
    here = and_(
        DETECTORS.c.task == task, DETECTORS.c.instrument == instrument, DETECTORS.c.reference_id == reference_id
    )
    again = max(row["resets"] for row in rows.values()) + 1
    connection.execute(update(DETECTORS).where(here).values(resets=again, updated=now, **_RESTARTED))
    return len(rows)


def _rows(
    connection: Connection, task: str, reference_id: str, instruments: Sequence[str]
) -> dict[tuple[str, str], dict[str, Any]]:
    query = select(DETECTORS).where(
        DETECTORS.c.task == task,
        DETECTORS.c.reference_id == reference_id,
        DETECTORS.c.instrument.in_(list(instruments)),
    )
    return {(row["instrument"], row["stream"]): dict(row) for row in connection.execute(query).mappings()}
