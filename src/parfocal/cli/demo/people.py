"""The scenes of `demo --annotate`: a model that answers clicks, and a person who labels the new camera on the page."""

from __future__ import annotations

import time
from pathlib import Path

from parfocal.cli.demo import byhand, follow, view, watch
from parfocal.cli.demo.cameras import Cast
from parfocal.cli.demo.findings import Arrival
from parfocal.cli.demo.settings import clicks_config
from parfocal.cli.demo.stage import TASK, Stage

CLICKS = "clicks"
"""Folder of the model that answers clicks."""
CHOICE = 3
"""Photographs of the new camera for each case that is to be labelled: the page chooses among them."""
LOOK = 0.5
"""Seconds between two looks at the number of labels."""


def environment(out: Path) -> dict[str, str]:
    """What the services are told: keep every photograph, and answer clicks with the model that is trained first."""
    return {"PARFOCAL_CAPTURE": "1", "PARFOCAL_CLICKS_MODEL": str(out / CLICKS)}


def learn_clicks(stage: Stage, cast: Cast, dataset: Path) -> None:
    """Train the model that answers clicks, on the first model's `dataset`."""
    from parfocal.adapters import connect
    from parfocal.steps import train

    key, platform = f"demo-clicks-{cast.known}", connect()
    with (
        stage.phase("clicks", f"A second model learns to answer clicks, on {cast.known}"),
        follow.reporter() as report,
        platform.tracker.run("train", key=key) as run,
    ):
        train.run(
            (dataset,), stage.out / CLICKS, stage.out / f"{CLICKS}-memory", clicks_config(cast.known),
            state=stage.state, key=key, run=run, reporter=report,
        )  # fmt: skip


def label(stage: Stage, cast: Cast, came: Arrival, wanted: int) -> None:
    """Wait until a person has labelled so many cases of the new camera, or the trigger has found them enough."""
    with stage.phase("photographs", f"More patients at {cast.new}, so that there is a choice of cases to label"):
        for _ in stage.clinic.stream(cast.arrivals, CHOICE * wanted - came.cases):
            pass
        stage.monitor.wait("all observations", watch.received_in_all(len(stage.clinic.seconds)), 60)
    with stage.phase("labels", f"Now you: label {wanted} cases of {cast.new}"), view.counter("label") as show:
        view.page(f"{stage.platform.addresses['monitor']}/annotate", cast.new)
        shown = -1
        while (done := _labelled(stage, cast.new)) is not None and done < wanted:
            if done != shown:
                show(done, f"of {wanted} are there")
                shown = done
            time.sleep(LOOK)
    if came.silence:
        place = byhand.experience(stage, cast)
        place.parent.mkdir(parents=True, exist_ok=True)
        place.symlink_to(stage.state / "labelled" / TASK / cast.new)


def _labelled(stage: Stage, name: str) -> int | None:
    """Labels of an instrument that wait for a retrain; None once one is there that has taken them."""
    state = stage.monitor.state()
    return None if watch.launched(state, name) else int(watch.instrument(state, name).get("labelled", 0))
