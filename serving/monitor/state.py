"""The answer of GET /api/state, which the page shows too."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from parfocal_serving.monitor import candidates, records
from parfocal_serving.monitor.cases import CaseStore
from parfocal_serving.monitor.database import Database
from parfocal_serving.monitor.lead import Lead
from parfocal_serving.monitor.references import References
from parfocal_serving.monitor.standing import Stream, Watched, shown, standing
from parfocal_serving.monitor.store import counters
from parfocal_serving.monitor.worth import Quality

from parfocal.core.types import Interval
from parfocal.triggers.policy import TriggerConfig

DECISIONS, RUNS = 50, 50
DECIDED = ("time", "last_time", "times", "instrument", "action", "reason", "key")


@dataclass(frozen=True)
class StateView:
    """Everything that is known now, as plain JSON; numbers that are not finite become null."""

    database: Database
    references: References
    cases: CaseStore
    lead: Lead
    quality: Quality
    task: str
    path: str
    trigger: TriggerConfig

    def read(self) -> dict[str, Any]:
        champion = self.references.champion
        with self.database.read() as connection:
            watched = standing(connection, self.references, self.task, self.cases.instruments())
            reference_id = shown(connection, self.references, self.task)
            unnamed = candidates.listing(connection, self.task, reference_id)
            judge = self.references.judge(reference_id)
            dice = {
                one.name: self.quality.of(connection, judge, reference_id, one.name, one.observations)
                for one in watched
            }
            counted = counters(connection, self.task)
            decided = records.decisions(connection, self.task, DECISIONS)
            runs = records.runs(connection, self.task)[:RUNS]
        return {
            "task": self.task,
            "leads": self.lead.held,
            "champion": champion
            and {
                "version": champion.version,
                "checksum": champion.checksum,
                "since": champion.since,
                "reference_id": champion.reference_id,
            },
            "trigger": {
                "path": self.path,
                "mode": self.trigger.mode,
                "dry_run": self.trigger.dry_run,
                "minimum_cases": self.trigger.labels_needed,
            },
            "instruments": [self._instrument(instrument, dice[instrument.name]) for instrument in watched],
            "candidates": unnamed,
            "decisions": [
                {
                    **{name: row[name] for name in DECIDED},
                    "cases": json.loads(row["cases"]),
                }
                for row in decided
            ],
            "runs": [_run(run) for run in runs],
            "observations": counted.get("accepted", 0),
            "duplicates": counted.get("duplicates", 0),
            "rejected": counted.get("rejected", 0),
            "unscored": counted.get("unscored", 0),
        }

    def _instrument(self, watched: Watched, dice: Mapping[str, Interval]) -> dict[str, Any]:
        return {
            "name": watched.name,
            "known": watched.known,
            "observations": watched.observations,
            "assigned": watched.assigned,
            "last_seen": watched.last_seen,
            "labelled": self.cases.labelled(watched.name),
            "predicted_dice": {
                name: {"mean": one.estimate, "low": one.low, "high": one.high} for name, one in dice.items()
            },
            "streams": [_stream(stream) for stream in watched.streams],
        }


def _stream(stream: Stream) -> dict[str, Any]:
    limit = stream.limit
    return {
        "name": stream.name,
        "epoch": stream.epoch,
        "statistic": stream.statistic,
        "threshold": limit and _finite(limit.threshold),
        "reason": limit.reason if limit else "the reference is no longer here",
        "arl0": limit and _finite(limit.arl0),
        "arl0_low": limit and _finite(limit.low),
        "arl0_high": limit and _finite(limit.high),
        "calibration_size": limit and limit.calibration_size,
        "observations": stream.observations,
        "alarm": stream.alarm,
        "alarm_at": stream.alarm_at,
        "alarm_time": stream.alarm_time,
        "history": [list(step) for step in stream.history],
    }


def _run(run: records.RunRecord) -> dict[str, Any]:
    names = ("key", "instrument", "number", "run_id", "state", "outcome", "decided", "launched", "ended", "error")
    return {name: getattr(run, name) for name in names}


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None
