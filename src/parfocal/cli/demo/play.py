"""The demo, scene by scene. Each scene is a phase with a name, and leaves what it found in `stage.facts`."""

from __future__ import annotations

import json
import os
import shutil
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from parfocal.cli.demo import cameras, view, watch
from parfocal.cli.demo.cameras import Cast
from parfocal.cli.demo.settings import AFTERWARDS, PATIENCE, QUIET, pictures, run_config
from parfocal.cli.demo.stage import Stage
from parfocal.cli.demo.summary import summarise
from parfocal.cli.demo.traffic import Flow
from parfocal.core.errors import GateRefusedError, OutsideServiceError
from parfocal.core.types import Outcome

TASK = "fundus"
FLOW_SECONDS = 1.0
"""Between two requests while the new model is being made."""
RETRAIN_MINUTES = 20


def play(out: Path, folders: tuple[Path, Path] | None, *, wait: bool) -> None:
    """Play the demo into the empty folder `out`; `folders` are two instruments' images, or None for simulated ones."""
    from parfocal.adapters import Settings
    from parfocal.adapters.local_platform import LocalPlatform

    view.welcome(out, pictures(), run_config().model)
    config = out / "run.json"
    config.write_text(run_config().canonical_json())
    with LocalPlatform(Settings(), environment=_environment(config, cameras.labels(folders))) as platform:
        stage = Stage(out, platform)
        cast = _prepare(stage, folders)
        _initial(stage, cast)
        _serve(stage)
        _quiet(stage, cast)
        _arrival(stage, cast)
        _retrain(stage, cast)
        _afterwards(stage, cast)
        _finish(stage, cast)
        if wait:
            view.addresses(platform.addresses)
            platform.wait()


