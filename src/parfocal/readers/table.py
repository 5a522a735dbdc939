"""The table `cases.csv` beside images: patient, split, grader, spacing and points of every image.

`split` is what the source's author decided and must agree with what was frozen before. `purpose` is what the queue of
cases to label drew a patient for: it holds for patients who are new, and frozen sides come before it.
"""

from __future__ import annotations

import csv
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from parfocal.core.errors import DataContractError
from parfocal.core.types import Problem, Split

TABLE = "cases.csv"
COLUMNS = ("name", "patient", "split", "grader", "assisted", "spacing", "purpose")
_MORE = "\0more"
_TRUTH = {"": False, "0": False, "no": False, "false": False, "1": True, "yes": True, "true": True}


@dataclass(frozen=True, slots=True)
class Row:
    """What cases.csv says of one image."""

    patient: str
    split: str = ""
    grader: str = ""
    assisted: bool = False
    spacing: tuple[float, float] | None = None
    points: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    purpose: str = ""


def read(
    file: Path,
    images: Mapping[str, Path],
    *,
    columns: tuple[str, ...] = COLUMNS,
    structures: tuple[str, ...] = (),
) -> tuple[dict[str, Row], list[Problem]]:
    """Rows by image name. With a table, an image that it leaves out has no patient and so cannot be split.

    Args:
        file: the table; without one every image is a patient of its own.
        images: by name.
        columns: which of COLUMNS may be there; name and patient must be.
        structures: of these, `<structure>_x` and `<structure>_y` may be there: a point in pixels of the image.

    Raises:
        DataContractError: it is not a table, or has other columns.
    """
    if not file.exists():
        return {name: Row(patient=name) for name in images}, []
    allowed = (*columns, *(f"{structure}_{axis}" for structure in structures for axis in "xy"))
    rows: dict[str, Row] = {}
    problems: list[Problem] = []
    for line, values in enumerate(_lines(file, allowed), start=2):
        name = values.get("name", "")
        # A patient 'Smith, John' without quotes would be one of all the Smiths.
        row = (
            "more cells than columns: put quotes round what has a comma"
            if _MORE in values
            else _row(values, structures)
        )
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


def _lines(file: Path, allowed: tuple[str, ...]) -> list[dict[str, str]]:
    try:
        with file.open(encoding="utf-8-sig", newline="") as stream:
            table = csv.DictReader(stream, restval="")
            columns = [column.strip().lower() for column in table.fieldnames or ()]
            lines = [
                dict(zip(columns, ((text or "").strip() for text in row.values()), strict=False))
                | ({_MORE: ""} if None in row else {})
                for row in table
            ]
    except (OSError, UnicodeDecodeError, csv.Error, AttributeError) as error:
        raise DataContractError(f"the table cannot be read: {error}", where=file, expected="CSV in UTF-8") from None
    once = len(columns) == len(set(columns)) and set(columns) <= set(allowed)
    if not once or not {"name", "patient"} <= set(columns):
        raise DataContractError(
            f"the table's columns are {', '.join(columns) or 'none'}",
            where=file,
            expected=f"name and patient, then any of {', '.join(allowed[2:])}, each once, separated by commas",
        )
    return lines


def _row(values: Mapping[str, str], structures: tuple[str, ...]) -> Row | str:
    """The row, or what is wrong with it."""
    assisted = values.get("assisted", "").lower()
    split, purpose = (values.get(column, "").lower() for column in ("split", "purpose"))
    if not values.get("name") or not values["patient"]:
        return "no name or no patient"
    for column, side in (("split", split), ("purpose", purpose)):
        if side not in ("", *Split):
            return f"{column} '{side}' is none of {', '.join(Split)}"
    if assisted not in _TRUTH:
        return f"assisted '{assisted}' is neither yes nor no"
    sizes = _numbers(values.get("spacing", "").split())
    if sizes is None or len(sizes) > 2 or not all(size > 0 for size in sizes):
        return f"spacing '{values['spacing']}' is not one or two sizes in millimetres (row, column)"
    points = {structure: _point(values, structure) for structure in structures}
    for structure, point in points.items():
        if isinstance(point, str):
            return f"the point of {structure}, {point}, is not x and y in pixels of the image"
    spacing = (sizes[0], sizes[-1]) if sizes else None
    found = {structure: point for structure, point in points.items() if isinstance(point, tuple)}
    return Row(values["patient"], split, values.get("grader", ""), _TRUTH[assisted], spacing, found, purpose)


def _point(values: Mapping[str, str], structure: str) -> tuple[float, float] | str | None:
    """(x, y); None where both are empty; else what stands there."""
    texts = [values.get(f"{structure}_{axis}", "") for axis in "xy"]
    if not any(texts):
        return None
    numbers = _numbers(texts)
    if numbers is None or min(numbers) < 0:
        return f"'{texts[0]}' and '{texts[1]}'"
    return numbers[0], numbers[1]


def _numbers(texts: list[str]) -> list[float] | None:
    try:
        numbers = [float(text) for text in texts]
    except ValueError:
        return None
    return numbers if all(math.isfinite(number) for number in numbers) else None
