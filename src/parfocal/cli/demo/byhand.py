"""Runs of the pipeline `continual` on this machine: how they end, and one that no alarm has started."""

from __future__ import annotations

import time
from pathlib import Path

from parfocal.cli.demo import cameras, view
from parfocal.cli.demo.cameras import Cast
from parfocal.cli.demo.findings import Run, Served
from parfocal.cli.demo.follow import following
from parfocal.cli.demo.settings import RETRAIN_MINUTES, run_config
from parfocal.cli.demo.stage import TASK, Stage
from parfocal.core.errors import OutsideServiceError


def arguments(stage: Stage, cast: Cast, served: Served) -> dict[str, str]:
    """What the monitor would give the pipeline, but for the folder of labelled cases, which it has not got.

    Raises:
        OutsideServiceError: there is no champion on this machine.
    """
    from parfocal.adapters import follower
    from parfocal.triggers import policy

    folder = stage.state / "serving" / TASK
    current = follower.current(folder)
    if current is None:
        raise OutsideServiceError("the champion was not fetched", where=folder / follower.CURRENT)
    config = run_config()
    data = config.data.model_copy(update={"instrument": cast.new})
    return {
        "config": config.model_copy(update={"data": data}).canonical_json(),
        "experience_uri": str(experience(stage, cast)),
        "champion_uri": str(current["folder"]),
        "idempotency_key": policy.key(TASK, cast.new, served.version, served.reference),
    }


def experience(stage: Stage, cast: Cast) -> Path:
    """Where the new camera's labelled cases lie for a run by hand."""
    return stage.out / "experiences" / TASK / cast.new / "1"


def lay_out(stage: Stage, cast: Cast) -> None:
    """Put the labelled cases where the run will read them."""
    cameras.link(cast.labels, experience(stage, cast))


def run(stage: Stage, cast: Cast, served: Served) -> Run:
    """Launch the pipeline as the monitor would, and follow it to its end.

    Raises:
        OutsideServiceError: it failed, or took too long; whoever catches this ends the process.
    """
    from parfocal.adapters import kubeflow

    launcher = kubeflow.LocalLauncher(stage.runs)
    values = arguments(stage, cast, served)
    key, launched = values["idempotency_key"], time.time()
    run_id = launcher.launch(kubeflow.pipeline("continual"), values, name=key)
    view.line(f"run: {key}")
    with following(log(stage, run_id)):
        while launcher.state(run_id) in ("pending", "running"):
            if time.time() > launched + RETRAIN_MINUTES * 60:
                raise OutsideServiceError(
                    f"the run did not end within {RETRAIN_MINUTES} minutes", where=log(stage, run_id)
                )
            time.sleep(0.5)
    return finished(stage, key, run_id, launched)


def finished(stage: Stage, key: str, run_id: str, launched: float) -> Run:
    """A run that has ended, and what it left.

    Raises:
        OutsideServiceError: it failed; with its error and its log.
    """
    from parfocal.adapters.kubeflow import LocalLauncher

    launcher = LocalLauncher(stage.runs)
    state, result = launcher.state(run_id), launcher.result(run_id)
    if state != "succeeded":
        why = str(result.get("error") or "it was ended from outside").replace("\n", "\n  ")
        raise OutsideServiceError(
            f"the pipeline `continual` {state}: {why}", where=log(stage, run_id), next="the log has what its steps said"
        )
    return Run(key, run_id, launched, dict(result["outputs"]))


def log(stage: Stage, run_id: str) -> Path:
    """Everything that a run's steps have printed."""
    return stage.runs / run_id / "output.log"
