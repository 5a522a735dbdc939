"""The plain layout: `images/NAME.jpg`, a folder a structure with `NAME.png`, and optionally `cases.csv`.

Images that nobody labelled may lie in `unlabelled/`: drift is measured against them.
"""

from __future__ import annotations

import csv
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path

from parfocal.core.errors import DataContractError, UsageError
from parfocal.core.manifest import sha256
from parfocal.core.protocols import Scan
from parfocal.core.task import task as named_task
from parfocal.core.types import Case, Problem, Split
from parfocal.readers.naming import case_id

IMAGES, UNLABELLED, TABLE = "images", "unlabelled", "cases.csv"
SUFFIXES = (".jpg", ".jpeg", ".png", ".tif", ".tiff", ".bmp")
COLUMNS = ("name", "patient", "split", "grader", "assisted", "spacing")
_LITTER = {"thumbs.db", "desktop.ini"}
_TRUTH = {"": False, "0": False, "no": False, "false": False, "1": True, "yes": True, "true": True}


@dataclass(frozen=True, slots=True)
class Row:
    """What cases.csv says of one image."""

    patient: str
    split: str = ""
    grader: str = ""
    assisted: bool = False
    spacing: tuple[float, float] | None = None


class FolderReader:
    """Reads the plain layout. Without cases.csv every image is a patient of its own, named like the file."""

    def scan(self, source: Path, workdir: Path, *, task: str, instrument: str) -> Scan:  # noqa: ARG002
        """List the cases under `source`.

        Raises:
            UsageError: no instrument was named; this layout does not say which it is.
            DataContractError: there is no images folder, no structure folder, or cases.csv is not a table.
        """
        if not instrument:
            raise UsageError("the instrument has no name", expected="data.instrument, such as --instrument clinic-a")
        structures = named_task(task).names
        _refuse_other_layouts(source, structures)
        images, problems = _by_name(source / IMAGES, SUFFIXES)
        masks: dict[str, dict[str, Path]] = {}
        for structure in structures:
            masks[structure], found = _by_name(source / structure, (".png",))
            problems += found
            problems += [
                Problem(file, "a mask without an image", f"add {IMAGES}/{name}.jpg, or remove the mask")
                for name, file in masks[structure].items()
                if name not in images
            ]
        bare, found = _by_name(source / UNLABELLED, SUFFIXES)
        problems += found
        problems += [
            Problem(bare.pop(name), f"{IMAGES} has a '{name}' too", "rename one")
            for name in sorted(images.keys() & bare.keys())
        ]
        rows, found = _table(source / TABLE, {**images, **bare})
        problems += [*found, *_misnamed(source, structures)]
        cases: list[Case] = []
        for name, image in images.items():
            labelled = {structure: files[name] for structure, files in masks.items() if name in files}
            if not labelled:
                problems.append(Problem(image, "no mask of any structure", f"add {structures[0]}/{name}.png"))
            elif name in rows:
                cases.append(_case(case_id(instrument, name), task, instrument, image, labelled, rows[name]))
        unlabelled = tuple(
            _case(case_id(instrument, name), task, instrument, image, {}, rows[name])
            for name, image in bare.items()
            if name in rows
        )
        declared = {case.id: rows[case.image.stem].split for case in cases if rows[case.image.stem].split}
        return Scan(tuple(cases), tuple(problems), unlabelled, declared or None)


def _case(name: str, task: str, instrument: str, image: Path, masks: Mapping[str, Path], row: Row) -> Case:
    return Case(
        id=name, task=task, instrument=instrument, patient=row.patient, image=image, masks=masks,
        checksum=sha256(image), spacing=row.spacing, grader=row.grader, assisted=row.assisted,
    )  # fmt: skip


def _refuse_other_layouts(source: Path, structures: tuple[str, ...]) -> None:
    layout = f"{IMAGES}/NAME.jpg and {' or '.join(f'{name}/NAME.png' for name in structures)}"
    if not source.is_dir():
        raise DataContractError("there is no such folder", where=source, expected=layout)
    if not (source / IMAGES).is_dir():
        raise DataContractError(f"there is no folder '{IMAGES}' here", where=source, expected=layout)
    if not any((source / name).is_dir() for name in structures):
        raise DataContractError("no structure has a folder of masks here", where=source, expected=layout)


