"""The first scenes: two instruments deliver, the first is learned and promoted, its model answers."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

from parfocal.cli.demo import cameras, follow, tables, view
from parfocal.cli.demo.cameras import Cast
from parfocal.cli.demo.findings import Served
from parfocal.cli.demo.settings import run_config
from parfocal.cli.demo.stage import Stage
from parfocal.core.errors import GateRefusedError
from parfocal.core.types import Outcome

if TYPE_CHECKING:
    from parfocal.core.scores import Evaluation


def prepare(stage: Stage, folders: tuple[Path, Path] | None) -> Cast:
    """The registry starts while the cameras deliver."""
    title = "Two instruments deliver" if folders else "Simulated cameras A and B photograph different patients"
    with stage.phase("images", f"{title}; MLflow starts"), ThreadPoolExecutor(1) as pool:
        starting = pool.submit(stage.platform.start, "mlflow")
        cast = cameras.photographs(*folders, stage.out) if folders else cameras.simulated(stage.out)
        starting.result()
        os.environ["MLFLOW_TRACKING_URI"] = stage.platform.addresses["mlflow"]
    view.line(f"{cast.known}: {cast.experience}")
    view.line(f"{cast.new}: {len(cast.labels)} cases that will be handed in later")
    view.line(f"MLflow: {stage.platform.addresses['mlflow']}")
    return cast


def learn_first(stage: Stage, cast: Cast) -> Mapping[str, str]:
    """The pipeline `initial`; its outputs, folder by name.

    Raises:
        GateRefusedError: its model was refused, so there is nothing to serve.
    """
    with stage.phase("initial", f"Pipeline `initial`: learn {cast.known} from nothing"):
        outputs = stage.initial(cast.experience, run_config(cast.known))
    judged, decision = read_outputs(outputs)
    tables.scores(judged)
    tables.gate(decision)
    if decision["outcome"] == Outcome.INCONCLUSIVE:
        _approve(stage, outputs, cast.known)
    elif decision["outcome"] != Outcome.PROMOTE:
        raise GateRefusedError(
            f"the first model was not promoted: {decision['reason']}",
            where=Path(outputs["evaluation"]) / "report.html",
            next=f"give more labelled images of {cast.known}",
        )
    return outputs


def _approve(stage: Stage, outputs: Mapping[str, str], known: str) -> None:
    """Promote a first model of which the gate cannot say enough: somebody has to, or there is nothing to show."""
    from parfocal.adapters import connect
    from parfocal.promotion.evidence import Approval
    from parfocal.steps import promote

    platform, key = connect(), f"demo-initial-{known}"
    approval = Approval("parfocal demo", "a first model, with no champion to lose; for show, not for patients")
    view.line("The gate cannot say. With your own model a person decides; here the demo does, under its name:")
    with follow.reporter() as report, platform.tracker.run("promote", key=key) as run:
        promote.run(
            Path(outputs["evaluation"]),
            Path(outputs["bundle"]),
            stage.out / "approved-first",
            run_config(known),
            key=key,
            store=platform.models,
            ledger=platform.ledger,
            run=run,
            reporter=report,
            approval=approval,
        )


def serve(stage: Stage) -> Served:
    """Endpoint, monitor and what belongs to them start, and the champion's drift reference is there."""
    with stage.phase("serve", "The champion answers at an endpoint, and the monitor listens"):
        stage.platform.start("follower", "segmenter", "monitor", "prometheus", "alertmanager")
        stage.open()
        state = stage.monitor.wait("the champion's reference", lambda state: state if state["champion"] else None, 60)
    champion, path = state["champion"], str(state["trigger"]["path"])
    view.addresses(stage.platform.addresses)
    if path == "monitor":
        view.line("Prometheus and Alertmanager are not installed: the monitor evaluates the same condition itself.")
    return Served(str(champion["version"]), str(champion["reference_id"] or ""), path)


def read_outputs(outputs: Mapping[str, str]) -> tuple[Evaluation, dict[str, Any]]:
    """The evaluation and the gate's decision of a pipeline's outputs."""
    from parfocal.core import scores

    decision = json.loads((Path(outputs["promotion"]) / "decision.json").read_text())
    return scores.read(Path(outputs["evaluation"])), decision