def _environment(config: Path, labels: int) -> dict[str, str]:
    """What the services are told: how the demo retrains, and that it does so once all its labels are there."""
    trigger = {"minimum_cases": labels, "minimum_test": labels // 2}
    return {"PARFOCAL_RUN_CONFIG": str(config), "PARFOCAL_TRIGGER": json.dumps(trigger)}


def _prepare(stage: Stage, folders: tuple[Path, Path] | None) -> Cast:
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


def _initial(stage: Stage, cast: Cast) -> None:
    with stage.phase("initial", f"Pipeline `initial`: learn {cast.known} from nothing"):
        outputs = stage.initial(cast.experience, run_config(cast.known))
    judged, decision = read_outputs(outputs)
    view.scores(judged)
    view.gate(decision)
    if outputs["outcome"] != Outcome.PROMOTE:
        raise GateRefusedError(f"the first model was not promoted: {decision['reason']}", where=outputs["promotion"])


def _serve(stage: Stage) -> None:
    with stage.phase("serve", "The champion answers at an endpoint, and the monitor listens"):
        stage.platform.start("follower", "segmenter", "monitor", "prometheus", "alertmanager")
        stage.open()
        state = stage.monitor.wait("the champion's reference", lambda state: state if state["champion"] else None, 60)
    stage.facts["before"] = str(state["champion"]["version"])
    stage.facts["trigger_path"] = state["trigger"]["path"]
    view.addresses(stage.platform.addresses)
    if state["trigger"]["path"] == "monitor":
        view.line("Prometheus and Alertmanager are not installed: the monitor evaluates the same condition itself.")


def _quiet(stage: Stage, cast: Cast) -> None:
    """The known camera: no alarm."""
    with stage.phase("known", f"{QUIET} new patients at the known camera {cast.known}"), view.counter("cases") as show:
        for done, _ in enumerate(stage.clinic.stream(cast.traffic, QUIET), start=1):
            if done % 20 == 0:
                show(done, view.streams(watch.instrument(stage.monitor.state(), cast.known)))
        sent = stage.clinic.sent
        state = _heard(stage, cast.known, sent)
    alarms = watch.alarms(state, cast.known)
    stage.facts["known_cases"], stage.facts["false_alarms"] = sent, len(alarms)
    shown = view.streams(watch.instrument(state, cast.known))
    view.line(f"{sent} cases of {cast.known}, {len(alarms)} alarms. {shown}")


def _arrival(stage: Stage, cast: Cast) -> None:
    """The new camera, one case at a time, until the monitor raises the alarm."""
    title = f"{cast.new}, a camera that the model has never seen, comes to the endpoint"
    before = stage.clinic.sent
    with stage.phase("unknown", title), view.counter("cases") as show:
        for done, _ in enumerate(stage.clinic.stream(cast.arrivals, PATIENCE), start=1):
            state = _heard(stage, cast.new, done)
            show(done, view.streams(watch.instrument(state, cast.new)))
            if watch.alarms(state, cast.new):
                break
    alarms = watch.alarms(state, cast.new)
    if not alarms:
        raise OutsideServiceError(
            f"no alarm after {stage.clinic.sent - before} cases of {cast.new}",
            where=stage.platform.addresses["monitor"],
            next="look at the streams on the monitor's page",
        )
    first = min(int(stream["alarm_at"]) for stream in alarms)
    stage.facts["alarm"] = {
        "instrument": cast.new,
        "observations_to_alarm": first,
        "streams": {stream["name"]: stream["alarm_at"] for stream in alarms},
    }
    stage.facts["alarmed"] = time.monotonic()
    view.alarm(cast.new, alarms)
    with stage.phase("trigger", f"The alarm travels: {_path(stage)}"):
        decision = stage.monitor.wait(
            "the trigger's decision",
            lambda state: next((d for d in state["decisions"] if d["instrument"] == cast.new), None),
            60,
        )
    view.line(f"trigger: {decision['action']}: {decision['reason']}")


def _retrain(stage: Stage, cast: Cast) -> None:
    """Labels arrive; the pipeline runs while requests keep coming; the endpoint swaps."""
    with stage.phase("labels", f"{len(cast.labels)} cases of {cast.new} are handed in"):
        for case in cast.labels:
            files = {name: (file.name, file.read_bytes()) for name, file in case.files.items()}
            stage.monitor.hand_in(TASK, cast.new, files, patient=case.patient, name=case.name, grader=case.grader)
    if cast.simulated:
        view.line("The phantoms' own truth plays the annotator.")
    failed = len(stage.clinic.failed)
    with Flow(stage.clinic, [cast.traffic, cast.afterwards], FLOW_SECONDS) as flow:
        with stage.phase("continual", "Pipeline `continual`, started by the trigger; requests keep coming"):
            run = _follow(stage, cast.new)
        stage.facts["run"] = run
        outputs = _outputs(stage, run)
        judged, decision = read_outputs(outputs)
        stage.facts |= {"judged": judged, "decision": decision, "outputs": outputs}
        if outputs["outcome"] == Outcome.PROMOTE:
            with stage.phase("swap", "The endpoint takes the new champion"):
                _swapped(stage, flow)
    stage.facts["swap_failed"] = len(stage.clinic.failed) - failed
    stage.facts["flow"] = len(flow.answers)
    view.scores(judged)
    view.gate(decision)
    view.outcome(outputs["outcome"], decision, stage.facts["before"], stage.facts.get("after", stage.facts["before"]))
    view.line(f"{len(flow.answers)} requests were answered meanwhile, {stage.facts['swap_failed']} failed.")
    if outputs["outcome"] == Outcome.INCONCLUSIVE:
        view.approval(_approval(stage, outputs, str(run["key"])))


def _follow(stage: Stage, name: str) -> watch.State:
    """The launched run, when it has ended."""

    def started(state: watch.State) -> watch.State | None:
        return watch.run_of(state, name)

    run = stage.monitor.wait("the run", started, 60)
    decisions = stage.monitor.state()["decisions"]
    decision = next(d for d in decisions if d["key"] == run["key"] and d["action"] == "start")
    view.line(f"trigger: {decision['action']}: {decision['reason']}")
    view.line(f"run: {run['key']}")

    def ended(state: watch.State) -> watch.State | None:
        found = watch.run_of(state, name)
        return found if found and found["state"] in ("succeeded", "failed", "cancelled") else None

    with view.following(stage.out / "state" / "runs" / str(run["key"]) / "output.log"):
        run = stage.monitor.wait("the end of the run", ended, RETRAIN_MINUTES * 60, every=0.5)
    if run["state"] != "succeeded":
        raise OutsideServiceError(f"the run {run['state']}: {run['error']}", where=run["run_id"])
    return run


def _swapped(stage: Stage, flow: Flow) -> None:
    """Wait for the first answer of another version than before, and for the monitor's new reference."""
    promoted = stage.facts["promoted"] = _promotion_time()
    before = stage.facts["before"]
    end = time.monotonic() + 60
    while not any(version != before for _, version in flow.answers):
        if time.monotonic() > end:
            raise OutsideServiceError("the endpoint did not take the new champion within 60 s")
        time.sleep(0.05)
    when, after = next((when, version) for when, version in flow.answers if version != before)
    stage.facts["after"] = after
    stage.facts["swap_seconds"] = round(time.time() - (time.monotonic() - when) - promoted, 2)
    stage.facts["champion_seconds"] = round(when - stage.facts["alarmed"], 1)
    stage.monitor.wait(
        "the new reference", lambda state: True if str(state["champion"]["version"]) == after else None, 60
    )


def _promotion_time() -> float:
    """When the alias moved, in seconds since 1970, as the ledger says."""
    from datetime import datetime

    from parfocal.adapters import connect

    entry = connect().ledger.entries(TASK, "promotion")[-1]
    return datetime.fromisoformat(entry.time).timestamp()


def _afterwards(stage: Stage, cast: Cast) -> None:
    """New patients of the camera that is known now: no alarm."""
    if "after" not in stage.facts:
        return
    title = f"More patients at {cast.new}, which the champion knows now"
    with stage.phase("after", title), view.counter("cases") as show:
        for done, _ in enumerate(stage.clinic.stream(cast.afterwards, AFTERWARDS), start=1):
            if done % 20 == 0:
                show(done, view.streams(watch.instrument(stage.monitor.state(), cast.new)))
        state = stage.monitor.wait("all observations", _all_heard(stage.clinic.sent), 60)
    alarms = [*watch.alarms(state, cast.new), *watch.alarms(state, cast.known)]
    stage.facts["alarms_after"] = len(alarms)
    for name in (cast.new, cast.known):
        view.line(f"{name}: {view.streams(watch.instrument(state, name)) or 'no reference'}")
    view.line(f"alarms since the promotion: {len(alarms)}")


def _finish(stage: Stage, cast: Cast) -> None:
    shutil.copyfile(Path(stage.facts["outputs"]["evaluation"]) / "report.html", stage.out / "report.html")
    summary = summarise(stage, cast)
    (stage.out / "summary.json").write_text(json.dumps(summary, indent=1) + "\n")
    view.closing(stage.out, summary)


def _heard(stage: Stage, name: str, number: int) -> watch.State:
    """The state once the monitor has every observation of an instrument."""

    def look(state: watch.State) -> watch.State | None:
        return state if watch.instrument(state, name).get("observations", 0) >= number else None

    return stage.monitor.wait(f"{number} observations of {name}", look, 60, every=0.05)


def _all_heard(number: int) -> Any:
    return lambda state: state if state["observations"] >= number else None


def _path(stage: Stage) -> str:
    if stage.facts["trigger_path"] == "alertmanager":
        return "monitor, Prometheus, Alertmanager, webhook, trigger"
    return "monitor, trigger"


def _outputs(stage: Stage, run: watch.State) -> dict[str, str]:
    from parfocal.adapters.kubeflow_local import LocalLauncher

    result = LocalLauncher(stage.out / "state" / "runs").result(str(run["run_id"]))
    return dict(result["outputs"])


def read_outputs(outputs: dict[str, str]) -> tuple[Any, dict[str, Any]]:
    """The evaluation and the gate's decision of a pipeline's outputs."""
    from parfocal.core import scores

    decision = json.loads((Path(outputs["promotion"]) / "decision.json").read_text())
    return scores.read(Path(outputs["evaluation"])), decision


def _approval(stage: Stage, outputs: dict[str, str], key: str) -> str:
    """The command with which a person takes an inconclusive decision upon themselves."""
    return (
        f"PARFOCAL_STATE={stage.out / 'state'} {view.program()} promote {outputs['evaluation']} \\\n"
        f"    --challenger {outputs['bundle']} --out {stage.out / 'approved'} \\\n"
        f"    --key {key} --config {stage.out / 'run.json'} \\\n"
        f"    --approve 'YOUR NAME' --reason 'WHY'"
    )