def _by_name(folder: Path, suffixes: tuple[str, ...]) -> tuple[dict[str, Path], list[Problem]]:
    """Files by name without suffix; what has another suffix, or a name twice, is a problem."""
    found: defaultdict[str, list[Path]] = defaultdict(list)
    problems: list[Problem] = []
    for file in _visible(folder):
        if file.suffix.lower() in suffixes and file.is_file():
            found[file.stem].append(file)
        else:
            wanted = "/".join(suffix.removeprefix(".") for suffix in suffixes)
            problems.append(Problem(file, f"not a {wanted} file", "convert it, or move it elsewhere"))
    for files in found.values():
        if len(files) > 1:
            others = ", ".join(file.name for file in files)
            problems += [Problem(file, f"{others} have one name", "keep one of them") for file in files]
    return {name: files[0] for name, files in found.items() if len(files) == 1}, problems


def _visible(folder: Path) -> Iterator[Path]:
    if folder.is_dir():
        entries = sorted(folder.iterdir())
        yield from (entry for entry in entries if entry.name[0] != "." and entry.name.lower() not in _LITTER)


def _misnamed(source: Path, structures: tuple[str, ...]) -> Iterable[Problem]:
    """Folders that were probably meant to be a structure's: silence would lose its labels."""
    for entry in _visible(source):
        near = get_close_matches(entry.name.lower(), structures, n=1, cutoff=0.75)
        if entry.is_dir() and entry.name not in structures and near:
            yield Problem(entry, "not the name of a structure", f"rename it to '{near[0]}', or move it elsewhere")


def _table(file: Path, images: Mapping[str, Path]) -> tuple[dict[str, Row], list[Problem]]:
    """Rows by image name. With a table, an image that it leaves out has no patient and so cannot be split."""
    if not file.exists():
        return {name: Row(patient=name) for name in images}, []
    rows: dict[str, Row] = {}
    problems: list[Problem] = []
    for line, values in enumerate(_lines(file), start=2):
        name = values.get("name", "")
        row = _row(values)
        if isinstance(row, str):
            problems.append(Problem(file, f"line {line}: {row}", "correct the line"))
        elif name in rows:
            problems.append(Problem(file, f"line {line}: '{name}' is there twice", "keep one line"))
        elif name not in images:
            problems.append(Problem(file, f"line {line}: there is no image '{name}'", "add it, or remove the line"))
        else:
            rows[name] = row
    stray = [image for name, image in images.items() if name not in rows]
    return rows, problems + [Problem(image, f"no valid line in {TABLE}", "add one: name, patient") for image in stray]


def _lines(file: Path) -> list[dict[str, str]]:
    try:
        with file.open(encoding="utf-8-sig", newline="") as stream:
            table = csv.DictReader(stream, restval="")
            columns = [column.strip().lower() for column in table.fieldnames or ()]
            lines = [dict(zip(columns, ((text or "").strip() for text in row.values()), strict=False)) for row in table]
    except (OSError, UnicodeDecodeError, csv.Error, AttributeError) as error:
        raise DataContractError(f"the table cannot be read: {error}", where=file, expected="CSV in UTF-8") from None
    unknown = sorted(set(columns) - set(COLUMNS))
    if unknown or not {"name", "patient"} <= set(columns):
        raise DataContractError(
            f"the table's columns are {', '.join(columns) or 'none'}",
            where=file,
            expected=f"name and patient, then any of {', '.join(COLUMNS[2:])}, separated by commas",
        )
    return lines


def _row(values: Mapping[str, str]) -> Row | str:
    """The row, or what is wrong with it."""
    split, assisted = values.get("split", "").lower(), values.get("assisted", "").lower()
    if not values.get("name") or not values["patient"]:
        return "no name or no patient"
    if split not in ("", *Split):
        return f"split '{split}' is none of {', '.join(Split)}"
    if assisted not in _TRUTH:
        return f"assisted '{assisted}' is neither yes nor no"
    try:
        sizes = [float(size) for size in values.get("spacing", "").split()]
    except ValueError:
        sizes = [0.0]
    if len(sizes) > 2 or not all(0 < size < float("inf") for size in sizes):
        return f"spacing '{values['spacing']}' is not one or two sizes in millimetres (row, column)"
    spacing = (sizes[0], sizes[-1]) if sizes else None
    return Row(values["patient"], split, values.get("grader", ""), _TRUTH[assisted], spacing)
