"""`parfocal memory`: what is kept of patients, for people who must answer for it."""

from __future__ import annotations

import json
from pathlib import Path

import click

FOLDER = click.Path(path_type=Path, file_okay=False)


@click.group()
def memory() -> None:
    """Look into an exemplar memory, and take patients or instruments out of it."""


@memory.command()
@click.argument("folder", type=FOLDER)
@click.option("--patients", is_flag=True, help="Name the patients whose pictures are kept.")
@click.option("--json", "as_json", is_flag=True, help="One JSON document on standard output.")
def show(folder: Path, patients: bool, as_json: bool) -> None:
    """Say how many pictures of which instruments FOLDER (a memory, or a bundle that names one) keeps."""
    from parfocal.memory.buffer import Memory
    from parfocal.steps.purge import place_of

    place = place_of(folder)
    read = Memory.read(place)
    kept = {
        structure: {name: {"pictures": len(one.arrays), "seen": one.seen} for name, one in sorted(found.items())}
        for structure, found in sorted(read.exemplars.items())
    }
    document: dict[str, object] = {
        "memory": str(place),
        "kept": kept,
        "purges": [purge.model_dump() for purge in read.purges],
    }
    if patients:
        document["patients"] = {name: sorted(set(found.values())) for name, found in read.patients.items()}
    if as_json:
        click.echo(json.dumps(document, indent=1))
        return
    click.echo(f"memory {place}")
    for structure, found in kept.items():
        for name, counts in found.items():
            click.echo(f"  {structure:<12} {name:<20} {counts['pictures']} pictures of {counts['seen']} cases seen")
    if patients:
        for name, cases in read.patients.items():
            click.echo(f"  patients of {name}: {', '.join(sorted(set(cases.values())))}")
    for purge in read.purges:
        whose = f"instrument {purge.instrument}" if purge.instrument else f"patient SHA-256 {purge.patient_sha256}"
        click.echo(f"  purged {purge.date or 'before dates were kept'}: {whose}, {purge.removed} pictures")


@memory.command()
@click.argument("folders", nargs=-1, required=True, type=FOLDER)
@click.option("--instrument", default="", help="Take out all pictures of this instrument.")
@click.option(
    "--patient", default="", help="Take out all pictures of this patient, and close the memory to later ones."
)
@click.option("--out", type=click.Path(path_type=Path), help="Write the purged memory here, and leave FOLDER as it is.")
@click.option("--json", "as_json", is_flag=True, help="One JSON document on standard output.")
def purge(folders: tuple[Path, ...], instrument: str, patient: str, out: Path | None, as_json: bool) -> None:
    """Take an instrument's or a patient's pictures out of FOLDERS (memories, or bundles that name one), for good.

    The purge is on record, and what was computed of the pictures goes with them. A purged patient is not trained on in
    any later retrain. Every retrain copies exemplars into a new memory: name the memories of earlier champions too.
    Datasets and labelled cases are folders of their own and keep theirs. With PARFOCAL_STORAGE and PARFOCAL_SHARED set
    as for the pipelines, stored memories are purged too; earlier versions in a bucket are for its lifecycle to expire.
    """
    from parfocal.adapters import storage_kept
    from parfocal.steps import purge as step

    for folder in folders:
        storage_kept.fetch_memory(folder)
    done = step.run(folders, instrument=instrument, patient=patient, out=out)
    for one in done:
        storage_kept.store(one.folder)
    if as_json:
        rows = [{"memory": str(one.folder), "removed": one.removed} for one in done]
        click.echo(json.dumps({"purged": rows}, indent=1))
        return
    for one in done:
        click.echo(f"{one.removed} pictures purged: {one.folder}")
    if out is None:
        click.echo("each is where it was, so the bundles that name it use it from now on")
    else:
        old = step.place_of(folders[0])
        click.echo(
            f"{old} still has the pictures. A bundle names its memory by place alone, so that it uses the purged one:\n"
            f"  rm -r '{old}' && mv '{out}' '{old}'"
        )
