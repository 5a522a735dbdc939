"""The steps as verbs. Each takes folders and writes a folder; nothing is ever overwritten."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import click

from parfocal.cli.console import Options, common
from parfocal.core import manifest
from parfocal.core.errors import GateRefusedError, UsageError
from parfocal.core.types import Outcome

if TYPE_CHECKING:
    from parfocal.adapters import Platform
    from parfocal.core.protocols import Run
    from parfocal.steps.config import RunConfig

FOLDER = click.Path(path_type=Path, file_okay=False)
OUT = click.option("--out", required=True, type=FOLDER, help="Folder to write; it must not exist.")
KEY = click.option(
    "--key",
    default="",
    help="Idempotency key. Default: from the inputs and settings, so that the same "
    "command again goes on where it was stopped.",
)


@click.command()
@click.argument("source", type=FOLDER)
@OUT
@click.option("--instrument", default="", help="Device and site that acquired the images (data.instrument).")
@click.option(
    "--reader",
    default="",
    help="Layout of SOURCE (data.reader): folder, drishti, rimone_dl, dicom, volume, ...",
)
@click.option("--champion", default="", help="Bundle folder, version or alias: patients it knows keep their split.")
@common
def preprocess(
    source: Path,
    out: Path,
    instrument: str,
    reader: str,
    champion: str,
    options: Options,
) -> None:
    """Read SOURCE, validate every case, freeze the split by patient and write a dataset to OUT.

    \b
    SOURCE in the `folder` layout:  images/NAME.jpg   disc/NAME.png   cup/NAME.png   [cases.csv]
    Masks are 8-bit, 0 outside and 255 (or 1) inside, as large as the image; any structure may be missing.
    One bad file refuses the whole source with a list of all that is wrong; --set data.on_invalid=drop
    takes the good cases and records the others.
    """
    from parfocal.steps import preprocess as step

    named = {"instrument": instrument, "reader": reader}
    extra = [f"data.{key}={json.dumps(value)}" for key, value in named.items() if value]
    config = options.config(*extra)
    with options.reporter() as report:
        known = _champion(champion, config.task) if champion else None
        made = step.run(source, out, config, champion=known, reporter=report)
    options.result({"dataset": out, "checksum": made.checksum}, f"dataset written to {out}")


@click.command()
@click.argument("datasets", nargs=-1, required=True, type=FOLDER)
@OUT
@click.option("--objective", default="", help="What it learns (pretrain.objective.name): restore, localize or cycle.")
@KEY
@common
def pretrain(datasets: tuple[Path, ...], out: Path, objective: str, key: str, options: Options) -> None:
    """Pretrain a network on all training images of DATASETS, for `train --pretrained OUT` to start from.

    \b
    restore   put back what was distorted (Models Genesis): every image counts, masks or none
    localize  regress the centre of the outermost structure: images with a centre point, masks or none;
              in the `folder` layout the points are the columns disc_x and disc_y of cases.csv

    \b
    cycle     masks from images and images from masks (CycleGAN): `train` can then thicken a small set with
              synthetic pairs (train.synthetic.share)

    Killed at any moment, the same command goes on from the last checkpoint to the same result.
    """
    from parfocal.steps import pretrain as step

    config = options.config(*([f"pretrain.objective.name={objective}"] if objective else []))
    key = key or _key("pretrain", config, datasets)
    with options.reporter() as report, _tracked("pretrain", key) as (platform, run):
        made = step.run(datasets, out, config, state=platform.settings.state, key=key, run=run, reporter=report)
    options.result({"pretrained": out, "checksum": made.checksum, "key": key}, f"pretrained network written to {out}")


@click.command()
@click.argument("datasets", nargs=-1, required=True, type=FOLDER)
@OUT
@click.option("--pretrained", type=FOLDER, help="Start from this (train.encoder.pretrained); `pretrain` writes it.")
@click.option("--memory", type=FOLDER, help="Where the exemplar memory goes. Default: OUT-memory.")
@KEY
@common
def train(
    datasets: tuple[Path, ...],
    out: Path,
    pretrained: Path | None,
    memory: Path | None,
    key: str,
    options: Options,
) -> None:
    """Train a first bundle on DATASETS (several are mixed in equal parts) and export it.

    \b
    What it optimises is train.objective.name:
      segment      the mask of each structure, by train.loss
      adversarial  the same beside a critic that compares masks (LGAN)
      cycle        the same beside the way back from mask to image (CycleGAN); unlabelled images help
      interact     the mask after one to five clicks; judged with clicks, asked by `segment --clicks`
    With --pretrained: train.encoder.freeze, .levels and .decoder say how much is taken.

    Killed at any moment, the same command goes on from the last checkpoint to the same result.
    """
    from parfocal.steps import train as step

    config = options.config()
    key = key or _key("train", config, (*datasets, *([pretrained] if pretrained else [])))
    with options.reporter() as report, _tracked("train", key) as (platform, run):
        made = step.run(
            datasets,
            out,
            memory or _beside(out),
            config,
            state=platform.settings.state,
            key=key,
            run=run,
            reporter=report,
            pretrained=pretrained,
        )
    options.result({"bundle": out, "checksum": made.checksum, "key": key}, f"bundle written to {out}")


@click.command()
@click.argument("dataset", type=FOLDER)
@click.option(
    "--champion", default="champion", show_default=True, help="Bundle folder, version or alias to start from."
)
@OUT
@click.option("--memory", type=FOLDER, help="Where the new exemplar memory goes. Default: OUT-memory.")
@KEY
@common
def retrain(
    dataset: Path,
    champion: str,
    out: Path,
    memory: Path | None,
    key: str,
    options: Options,
) -> None:
    """Teach the champion DATASET, keeping what it knew.

    retrain.strategy.name: replay (the default), finetune, ewc, lwf, derpp, instrument_norm, bn_adapt, joint, or yours.
    """
    from parfocal.steps import retrain as step

    config = options.config()
    with options.reporter() as report:
        bundle = _champion(champion, config.task)
        key = key or _key("retrain", config, (dataset, bundle))
        with _tracked("retrain", key) as (platform, run):
            made = step.run(
                dataset,
                bundle,
                out,
                memory or _beside(out),
                config,
                state=platform.settings.state,
                key=key,
                run=run,
                reporter=report,
            )
    options.result({"bundle": out, "checksum": made.checksum, "key": key}, f"challenger written to {out}")


@click.command()
@click.argument("challenger", type=FOLDER)
@OUT
@click.option("--champion", default="", help="Bundle folder, version or alias to judge against. Default: none.")
@common
def evaluate(
    challenger: Path,
    out: Path,
    champion: str,
    options: Options,
) -> None:
    """Score CHALLENGER as it will be served, beside the champion and the constant mask, on every frozen test case."""
    from parfocal.core import scores
    from parfocal.steps import evaluate as step

    config = options.config()
    with options.reporter() as report:
        rival = _champion(champion, config.task) if champion else None
        with _tracked("evaluate", _key("evaluate", config, (challenger,))) as (platform, run):
            step.run(challenger, out, config, champion=rival, ledger=platform.ledger, run=run, reporter=report)
    text = f"report: {out / 'report.html'}\n\n{(out / 'summary.md').read_text()}"
    options.result(scores.read(out).model_dump(mode="json"), text)


@click.command()
@click.argument("evaluation", type=FOLDER)
@click.option("--challenger", required=True, type=FOLDER, help="The bundle that was evaluated.")
@OUT
@KEY
@click.option("--approve", default="", metavar="NAME", help="Who takes an inconclusive decision upon themselves.")
@click.option("--reason", default="", help="Why; goes to the ledger with the name.")
@common
def promote(
    evaluation: Path,
    challenger: Path,
    out: Path,
    key: str,
    approve: str,
    reason: str,
    options: Options,
) -> None:
    """Let the gate decide on EVALUATION; on yes register the challenger and move the alias `champion`.

    Exit code 4 when the gate refuses or cannot say. What it cannot say a person may take upon themselves with
    --approve NAME --reason TEXT; a refusal cannot be approved. The same command again finishes what was stopped.
    """
    from parfocal.adapters import monitored
    from parfocal.promotion.evidence import Approval
    from parfocal.steps import promote as step

    if approve and not reason:
        raise UsageError("--approve needs --reason", next="say why in a sentence; it goes to the ledger")
    config = options.config()
    key = key or _key("promote", config, (evaluation, challenger))
    approval = Approval(approve, reason) if approve else None
    with options.reporter() as report, _tracked("promote", key) as (platform, run):
        decision = step.run(
            evaluation,
            challenger,
            out,
            config,
            key=key,
            store=platform.models,
            ledger=platform.ledger,
            run=run,
            reporter=report,
            approval=approval,
            origin=monitored.origin(key),
        )
    options.result({"outcome": decision.outcome, "reason": decision.reason}, (out / "summary.md").read_text())
    if decision.outcome is not Outcome.PROMOTE:
        advice = "promote --approve NAME --reason TEXT" if decision.outcome is Outcome.INCONCLUSIVE else "the report"
        raise GateRefusedError(decision.reason, where=out, next=f"see {advice}")


def _champion(reference: str, task: str) -> Path:
    """A bundle folder as it stands, or a version or alias fetched from the model store."""
    if Path(reference).is_dir():
        return Path(reference)
    from parfocal.adapters import connect

    platform = connect()
    return platform.models.fetch(task, reference, platform.settings.state / "models")


@contextmanager
def _tracked(name: str, key: str) -> Iterator[tuple[Platform, Run]]:
    from parfocal.adapters import connect

    platform = connect()
    with platform.tracker.run(name, key=key) as run:
        yield platform, run


def _key(step: str, config: RunConfig, inputs: Sequence[Path]) -> str:
    """The same step on the same inputs with the same settings has the same key."""
    parts = [step, config.digest(), *(manifest.read(folder).checksum for folder in inputs)]
    return f"{step}-{hashlib.sha256(' '.join(parts).encode()).hexdigest()[:16]}"


def _beside(out: Path) -> Path:
    return out.with_name(f"{out.name}-memory")
