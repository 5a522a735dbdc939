"""The scenes in between: the known camera passes quietly, the new one raises the alarm, the alarm travels."""

from __future__ import annotations

import time

from parfocal.cli.demo import byhand, commands, view, watch
from parfocal.cli.demo.cameras import Cast
from parfocal.cli.demo.findings import Arrival, Served, Traffic
from parfocal.cli.demo.settings import QUIET
from parfocal.cli.demo.stage import Stage

SHOW = 20
"""Cases between two looks at a camera that should be quiet."""


def known(stage: Stage, cast: Cast) -> Traffic:
    """The known camera: no alarm."""
    number = f"{QUIET}" if cast.simulated else f"Up to {QUIET}"
    with stage.phase("known", f"{number} new patients at the known camera {cast.known}"), view.counter("case") as show:
        for done, _ in enumerate(stage.clinic.stream(cast.traffic, QUIET), start=1):
            if done % SHOW == 0:
                show(done, view.streams(watch.instrument(stage.monitor.state(), cast.known)))
        sent = stage.clinic.sent
        state = _heard(stage, cast.known, len(stage.clinic.seconds))
    alarms = watch.alarms(state, cast.known)
    shown = view.streams(watch.instrument(state, cast.known))
    view.line(f"{sent} cases of {cast.known}, {len(alarms)} alarms. {shown}")
    return Traffic(sent, len(alarms))


def unknown(stage: Stage, cast: Cast) -> Arrival:
    """The new camera, one case at a time, until the monitor raises the alarm, or cannot, or no case is left."""
    title = f"{cast.new}, a camera that the model has never seen, comes to the endpoint"
    sent, answered = 0, 0
    state = stage.monitor.state()
    with stage.phase("unknown", title), view.counter("case") as show:
        for answer in stage.clinic.stream(cast.arrivals, cast.patience):
            sent, answered = sent + 1, answered + (answer is not None)
            state = _heard(stage, cast.new, answered)
            show(sent, view.streams(watch.instrument(state, cast.new)))
            if watch.alarms(state, cast.new) or (answered and watch.deaf(state, cast.new)):
                break
    alarms = watch.alarms(state, cast.new)
    if alarms:
        view.alarm(cast.new, alarms)
    silence = "" if alarms else watch.deaf(state, cast.new) or f"{sent} cases of {cast.new} stayed below the thresholds"
    return Arrival(sent, {stream["name"]: int(stream["alarm_at"]) for stream in alarms}, silence, time.monotonic())


def trigger(stage: Stage, cast: Cast, served: Served, came: Arrival) -> None:
    """The alarm reaches the trigger, which answers it; without one, say what a person would do."""
    if came.silence:
        with stage.phase("trigger", f"Without an alarm a person starts the retrain on {cast.new}"):
            command = commands.retrain(stage.out, byhand.arguments(stage, cast, served), cast.new)
        view.by_hand(came.silence, command)
        return
    with stage.phase("trigger", f"The alarm travels: {_path(served)}"):
        decision = stage.monitor.wait(
            "the trigger's decision",
            lambda state: next((d for d in state["decisions"] if d["instrument"] == cast.new), None),
            60,
        )
    view.line(f"trigger: {decision['action']}: {decision['reason']}")


def _path(served: Served) -> str:
    if served.trigger_path == "alertmanager":
        return "monitor, Prometheus, Alertmanager, webhook, trigger"
    return "monitor, trigger"


def _heard(stage: Stage, name: str, number: int) -> watch.State:
    """The state once the monitor has every observation of an instrument."""
    return stage.monitor.wait(f"{number} observations of {name}", watch.received(name, number), 60, every=0.05)
