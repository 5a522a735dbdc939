"""Finished cells and shared parts on disk: sealed, named by what they depend on, made once.

<state>/studies/<study>/<cell id>/      rows.json, sealed
<state>/studies/<study>/parts/<id>/     what several cells use, such as a pretrained encoder
<state>/studies/<study>/work/<id>/      checkpoints of what is being made; gone when it is done
"""

from __future__ import annotations

import hashlib
import json
import os
import platform
import shutil
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError

from parfocal import __version__
from parfocal.core import manifest
from parfocal.core.errors import DataContractError
from parfocal.core.locks import alone, beside
from parfocal.core.manifest import Parent
from parfocal.core.protocols import Reporter
from parfocal.studies import code
from parfocal.studies.study import Cell, Data, Row, Study

CELL, PART = "study-cell", "study-part"
ROWS, MADE = "rows.json", "made.json"
_ROWS = TypeAdapter(list[Row])


def identity(study: Study, settings: Mapping[str, Any], roles: Sequence[str], data: Mapping[str, Data]) -> str:
    """Id of a cell or part: of its settings, the checksums of its data sets, and the code that it runs."""
    values = {
        "study": study.name,
        "settings": dict(settings),
        "data": {role: data[role].checksum for role in roles},
        "version": __version__,
        "code": code.learning(type(study).__module__),
    }
    return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()[:16]


@dataclass(frozen=True)
class Cells:
    """The cells of one study on given data."""

    study: Study
    data: Mapping[str, Data]
    state: Path

    @property
    def root(self) -> Path:
        return self.state / "studies" / self.study.name

    def folder(self, cell: Cell) -> Path:
        """Where the finished cell is, or will be."""
        return self.root / identity(self.study, cell.settings, cell.roles, self.data)

    def run(self, cell: Cell, reporter: Reporter) -> Path:
        """Run a cell unless it is finished, and return its folder. A process that runs it already is waited for."""
        folder = self.folder(cell)
        with locked(folder):
            if folder.exists():
                return folder
            place = Workplace(self, self.root / "work" / folder.name)
            data = {role: self.data[role] for role in cell.roles}
            started = time.monotonic()
            rows = self.study.run_cell(cell, data, place, reporter)
            with manifest.new_folder(
                folder, CELL, parents=self.parents(cell.roles), seed=cell.seed, config=dict(cell.settings)
            ) as scratch:
                (scratch / ROWS).write_bytes(_ROWS.dump_json(rows, indent=1))
                made = {"hardware": hardware(), "seconds": round(time.monotonic() - started, 1)}
                (scratch / MADE).write_text(json.dumps(made) + "\n")
            shutil.rmtree(place.checkpoints, ignore_errors=True)
        return folder

    def parents(self, roles: Sequence[str]) -> list[Parent]:
        """Lineage: the data sets of these roles."""
        return [manifest.read(self.data[role].folder).parent(self.data[role].folder) for role in roles]


@dataclass(frozen=True)
class Workplace:
    """`parfocal.studies.study.Place` on disk."""

    cells: Cells
    checkpoints: Path

    def once(self, settings: Mapping[str, Any], roles: Sequence[str], make: Callable[[Path, Path], None]) -> Path:
        """A sealed folder, made by whoever asks first; others wait."""
        name = identity(self.cells.study, settings, roles, self.cells.data)
        folder, work = self.cells.root / "parts" / name, self.cells.root / "work" / f"part-{name}"
        with locked(folder):
            if not folder.exists():
                parents = self.cells.parents(roles)
                with manifest.new_folder(folder, PART, parents=parents, config=dict(settings)) as scratch:
                    make(scratch, work)
                shutil.rmtree(work, ignore_errors=True)
            manifest.verify(folder, PART)
        return folder


def read_rows(folder: Path) -> list[Row]:
    """The rows in a sealed cell.

    Raises:
        DataContractError: it is not what was sealed.
    """
    manifest.verify(folder, CELL)
    try:
        return _ROWS.validate_json((folder / ROWS).read_bytes())
    except (OSError, ValidationError) as error:
        raise DataContractError(
            f"the rows of a cell cannot be read: {error}",
            where=folder / ROWS,
            next="remove the folder; it is run again",
        ) from None


def read_made(folder: Path) -> tuple[str, float]:
    """The hardware that ran a sealed cell, and the seconds it took there."""
    values = json.loads((folder / MADE).read_text())
    return str(values["hardware"]), float(values["seconds"])


def hardware() -> str:
    """The GPU, where this process trains on one, else the number of cores it may use."""
    torch = sys.modules.get("torch")  # a process that has not loaded it trained nothing
    if torch is not None and torch.cuda.is_available():
        return str(torch.cuda.get_device_name())
    return f"{len(os.sched_getaffinity(0))} {platform.machine()} cores"


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Alone among all processes with this folder, which need not exist; a killed process gives way."""
    with alone(beside(folder)):
        yield
