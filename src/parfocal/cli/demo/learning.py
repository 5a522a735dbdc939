"""The last scenes: labels arrive, the pipeline runs while requests keep coming, the endpoint swaps, all is quiet."""

from __future__ import annotations

import time

from parfocal.cli.demo import byhand, tables, view, watch
from parfocal.cli.demo.cameras import Cast
from parfocal.cli.demo.findings import Arrival, Lesson, Run, Served, Swap, Traffic
from parfocal.cli.demo.follow import following
from parfocal.cli.demo.opening import read_outputs
from parfocal.cli.demo.settings import AFTERWARDS, RETRAIN_MINUTES
from parfocal.cli.demo.stage import TASK, Stage
from parfocal.cli.demo.traffic import Flow
from parfocal.core.errors import OutsideServiceError
from parfocal.core.types import Outcome

FLOW_SECONDS = 1.0
"""Between two requests while the new model is being made."""
SHOW = 20
"""Cases between two looks at a camera that should be quiet."""


def learn(stage: Stage, cast: Cast, served: Served, came: Arrival, *, handed_in: bool = False) -> Lesson:
    """Labels arrive; the pipeline runs while requests keep coming; the endpoint swaps if the gate promotes.

    With `handed_in` a person has labelled the cases already.
    """
    if not handed_in:
        _labels(stage, cast, came)
    failed, swap = len(stage.clinic.failed), None
    starter = "a person" if came.silence else "the trigger"
    with Flow(stage.clinic, [cast.background, cast.afterwards], FLOW_SECONDS) as flow:
        with stage.phase("continual", f"Pipeline `continual`, started by {starter}; requests keep coming"):
            run = byhand.run(stage, cast, served) if came.silence else _triggered(stage, cast.new)
        judged, decision = read_outputs(run.outputs)
        if decision["outcome"] == Outcome.PROMOTE:
            with stage.phase("swap", "The endpoint takes the new champion"):
                swap = _swapped(stage, flow, served.version)
    lesson = Lesson(run, judged, decision, swap, len(flow.answers), len(stage.clinic.failed) - failed)
    tables.scores(judged)
    tables.gate(decision)
    tables.outcome(decision, served.version, swap.version if swap else served.version)
    view.line(f"{lesson.answered} requests were answered meanwhile, {lesson.failed} failed.")
    return lesson


def afterwards(stage: Stage, cast: Cast) -> Traffic | None:
    """New patients of the camera that is known now: no alarm. None when there are no more of them."""
    before = stage.clinic.sent
    title = f"More patients at {cast.new}, which the champion knows now"
    with stage.phase("after", title), view.counter("case") as show:
        for done, _ in enumerate(stage.clinic.stream(cast.afterwards, AFTERWARDS), start=1):
            if done % SHOW == 0:
                show(done, view.streams(watch.instrument(stage.monitor.state(), cast.new)))
        state = stage.monitor.wait("all observations", watch.received_in_all(len(stage.clinic.seconds)), 60)
    sent = stage.clinic.sent - before
    if not sent:
        view.line(f"No photograph of {cast.new} is left to send.")
        return None
    for name in (cast.new, cast.known):
        view.line(f"{name}: {view.streams(watch.instrument(state, name)) or 'no reference'}")
    alarms = [*watch.alarms(state, cast.new), *watch.alarms(state, cast.known)]
    view.line(f"alarms since the promotion: {len(alarms)}")
    return Traffic(sent, len(alarms))


def _labels(stage: Stage, cast: Cast, came: Arrival) -> None:
    with stage.phase("labels", f"{len(cast.labels)} cases of {cast.new} are handed in"):
        byhand.lay_out(stage, cast) if came.silence else _hand_in(stage, cast)
    if cast.simulated:
        view.line("The phantoms' own truth plays the annotator.")


def _hand_in(stage: Stage, cast: Cast) -> None:
    for case in cast.labels:
        files = {name: (file.name, file.read_bytes()) for name, file in case.files.items()}
        fields = {"patient": case.patient, "name": case.name, "grader": case.grader}
        stage.monitor.hand_in(TASK, cast.new, files, **fields, assisted="yes" if case.assisted else "")


def _triggered(stage: Stage, name: str) -> Run:
    """The run that the trigger has launched, when it has ended."""
    launched = stage.monitor.wait("the run", lambda state: watch.launched(state, name), 60)
    key, run_id = str(launched["key"]), str(launched["run_id"] or "")
    if not run_id:
        raise OutsideServiceError(f"the run was not launched: {launched['error']}", where=key)
    decision = watch.start_of(stage.monitor.state(), key)
    view.line(f"trigger: {decision['action']}: {decision['reason']}")
    view.line(f"run: {key}")
    with following(byhand.log(stage, run_id)):
        seconds = RETRAIN_MINUTES * 60
        run = stage.monitor.wait("the end of the run", lambda state: watch.ended(state, key), seconds, every=0.5)
    return byhand.finished(stage, key, run_id, float(run["launched"] or run["decided"]))


def _swapped(stage: Stage, flow: Flow, before: str) -> Swap:
    """Wait for the first answer of another version than before, and for the monitor's new reference."""
    end = time.monotonic() + 60
    while not (others := [answer for answer in flow.answers if answer[1] != before]):
        if time.monotonic() > end:
            raise OutsideServiceError(
                "the endpoint did not take the new champion within 60 s", where=stage.state / "logs" / "segmenter.log"
            )
        time.sleep(0.05)
    moment, version = others[0]
    answered = time.time() - (time.monotonic() - moment)
    stage.monitor.wait("the new reference", watch.follows(version), 60)
    return Swap(version, answered - _promotion_time(), moment)


def _promotion_time() -> float:
    """When the alias moved, in seconds since 1970, as the ledger says."""
    from datetime import datetime

    from parfocal.adapters import connect

    entry = connect().ledger.entries(TASK, "promotion")[-1]
    return datetime.fromisoformat(entry.time).timestamp()
