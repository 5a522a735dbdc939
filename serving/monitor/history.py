"""What came before now: who was champion and on whose word, what each retrain did (R), and what stood in alarm when."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from parfocal_serving.monitor import told
from parfocal_serving.monitor.database import Database
from parfocal_serving.monitor.schema import CHAMPIONS, DETECTORS, RESETS, RUNS
from sqlalchemy import Connection, select

from parfocal.core.errors import OutsideServiceError, UsageError
from parfocal.core.protocols import Ledger, LedgerEntry
from parfocal.core.scores import MatrixRow
from parfocal.evaluation import forgetting
from parfocal.promotion import champion
from parfocal.promotion.ledger import PROMOTION

SHOWN = 50
"""Champions, newest first."""


@dataclass(frozen=True, slots=True)
class Past:
    """The history of one task, from the ledger and the monitor's own tables."""

    ledger: Ledger
    database: Database
    task: str

    def read(self) -> dict[str, Any]:
        """Plain JSON: `champions` newest first, `matrices` by structure, `alarms`, `retrains`, `others` (ends of runs
        that this monitor did not start), and `trouble` where the ledger is away.

        The monitor goes on without its ledger: it watches, and only cannot say what is written there.
        """
        try:
            entries = self.ledger.entries(self.task)
        except (OutsideServiceError, UsageError) as error:
            entries, trouble = (), str(error)
        else:
            trouble = ""
        with self.database.read() as connection:
            alarms, runs = past_alarms(connection, self.task), retrains(connection, self.task)
            mine = set(connection.scalars(select(RUNS.c.key).where(RUNS.c.task == self.task)))
        return {
            "champions": champions(entries),
            "matrices": matrices(entries),
            "alarms": alarms,
            "retrains": runs,
            "others": told.others(entries, mine),
            "trouble": trouble,
        }


def champions(entries: Sequence[LedgerEntry]) -> list[dict[str, Any]]:
    """Reigns, newest first; times in unix seconds, `until` None for the one that answers."""
    reigns = list(reversed(champion.history(entries)))[:SHOWN]
    return [
        {
            "version": reign.version,
            "checksum": reign.checksum,
            "since": _seconds(reign.since),
            "until": _seconds(reign.until) if reign.until else None,
            "how": reign.how,
            "by": reign.by,
            "reason": reign.reason,
            "evidence": reign.evidence,
        }
        for reign in reigns
    ]


def matrices(entries: Sequence[LedgerEntry]) -> list[dict[str, Any]]:
    """R of every structure over all promotions, and what follows from it; mean Dice on frozen test cases."""
    promoted = [entry for entry in entries if entry.kind == PROMOTION and entry.body.get("matrix_row")]
    rows = [MatrixRow.model_validate(entry.body["matrix_row"]) for entry in promoted]
    structures = dict.fromkeys(name for row in rows for scores in row.dice.values() for name in scores)
    return [_matrix(structure, rows, [str(entry.body["version"]) for entry in promoted]) for structure in structures]


def past_alarms(connection: Connection, task: str) -> list[dict[str, Any]]:
    """When each stream of each instrument stood in alarm, oldest first; `until` is None for one that stands.

    An alarm ends when a person resets it or when a champion with another reference takes over.
    """
    rows = connection.execute(select(DETECTORS).where(DETECTORS.c.task == task, DETECTORS.c.alarm_time.is_not(None)))
    reigns = connection.execute(select(CHAMPIONS).where(CHAMPIONS.c.task == task).order_by(CHAMPIONS.c.number))
    followed = [(row["time"], row["reference_id"]) for row in reigns.mappings()]
    found = [
        _alarm(row["instrument"], row["stream"], row["alarm_time"], _succeeded(followed, dict(row)))
        for row in rows.mappings()
    ]
    resets = connection.execute(select(RESETS).where(RESETS.c.task == task)).mappings()
    for reset in resets:
        found += [
            _alarm(reset["instrument"], stream, since, reset["time"]) for stream, since in _ended(reset["statistics"])
        ]
    return sorted(found, key=lambda alarm: (alarm["since"], alarm["instrument"], alarm["stream"]))


def retrains(connection: Connection, task: str) -> list[dict[str, Any]]:
    """Launch and end of every run, unix seconds; `until` is None for one that runs."""
    rows = connection.execute(select(RUNS.c.instrument, RUNS.c.launched, RUNS.c.ended).where(RUNS.c.task == task))
    return [
        {"instrument": instrument, "since": launched, "until": ended}
        for instrument, launched, ended in rows
        if launched is not None
    ]


def _matrix(structure: str, rows: Sequence[MatrixRow], versions: Sequence[str]) -> dict[str, Any]:
    r = forgetting.matrix(rows, structure)
    return {
        "structure": structure,
        "instruments": list(r.instruments),
        "rows": [
            {"version": version, "learned": learned, "dice": [_finite(value) for value in values]}
            for version, learned, values in zip(versions, r.learned, r.values.tolist(), strict=True)
        ],
        "transfers": [
            {"name": one.name, "meaning": one.meaning, "source": one.source, "value": one.value}
            for one in forgetting.transfers(r)
        ],
    }


def _succeeded(followed: Sequence[tuple[float, str]], row: Mapping[str, Any]) -> float | None:
    """When another reference took over after the alarm; None while its own still judges."""
    later = (time for time, reference in followed if time >= row["alarm_time"] and reference != row["reference_id"])
    return next(later, None)


def _ended(statistics: str) -> list[tuple[str, float]]:
    """Streams that a reset took out of alarm, and since when they had stood in it."""
    found = json.loads(statistics)
    return [
        (stream, float(said["alarm_time"]))
        for stream, said in found.items()
        if isinstance(said, dict) and said.get("alarm_time") is not None
    ]


def _alarm(instrument: str, stream: str, since: float, until: float | None) -> dict[str, Any]:
    return {"instrument": instrument, "stream": stream, "since": since, "until": until}


def _seconds(moment: str) -> float:
    return datetime.fromisoformat(moment).timestamp()


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None
