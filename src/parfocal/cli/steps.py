"""The steps that make datasets and models, as verbs. Each takes folders and writes a folder; nothing is overwritten."""

from __future__ import annotations

import json
from pathlib import Path

import click

from parfocal.cli import inputs
from parfocal.cli.console import Options, common
from parfocal.cli.inputs import FOLDER, KEY, OUT


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
@click.option("--shard", default="", help="One part of SOURCE, such as 2/8, for `gather`: OUT is then no dataset yet.")
@common
def preprocess(
    source: Path,
    out: Path,
    instrument: str,
    reader: str,
    champion: str,
    shard: str,
    options: Options,
) -> None:
    """Read SOURCE, validate every case, freeze the split by patient and write a dataset to OUT.

    \b
    SOURCE in the `folder` layout:  images/NAME.jpg   disc/NAME.png   cup/NAME.png   [cases.csv]
    Masks are 8-bit, 0 outside and 255 (or 1) inside, as large as the image; any structure may be missing.
    One bad file refuses the whole source with a list of all that is wrong; --set data.on_invalid=drop
    takes the good cases and records the others.

    \b
    Many images, on several machines or side by side, all with the same settings:
      parfocal preprocess SOURCE --shard 1/2 --out part-1
      parfocal preprocess SOURCE --shard 2/2 --out part-2
      parfocal gather part-1 part-2 --out dataset
    """
    from parfocal.steps import preprocess as step
    from parfocal.steps import preprocess_shard

    named = {"instrument": instrument, "reader": reader}
    extra = [f"data.{key}={json.dumps(value)}" for key, value in named.items() if value]
    config = options.config(*extra)
    with options.reporter() as report:
        known = inputs.champion(champion, config.task) if champion else None
        if shard:
            made = preprocess_shard.run(source, out, config, shard=shard, champion=known, reporter=report)
        else:
            made = step.run(source, out, config, champion=known, reporter=report)
    what = "shard" if shard else "dataset"
    options.result({what: out, "checksum": made.checksum}, f"{what} {shard}".rstrip() + f" written to {out}")


@click.command()
@click.argument("shards", nargs=-1, required=True, type=FOLDER)
@OUT
@click.option("--instrument", default="", help="As the shards were made with (data.instrument).")
@click.option("--reader", default="", help="As the shards were made with (data.reader).")
@click.option("--champion", default="", help="As the shards were made with.")
@common
def gather(shards: tuple[Path, ...], out: Path, instrument: str, reader: str, champion: str, options: Options) -> None:
    """Make the dataset OUT of SHARDS, all parts of one source: to the byte what `preprocess` writes in one go.

    Patients are dealt to the sides of the split once, over all. Shards of other settings, of another state of the
    source, missing ones, and a patient in two are refused; a missing one is made by itself, the others stay.
    """
    from parfocal.steps import gather as step

    named = {"instrument": instrument, "reader": reader}
    config = options.config(*(f"data.{key}={json.dumps(value)}" for key, value in named.items() if value))
    with options.reporter() as report:
        known = inputs.champion(champion, config.task) if champion else None
        made = step.run(shards, out, config, champion=known, reporter=report)
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
    key = key or inputs.key("pretrain", config, datasets)
    with options.reporter() as report, inputs.tracked("pretrain", key) as (platform, run):
        made = step.run(datasets, out, config, state=platform.settings.state, key=key, run=run, reporter=report)
    options.result({"pretrained": out, "checksum": made.checksum, "key": key}, f"pretrained network written to {out}")


@click.command()
@click.argument("datasets", nargs=-1, required=True, type=FOLDER)
@OUT
@click.option("--pretrained", type=FOLDER, help="Start from this (train.encoder.pretrained); `pretrain` writes it.")
@inputs.memory("the exemplar memory")
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
    key = key or inputs.key("train", config, (*datasets, *([pretrained] if pretrained else [])))
    with (
        options.reporter() as report,
        inputs.tracked("train", key) as (platform, run),
        platform.checkpoints(key) as store,
    ):
        made = step.run(
            datasets,
            out,
            memory or inputs.beside(out),
            config,
            state=platform.settings.state,
            key=key,
            run=run,
            reporter=report,
            pretrained=pretrained,
            executor=platform.executor,
            store=store,
        )
    options.result({"bundle": out, "checksum": made.checksum, "key": key}, f"bundle written to {out}")


@click.command()
@click.argument("dataset", type=FOLDER)
@click.option(
    "--champion", default="champion", show_default=True, help="Bundle folder, version or alias to start from."
)
@OUT
@inputs.memory("the new exemplar memory")
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
        bundle = inputs.champion(champion, config.task)
        key = key or inputs.key("retrain", config, (dataset, bundle))
        with inputs.tracked("retrain", key) as (platform, run), platform.checkpoints(key) as store:
            made = step.run(
                dataset,
                bundle,
                out,
                memory or inputs.beside(out),
                config,
                state=platform.settings.state,
                key=key,
                run=run,
                reporter=report,
                executor=platform.executor,
                store=store,
            )
    options.result({"bundle": out, "checksum": made.checksum, "key": key}, f"challenger written to {out}")
