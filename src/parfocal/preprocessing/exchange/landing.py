"""Labelled pictures into the plain layout that the reader `folder` reads: images/, a folder a structure, cases.csv.

Whole or not at all: everything is written beside the folder first, which then gets its name.
"""

from __future__ import annotations

import csv
import json
import shutil
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from parfocal.core.errors import DataContractError, UsageError
from parfocal.core.types import Problem

Mask = NDArray[np.bool_]
IMAGES, TABLE, PROBLEMS = "images", "cases.csv", "problems.json"


@dataclass(frozen=True, slots=True)
class Labelled:
    """A picture and what somebody drew on it.

    Attributes:
        name: of its files; unique in a folder.
        image: file of the picture.
        masks: bool [H, W] by structure.
        points: (x, y) in pixels by structure.
        patient: key; the name where nobody says it.
        grader: who drew.
        assisted: the grader saw a model's mask.
        spacing: (row, column) in millimetres, where known.
        note: of a slice, where it lies in its volume (`origin`, `rows`, `columns`, `stored`).
    """

    name: str
    image: Path
    masks: Mapping[str, Mask] = field(default_factory=dict)
    points: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    patient: str = ""
    grader: str = ""
    assisted: bool = False
    spacing: tuple[float, float] | None = None
    note: Mapping[str, Any] = field(default_factory=dict)


@contextmanager
def new_folder(out: Path) -> Iterator[Path]:
    """A folder to fill, which is called `out` once it is filled, and is gone where it could not be.

    Raises:
        UsageError: there is one of that name.
    """
    if out.exists():
        raise UsageError("it is there already", where=out, next="name another folder")
    out.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=out.parent, prefix=f".{out.name}-") as scratch:
        made = Path(scratch) / "made"
        made.mkdir()
        yield made
        made.rename(out)


def write(cases: Iterable[Labelled], out: Path, structures: Sequence[str], problems: Sequence[Problem] = ()) -> int:
    """Write the layout; how many cases there are.

    Args:
        cases: taken one after the other.
        out: to make.
        structures: of the task; each gets its folder where a case has a mask of it.
        problems: what was left out; read after the cases, and listed in problems.json where there are any.

    Raises:
        UsageError: `out` is there.
        DataContractError: there is no case at all.
    """
    rows: list[dict[str, str]] = []
    with new_folder(out) as folder:
        for case in cases:
            _one(folder, case)
            rows.append(_row(case, structures))
        if not rows:
            told = "; ".join(f"{problem.file}: {problem.reason}" for problem in problems[:3])
            raise DataContractError(
                "not one case could be taken over", where=out, expected="labelled pictures", next=told
            )
        with (folder / TABLE).open("w", newline="", encoding="utf-8") as stream:
            used = [column for column in rows[0] if column == "name" or any(row[column] for row in rows)]
            table = csv.DictWriter(stream, used, extrasaction="ignore")
            table.writeheader()
            table.writerows(rows)
        if problems:
            listed = [{"file": str(one.file), "reason": one.reason, "next": one.next} for one in problems]
            (folder / PROBLEMS).write_text(json.dumps(listed, indent=1) + "\n", encoding="utf-8")
    return len(rows)


def _one(folder: Path, case: Labelled) -> None:
    target = folder / IMAGES / f"{case.name}{case.image.suffix.lower()}"
    target.parent.mkdir(exist_ok=True)
    if target.exists():
        raise DataContractError(f"two cases are called {case.name}", where=case.image, next="rename one")
    shutil.copyfile(case.image, target)
    for structure, mask in case.masks.items():
        (folder / structure).mkdir(exist_ok=True)
        cv2.imwrite(str(folder / structure / f"{case.name}.png"), mask.astype(np.uint8) * np.uint8(255))


def _row(case: Labelled, structures: Sequence[str]) -> dict[str, str]:
    points = {
        f"{structure}_{axis}": f"{value:.2f}"
        for structure, point in case.points.items()
        for axis, value in zip("xy", point, strict=True)
    }
    empty = {f"{structure}_{axis}": "" for structure in structures for axis in "xy"}
    return {
        "name": case.name,
        "patient": case.patient or case.name,
        "grader": case.grader,
        "assisted": "yes" if case.assisted else "",
        "spacing": " ".join(f"{size:g}" for size in case.spacing or ()),
        **empty,
        **points,
    }
