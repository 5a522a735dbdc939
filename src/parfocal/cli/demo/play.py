"""The demo: the order of its scenes, and its end. Each scene is a phase or two and returns what it found."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

from parfocal.cli.demo import arrival, cameras, commands, learning, opening, people, tables, view
from parfocal.cli.demo.cameras import Cast
from parfocal.cli.demo.findings import Findings
from parfocal.cli.demo.settings import pictures, run_config
from parfocal.cli.demo.stage import Stage
from parfocal.cli.demo.summary import summarise
from parfocal.core.errors import GateRefusedError
from parfocal.core.types import Outcome


def play(out: Path, folders: tuple[Path, Path] | None, *, wait: bool, annotate: int = 0) -> None:
    """Play the demo into the empty folder `out`; `folders` are two instruments' images, or None for simulated ones.

    With `annotate` so many cases are labelled by whoever looks on.

    Raises:
        GateRefusedError: the gate refused a model; of the second one everything is written all the same.
        OutsideServiceError: a service or a pipeline failed.
    """
    from parfocal.adapters import Settings
    from parfocal.adapters.local_platform import LocalPlatform

    labels = annotate or cameras.labels(folders)
    known, new = (folder.name for folder in folders) if folders else ("A", "B")
    view.welcome(out, known, new, view.minutes(pictures(known, clicks=bool(annotate)), run_config(known).model))
    config = out / "run.json"
    config.write_text(run_config().canonical_json())
    settings = Settings().model_copy(update={"open": True})  # one looks about in it: this machine alone, no token
    with LocalPlatform(settings, environment=_environment(config, labels, annotate)) as platform:
        stage = Stage(out, platform)
        cast = opening.prepare(stage, folders)
        found = _scenes(stage, cast, annotate)
        _finish(stage, cast, found)
        if wait:
            view.addresses(platform.addresses)
            view.line("Ctrl-C stops everything.")
            platform.wait()
    if found.lesson.decision["outcome"] == Outcome.REFUSE:
        raise GateRefusedError(
            f"the model that learned {cast.new} was refused: {found.lesson.decision['reason']}",
            where=out / "report.html",
            next=f"version {found.champion} still answers; read the report",
        )


def _environment(config: Path, labels: int, annotate: int = 0) -> dict[str, str]:
    """What the services are told: how the demo retrains, and that it does so once all its labels are there."""
    trigger = {"minimum_cases": labels, "minimum_test": max(1, labels // 2)}
    told = {"PARFOCAL_RUN_CONFIG": str(config), "PARFOCAL_TRIGGER": json.dumps(trigger)}
    return {**told, **people.environment(config.parent)} if annotate else told


def _scenes(stage: Stage, cast: Cast, annotate: int) -> Findings:
    outputs = opening.learn_first(stage, cast)
    if annotate:
        people.learn_clicks(stage, cast, Path(outputs["dataset"]))
    served = opening.serve(stage)
    known = arrival.known(stage, cast)
    came = arrival.unknown(stage, cast)
    arrival.trigger(stage, cast, served, came)
    if annotate:
        people.label(stage, cast, came, annotate)
    lesson = learning.learn(stage, cast, served, came, handed_in=bool(annotate))
    after = learning.afterwards(stage, cast) if lesson.swap else None
    return Findings(served, known, came, lesson, after)


def _finish(stage: Stage, cast: Cast, found: Findings) -> None:
    """Report, summary and table; and the command that an inconclusive gate leaves to a person."""
    outputs = found.lesson.run.outputs
    shutil.copyfile(Path(outputs["evaluation"]) / "report.html", stage.out / "report.html")
    summary = summarise(cast, stage.clinic, stage.phases, found)
    (stage.out / "summary.json").write_text(json.dumps(summary, indent=1) + "\n")
    tables.closing(stage.out, summary)
    if found.lesson.decision["outcome"] == Outcome.INCONCLUSIVE:
        view.approval(commands.approval(stage.out, outputs, found.lesson.run.key))
