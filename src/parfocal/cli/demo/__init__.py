"""`parfocal demo`: the whole loop on this machine, with every part that a cluster has except the cluster.

A camera is learned and promoted; its model answers at an endpoint; a camera that nobody has seen comes to that
endpoint; the monitor raises the alarm; labels arrive; the pipeline runs, the gate decides, the endpoint swaps.
"""

from __future__ import annotations

import os
import re
from datetime import datetime
from pathlib import Path

import click

from parfocal.core.errors import UsageError

FOREIGN = ("MLFLOW_TRACKING_URI", "PARFOCAL_DATABASE_URL", "MLFLOW_RUN_ID", "PARFOCAL_SHARED", "PARFOCAL_MONITOR_URL")
"""What would lead the demo into somebody's own platform."""
NAME = re.compile(r"\w[\w .-]{0,99}")
"""Of an instrument, as the monitor takes it."""


@click.command()
@click.option(
    "--data", type=click.Path(path_type=Path, exists=True, file_okay=False), help="First instrument's images."
)
@click.option(
    "--new", type=click.Path(path_type=Path, exists=True, file_okay=False), help="The instrument that arrives."
)
@click.option(
    "--out", default="runs/demo", show_default=True, type=click.Path(path_type=Path), help="Everything goes here."
)
@click.option(
    "--annotate",
    type=click.IntRange(min=8),
    is_flag=False,
    flag_value=12,
    default=None,
    metavar="[LABELS]",
    help="You label the new camera, on the monitor's page: so many cases, 12 unless you say.",
)
@click.option("--wait/--no-wait", default=True, show_default=True, help="Keep the pages up at the end, until Ctrl-C.")
def demo(data: Path | None, new: Path | None, out: Path, annotate: int | None, wait: bool) -> None:
    """Watch a new camera being noticed, learned and served: endpoint, drift alarm, pipeline, gate, promotion.

    Starts MLflow, the segmenter, the monitor and, when installed, Prometheus with Alertmanager, on free ports of this
    machine, and stops them at the end. Without arguments the patients are simulated. --data and --new take your own
    folders (images/NAME.jpg, disc/NAME.png, cup/NAME.png). Nothing outside --out is written.

    With --annotate nobody plays the annotator: a small model learns to answer clicks, photographs are kept, and after
    the alarm the demo waits until you have labelled the new camera's cases. The gate needs 20 test cases to decide by
    itself, so about 40 labels; with fewer it may leave the decision to you. docs/annotate.md goes through it.

    Exit codes: 0 promoted, or the gate leaves it to a person; 4 refused; 6 a service or a pipeline failed;
    130 Ctrl-C before the end.
    """
    folders = _folders(data, new)
    from parfocal.cli.demo.ending import tidy
    from parfocal.cli.demo.play import play

    out = _fresh(out.absolute())
    os.environ["PARFOCAL_STATE"] = str(out / "state")
    for name in FOREIGN:
        os.environ.pop(name, None)
    with tidy(out):
        play(out, folders, wait=wait, annotate=annotate or 0)


def _folders(data: Path | None, new: Path | None) -> tuple[Path, Path] | None:
    """Both folders, whose names become the instruments'; None for simulated cameras.

    Raises:
        UsageError: one is missing, or a name will not do.
    """
    if data is None and new is None:
        return None
    if data is None or new is None:
        raise UsageError("--data and --new go together", next="name both folders, or neither for simulated cameras")
    data, new = data.absolute(), new.absolute()
    if data.name.casefold() == new.name.casefold():
        raise UsageError(
            f"both folders are called '{new.name}', and each names its instrument", where=new, next="rename one"
        )
    for folder in (data, new):
        if not NAME.fullmatch(folder.name):
            raise UsageError(
                f"'{folder.name}' cannot be an instrument's name",
                where=folder,
                expected="letters, digits, space, '.', '_', '-'; up to 100",
                next="rename the folder",
            )
    return data, new


def _fresh(out: Path) -> Path:
    """An empty folder; an earlier demo is moved aside, not removed."""
    if out.exists() and any(out.iterdir()):
        aside = out.with_name(f"{out.name}-before-{datetime.now().astimezone():%Y%m%d-%H%M%S-%f}")
        out.rename(aside)
        click.echo(f"an earlier demo is now {aside}")
    out.mkdir(parents=True, exist_ok=True)
    return out
