"""`parfocal export` and `parfocal import`: labels to other programs and from them."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from parfocal.cli.console import Options
from parfocal.core.errors import DataContractError, UsageError

if TYPE_CHECKING:
    from parfocal.core.types import Problem
    from parfocal.preprocessing.exchange.landing import Labelled

_FOLDER = click.Path(path_type=Path, file_okay=False)
_OUT = click.option("--out", required=True, type=_FOLDER, help="Folder to write; new.")
_TASK = click.option("--task", default="fundus", show_default=True, help="Whose structures they are.")
_JSON = click.option("--json", "as_json", is_flag=True, help="The result as one JSON object on standard output.")
_LABEL = click.option(
    "--label", multiple=True, metavar="LABEL=STRUCTURE", help="For a label of another name; repeatable."
)
_ASSISTED = click.option("--assisted", is_flag=True, help="Every annotator saw a model's mask, whatever the files say.")


@click.group()
def export() -> None:
    """Write labelled cases for other programs."""


@export.command("labels")
@click.argument("folder", type=_FOLDER)
@click.option("--format", "kind", required=True, type=click.Choice(["coco", "nifti", "png"]))
@_OUT
@_TASK
@_JSON
def labels(folder: Path, kind: str, out: Path, task: str, as_json: bool) -> None:
    """Write the labelled cases of FOLDER, a dataset or a folder images/ with masks beside it.

    \b
    parfocal export labels runs/b --format coco --out coco      annotations.json and images/
    parfocal export labels labels/B --format nifti --out pairs  images/ and labels/, one slice each
    parfocal export labels runs/b --format png --out masks      images/, a folder a structure, cases.csv
    """
    from parfocal.core.task import task as known_task
    from parfocal.preprocessing.exchange.export import FORMATS

    structures = known_task(task).names
    with tempfile.TemporaryDirectory(prefix="parfocal-") as work:
        count = FORMATS[kind](_labelled(folder, task, Path(work)), out, structures)
    Options(None, (), as_json, True).result({"out": out, "cases": count}, f"{count} cases written to {out}")


@click.group("import")
def import_() -> None:
    """Take labels over from other programs, into a folder that `parfocal preprocess` reads."""


@import_.command("label-studio")
@click.argument("exported", type=click.Path(path_type=Path, dir_okay=False))
@click.option("--images", required=True, type=_FOLDER, help="The pictures that were labelled.")
@_OUT
@_TASK
@_LABEL
@_ASSISTED
@_JSON
def label_studio(
    exported: Path, images: Path, out: Path, task: str, label: tuple[str, ...], assisted: bool, as_json: bool
) -> None:
    """Take over EXPORTED, the JSON of a Label Studio project: brushes, polygons, ellipses, rectangles, key points.

    \b
    parfocal import label-studio project.json --images photos --out labels --label 'Optic disc=disc'
    """
    from parfocal.core.task import task as known_task
    from parfocal.preprocessing.exchange import label_studio as reader
    from parfocal.preprocessing.exchange import landing

    structures, problems = known_task(task).names, []  # type: tuple[str, ...], list[Problem]
    cases = reader.cases(exported, images, structures, _pairs(label), problems)
    count = landing.write(_told(cases, assisted), out, structures, problems)
    _done(count, out, "folder", problems, as_json)


@import_.command("monai-label")
@click.argument("folder", type=_FOLDER)
@_OUT
@_TASK
@_LABEL
@_ASSISTED
@click.option("--grader", default="monai-label", show_default=True, help="Who drew, where the files do not say it.")
@_JSON
def monai_label(
    folder: Path, out: Path, task: str, label: tuple[str, ...], assisted: bool, grader: str, as_json: bool
) -> None:
    """Take over FOLDER, a datastore of MONAI Label: volumes or pictures with labels/final/ and datastore_v2.json.

    \b
    parfocal import monai-label datastore --task bone --out labels --label 1=bone
    """
    from dataclasses import replace

    from parfocal.core.task import task as known_task
    from parfocal.core.volumes import is_volume
    from parfocal.preprocessing.exchange import landing
    from parfocal.preprocessing.exchange import monai_label as reader

    structures, problems = known_task(task).names, []  # type: tuple[str, ...], list[Problem]
    found = reader.find(folder, structures, _pairs(label), problems)
    found = [replace(one, assisted=assisted or one.assisted) for one in found]
    kinds = {is_volume(one.image) for one in found}
    if len(kinds) > 1:
        raise DataContractError("volumes and pictures in one datastore", where=folder, next="keep them in two")
    if kinds == {True}:
        count = reader.write_volumes(found, out, grader, problems)
    else:
        count = landing.write(reader.pictures(found, grader, problems), out, structures, problems)
    _done(count, out, "volume" if kinds == {True} else "folder", problems, as_json)


def _labelled(folder: Path, task: str, work: Path) -> Iterator[Labelled]:
    """The labelled cases of a dataset, or of a folder in the plain layout."""
    from parfocal.core import manifest
    from parfocal.preprocessing.exchange.landing import Labelled
    from parfocal.preprocessing.images import decode_mask
    from parfocal.preprocessing.shards import read_dataset
    from parfocal.readers.folder import FolderReader
    from parfocal.readers.slices import note

    cases: Sequence[Any]
    folder = folder.resolve()
    if (folder / manifest.MANIFEST).is_file():
        manifest.verify(folder, "dataset")
        cases = read_dataset(folder).cases
    else:
        cases = FolderReader().scan(folder, work, task=task, instrument="x").cases
    for case in cases:
        image = folder / case.image
        masks = {name: decode_mask((folder / file).read_bytes(), empty=True) > 0 for name, file in case.masks.items()}
        yield Labelled(
            case.id.removeprefix("x-") if not (folder / manifest.MANIFEST).is_file() else case.id,
            image, masks, {}, case.patient, case.grader, case.assisted, case.spacing,
            note(image) if image.suffix == ".png" else {},
        )  # fmt: skip


def _told(cases: Iterator[Labelled], assisted: bool) -> Iterator[Labelled]:
    from dataclasses import replace

    for case in cases:
        yield replace(case, assisted=assisted or case.assisted)


def _pairs(given: Sequence[str]) -> dict[str, str]:
    pairs: dict[str, str] = {}
    for one in given:
        name, equals, structure = one.rpartition("=")
        if not (name and equals and structure):
            raise UsageError(f"--label '{one}'", expected="LABEL=STRUCTURE, such as --label 'Optic disc=disc'")
        pairs[name] = structure
    return pairs


def _done(count: int, out: Path, reader: str, problems: Sequence[Problem], as_json: bool) -> None:
    told: Mapping[str, Any] = {
        "out": out,
        "cases": count,
        "problems": [{"file": str(one.file), "reason": one.reason, "next": one.next} for one in problems],
    }
    lines = [f"{one.file}: {one.reason}" for one in problems]
    text = f"{count} cases written to {out}; read them with data.reader={reader}"
    Options(None, (), as_json, True).result(told, "\n".join([*lines, text]))
