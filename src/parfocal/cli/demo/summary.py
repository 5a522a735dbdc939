"""What the demo found, as one JSON object."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from parfocal.cli.demo.cameras import Cast
from parfocal.cli.demo.findings import Findings, Lesson, Run

if TYPE_CHECKING:
    from parfocal.cli.demo.traffic import Clinic
    from parfocal.core.scores import Evaluation

STEPS = {"preprocess": "dataset", "retrain": "bundle", "evaluate": "evaluation", "promote": "promotion"}
"""Step of the pipeline to the output that it makes last."""
SHOWN = ("name", "instrument", "structure", "outcome", "value", "limit", "interval")
"""Of each condition of the gate."""


def summarise(cast: Cast, clinic: Clinic, phases: Mapping[str, float], found: Findings) -> dict[str, Any]:
    """Contents of summary.json; `phases` are seconds by name."""
    judged, swap = found.lesson.judged, found.lesson.swap
    return {
        "instruments": [cast.known, cast.new],
        "alarm": _alarm(cast, found),
        "trigger_path": found.trigger_path,
        "champion": {"before": found.served.version, "after": found.champion},
        "dice": {"before": mean_dice(judged, "champion"), "after": mean_dice(judged, "challenger")},
        "constant_mask": mean_dice(judged, "constant"),
        "gate": _gate(found.lesson),
        "swap": {"seconds": round(swap.seconds, 2) if swap else None, "failed_requests": found.lesson.failed},
        "requests": _requests(clinic),
        "alarm_to_champion": {
            "seconds": round(swap.moment - found.arrival.ended, 1) if swap and not found.arrival.silence else None,
            "steps": steps(found.lesson.run),
        },
        "phases": dict(phases),
    }


def _alarm(cast: Cast, found: Findings) -> dict[str, Any]:
    return {
        "instrument": cast.new,
        "observations_to_alarm": found.arrival.alarm_at,
        "streams": dict(found.arrival.streams),
        "none_because": found.arrival.silence or None,
        "new_cases": found.arrival.cases,
        "false_alarms": found.known.alarms,
        "known_cases": found.known.cases,
        "alarms_after_promotion": found.after.alarms if found.after else None,
    }


def _gate(lesson: Lesson) -> dict[str, Any]:
    decision = lesson.decision
    intervals = [{key: check[key] for key in SHOWN} for check in decision["checks"] if check["interval"]]
    return {"decision": decision["outcome"], "reason": decision["reason"], "intervals": intervals}


def _requests(clinic: Clinic) -> dict[str, Any]:
    return {
        "answered": sum(clinic.versions.values()),
        "failed": len(clinic.failed),
        "by_version": dict(clinic.versions),
        "median_seconds": _median(clinic.seconds),
    }


def mean_dice(judged: Evaluation, model: str) -> dict[str, dict[str, float]]:
    """Mean Dice by instrument and structure."""
    from parfocal.evaluation.tables import mean_dice as gather

    found = gather(judged.scores.get(model, ()))
    return {name: {what: round(dice, 4) for what, dice in cells.items()} for name, cells in found.items()}


def steps(run: Run) -> dict[str, float]:
    """Seconds from the launch to the end of each step, as the manifests of what they made say."""
    from parfocal.core import manifest

    begun = run.launched
    found = {}
    for step, output in STEPS.items():
        made = datetime.fromisoformat(manifest.read(Path(run.outputs[output])).created).timestamp()
        found[step] = round(made - begun, 1)
        begun = made
    return found


def _median(values: Iterable[float]) -> float | None:
    from statistics import median

    values = tuple(values)
    return round(median(values), 4) if values else None
