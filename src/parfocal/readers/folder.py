"""The plain layout: `images/NAME.jpg`, a folder a structure with `NAME.png`, and optionally `cases.csv`.

Images that nobody labelled may lie in `unlabelled/`: drift is measured against them. The columns `<structure>_x` and
`<structure>_y` of cases.csv give a point of a structure, such as the disc's centre, in pixels of the image; an image
with a point and no mask is a case too. Its column `purpose` says which side of the split a new patient was drawn for
before anybody labelled the image.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from difflib import get_close_matches
from pathlib import Path

from parfocal.core.errors import DataContractError
from parfocal.core.manifest import sha256
from parfocal.core.protocols import Scan
from parfocal.core.task import task as named_task
from parfocal.core.types import Case, Problem
from parfocal.readers import table
from parfocal.readers.files import PICTURES, by_name, instrument_named, visible
from parfocal.readers.naming import case_id
from parfocal.readers.table import COLUMNS, TABLE, Row

__all__ = ["COLUMNS", "IMAGES", "TABLE", "UNLABELLED", "FolderReader"]

IMAGES, UNLABELLED = "images", "unlabelled"


class FolderReader:
    """Reads the plain layout. Without cases.csv every image is a patient of its own, named like the file."""

    def scan(self, source: Path, workdir: Path, *, task: str, instrument: str) -> Scan:  # noqa: ARG002
        """List the cases under `source`.

        Raises:
            UsageError: no instrument was named; this layout does not say which it is.
            DataContractError: there is no images folder, neither a structure folder nor a table, or cases.csv is not
                a table.
        """
        instrument_named(instrument)
        structures = named_task(task).names
        _refuse_other_layouts(source, structures)
        images, problems = by_name(source / IMAGES, PICTURES)
        masks, found = _masks(source, structures, images)
        problems += found
        bare, found = by_name(source / UNLABELLED, PICTURES)
        problems += found
        problems += [
            Problem(bare.pop(name), f"{IMAGES} has a '{name}' too", "rename one")
            for name in sorted(images.keys() & bare.keys())
        ]
        rows, found = table.read(source / TABLE, {**images, **bare}, structures=structures)
        problems += [*found, *_misnamed(source, structures)]
        cases: list[Case] = []
        unlabelled: list[Case] = []
        for name, image in {**images, **bare}.items():
            labelled = {structure: files[name] for structure, files in masks.items() if name in files}
            pointed = name in rows and bool(rows[name].points)
            if name in images and not labelled and not pointed:
                advice = f"add {structures[0]}/{name}.png, or a point in {TABLE}"
                problems.append(Problem(image, "no mask of any structure", advice))
            elif name in rows:
                case = _case(case_id(instrument, name), task, instrument, image, labelled, rows[name])
                (cases if labelled or pointed else unlabelled).append(case)
        declared = {case.id: rows[case.image.stem].split for case in cases if rows[case.image.stem].split}
        drawn = {case.id: rows[case.image.stem].purpose for case in cases if rows[case.image.stem].purpose}
        return Scan(tuple(cases), tuple(problems), tuple(unlabelled), declared or None, drawn or None)


def _case(name: str, task: str, instrument: str, image: Path, masks: Mapping[str, Path], row: Row) -> Case:
    return Case(
        id=name, task=task, instrument=instrument, patient=row.patient, image=image, masks=masks,
        checksum=sha256(image), points=row.points, spacing=row.spacing, grader=row.grader, assisted=row.assisted,
    )  # fmt: skip


def _masks(
    source: Path, structures: tuple[str, ...], images: Mapping[str, Path]
) -> tuple[dict[str, dict[str, Path]], list[Problem]]:
    masks: dict[str, dict[str, Path]] = {}
    problems: list[Problem] = []
    for structure in structures:
        masks[structure], found = by_name(source / structure, (".png",))
        problems += found
        problems += [
            Problem(file, "a mask without an image", f"add {IMAGES}/{name}.jpg, or remove the mask")
            for name, file in masks[structure].items()
            if name not in images
        ]
    return masks, problems


def _refuse_other_layouts(source: Path, structures: tuple[str, ...]) -> None:
    layout = f"{IMAGES}/NAME.jpg and {' or '.join(f'{name}/NAME.png' for name in structures)}"
    if not source.is_dir():
        raise DataContractError("there is no such folder", where=source, expected=layout)
    if not (source / IMAGES).is_dir():
        raise DataContractError(f"there is no folder '{IMAGES}' here", where=source, expected=layout)
    if not any((source / name).is_dir() for name in structures) and not (source / TABLE).exists():
        raise DataContractError(
            "no structure has a folder of masks here",
            where=source,
            expected=f"{layout}; or points in {TABLE}: {structures[0]}_x, {structures[0]}_y",
        )


def _misnamed(source: Path, structures: tuple[str, ...]) -> Iterable[Problem]:
    """Folders that were probably meant to be a structure's: silence would lose its labels."""
    for entry in visible(source):
        near = get_close_matches(entry.name.lower(), structures, n=1, cutoff=0.75)
        if entry.is_dir() and entry.name not in structures and near:
            yield Problem(entry, "not the name of a structure", f"rename it to '{near[0]}', or move it elsewhere")
