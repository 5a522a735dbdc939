"""What the demo found, as one JSON object."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Any

from parfocal.cli.demo import view
from parfocal.cli.demo.cameras import Cast
from parfocal.cli.demo.stage import Stage

STEPS = {"preprocess": "dataset", "retrain": "bundle", "evaluate": "evaluation", "promote": "promotion"}
"""Step of the pipeline to the output that it makes last."""


def summarise(stage: Stage, cast: Cast) -> dict[str, Any]:
    """Contents of summary.json."""
    facts = stage.facts
    judged, decision = facts["judged"], facts["decision"]
    intervals = [
        {key: check[key] for key in ("name", "instrument", "structure", "outcome", "value", "limit", "interval")}
        for check in decision["checks"]
        if check["interval"]
    ]
    return {
        "instruments": [cast.known, cast.new],
        "alarm": {
            **facts["alarm"],
            "false_alarms": facts["false_alarms"],
            "known_cases": facts["known_cases"],
            "alarms_after_promotion": facts.get("alarms_after"),
        },
        "trigger_path": facts["trigger_path"],
        "champion": {"before": facts["before"], "after": facts.get("after", facts["before"])},
        "dice": {"before": view.mean_dice(judged, "champion"), "after": view.mean_dice(judged, "challenger")},
        "constant_mask": view.mean_dice(judged, "constant"),
        "gate": {"decision": decision["outcome"], "reason": decision["reason"], "intervals": intervals},
        "swap": {"seconds": facts.get("swap_seconds"), "failed_requests": facts["swap_failed"]},
        "requests": {
            "answered": sum(stage.clinic.versions.values()),
            "failed": len(stage.clinic.failed),
            "by_version": dict(stage.clinic.versions),
            "median_seconds": _median(stage.clinic.seconds),
        },
        "alarm_to_champion": {
            "seconds": facts.get("champion_seconds"),
            "steps": _steps(facts["run"], facts["outputs"]),
        },
        "phases": stage.phases,
    }


def _median(values: list[float]) -> float | None:
    from statistics import median

    return round(median(values), 4) if values else None


def _steps(run: Any, outputs: dict[str, str]) -> dict[str, float]:
    """Seconds from the launch to the end of each step, as the manifests of what they made say."""
    from parfocal.core import manifest

    begun = float(run["launched"])
    found = {}
    for step, output in STEPS.items():
        made = datetime.fromisoformat(manifest.read(Path(outputs[output])).created).timestamp()
        found[step] = round(made - begun, 1)
        begun = made
    return found
