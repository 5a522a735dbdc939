"""Where every instrument stands now: what the metrics, the page and the trigger all look at."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from parfocal_serving.monitor import candidates
from parfocal_serving.monitor.detectors import epoch
from parfocal_serving.monitor.references import Judge, Limit, References
from parfocal_serving.monitor.schema import DETECTORS, INSTRUMENTS
from sqlalchemy import Connection, select


@dataclass(frozen=True, slots=True)
class Stream:
    """One detector of the epoch that is shown.

    Attributes:
        limit: None where the reference is no longer here to say.
        alarm_at: observation of this epoch at which the statistic crossed the threshold, from 1; None: no alarm.
        alarm_time: when that was, unix seconds.
        history: the newest (observation, statistic).
    """

    name: str
    epoch: str
    limit: Limit | None
    statistic: float = 0.0
    observations: int = 0
    alarm_at: int | None = None
    alarm_time: float | None = None
    history: tuple[tuple[int, float], ...] = ()

    @property
    def alarm(self) -> bool:
        return self.alarm_at is not None

    def evidence(self) -> dict[str, Any]:
        """An alarm, for the record of what it causes: the statistic at the alarm, now where that is no longer kept."""
        limit = self.limit.threshold if self.limit else math.inf
        return {
            "stream": self.name,
            "statistic": dict(self.history).get(self.alarm_at or 0, self.statistic),
            "threshold": limit if math.isfinite(limit) else None,
            "alarm_at": self.alarm_at,
            "alarm_time": self.alarm_time,
        }


@dataclass(frozen=True, slots=True)
class Watched:
    """An instrument; "" stands for requests that declared none.

    Attributes:
        known: the reference has cases of its own.
        observations: that declared it, and those that a person said are of it.
        assigned: the latter alone. They are among those of "" as well, as which they came.
    """

    name: str
    known: bool
    observations: int
    last_seen: float | None
    streams: tuple[Stream, ...]
    assigned: int = 0

    @property
    def epoch(self) -> str:
        """The same for all its streams: a reset starts them all anew."""
        return self.streams[0].epoch if self.streams else ""

    @property
    def alarm(self) -> bool:
        return any(stream.alarm for stream in self.streams)


def standing(connection: Connection, references: References, task: str, also: Iterable[str] = ()) -> list[Watched]:
    """Every instrument that was seen, that the reference knows, or that `also` names, in the champion's epoch.

    Detectors of earlier champions are not shown: their alarms ended when the champion changed. Where nothing says who
    the champion is, the epoch that moved last is shown.
    """
    reference_id = shown(connection, references, task)
    judge = references.judge(reference_id)
    seen = {
        row["instrument"]: row
        for row in connection.execute(select(INSTRUMENTS).where(INSTRUMENTS.c.task == task)).mappings()
    }
    here = (DETECTORS.c.task == task, DETECTORS.c.reference_id == reference_id)
    rows: dict[str, dict[str, Mapping[str, Any]]] = {}
    for row in connection.execute(select(DETECTORS).where(*here)).mappings():
        rows.setdefault(row["instrument"], {})[row["stream"]] = dict(row)
    others = candidates.assigned(connection, task, reference_id)
    names = {*seen, *rows, *also, *others, *(judge.instruments if judge else ())}
    return [
        Watched(
            name=name,
            known=judge is not None and name in judge.instruments,
            observations=(seen[name]["observations"] if name in seen else 0) + others.get(name, 0),
            last_seen=seen[name]["last_seen"] if name in seen else None,
            streams=tuple(_streams(name, rows.get(name, {}), judge, reference_id)),
            assigned=others.get(name, 0),
        )
        for name in sorted(names, key=lambda name: (name == "", name))
    ]


def shown(connection: Connection, references: References, task: str) -> str:
    """Id of the reference whose detectors are shown; "" when there is none."""
    if references.champion is not None:
        return references.champion.reference_id
    newest = select(DETECTORS.c.reference_id).where(DETECTORS.c.task == task).order_by(DETECTORS.c.updated.desc())
    return connection.execute(newest.limit(1)).scalar() or ""


def _streams(
    instrument: str, rows: Mapping[str, Mapping[str, Any]], judge: Judge | None, reference_id: str
) -> Iterable[Stream]:
    resets = max((row["resets"] for row in rows.values()), default=0)
    watched = judge.watches(instrument) if judge else ()
    for name in dict.fromkeys((*watched, *rows)):
        limit = judge.limit(instrument, name) if judge and name in watched else None
        row = rows.get(name)
        if row is None:
            yield Stream(name, epoch(reference_id, resets), limit)
            continue
        history = tuple((int(number), float(value)) for number, value in json.loads(row["history"]))
        yield Stream(
            name, epoch(reference_id, resets), limit, row["statistic"], row["observations"], row["alarm_at"],
            row["alarm_time"], history,
        )  # fmt: skip
