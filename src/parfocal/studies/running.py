"""A study from its configuration: data made ready, cells run one after another, tables written."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from pydantic import Field, field_validator

from parfocal.core import manifest
from parfocal.core.config import Config
from parfocal.core.errors import UsageError
from parfocal.core.manifest import Manifest
from parfocal.core.protocols import Reporter
from parfocal.studies import FAMILY, data, output
from parfocal.studies.cache import Cells, read_made, read_rows
from parfocal.studies.data import Source
from parfocal.studies.frames import labelled
from parfocal.studies.study import Cell, Data, Scale, Study

SEEDS: Mapping[Scale, int] = {"smoke": 1, "quick": 2, "paper": 3}
KIND = "study"


class StudyConfig(Config):
    """What is asked of a study."""

    study: str = Field(default="instruments", description="member of the family studies")
    scale: Scale = Field(default="quick", description="smoke (a minute), quick (a quarter of an hour), paper (a GPU)")
    seeds: int | None = Field(default=None, ge=1, description="repetitions; none: 1, 2 or 3 by scale")
    data: dict[str, Source] = Field(
        default_factory=dict,
        description="data sets by name: the study's roles, or any names in their order; none: phantoms",
    )

    @field_validator("study")
    @classmethod
    def _known(cls, name: str) -> str:
        if name not in FAMILY.table:
            raise ValueError(f"unknown study; expected one of {', '.join(FAMILY)}")
        return name

    @property
    def repetitions(self) -> int:
        return self.seeds or SEEDS[self.scale]


@dataclass(frozen=True, slots=True)
class Opened:
    """A study whose data sets are ready.

    Attributes:
        grid: the cells that the data allow.
        left: titles of those that they do not, and why.
    """

    config: StudyConfig
    cells: Cells
    grid: tuple[Cell, ...]
    left: tuple[str, ...]

    @property
    def study(self) -> Study:
        return self.cells.study

    @property
    def data(self) -> Mapping[str, Data]:
        return self.cells.data


def load(name: str) -> Study:
    """The study of that name.

    Raises:
        UsageError: there is none.
    """
    study: Study = FAMILY.load(name)()
    return study


def open_study(config: StudyConfig, state: Path, reporter: Reporter, *, study: Study | None = None) -> Opened:
    """Make the data sets ready, and leave out the cells that they cannot serve.

    Raises:
        UsageError: the data do not fit the study's roles, or leave no cell.
        DataContractError: a data set cannot be read.
    """
    study = study or load(config.study)
    assigned = data.assign(study.needs(config.scale), config.data)
    ready: dict[str, Data] = {}
    for done, (role, (need, label, source)) in enumerate(assigned.items(), start=1):
        ready[role] = data.prepare(need, label, source, state, reporter)
        reporter.progress("data sets", done, len(assigned))
    grid = study.cells(config.scale, config.repetitions)
    lacking = [_lacks(cell, ready) for cell in grid]
    fit = tuple(cell for cell, why in zip(grid, lacking, strict=True) if not why)
    left = tuple(f"{cell.title}: {why}" for cell, why in zip(grid, lacking, strict=True) if why)
    if not fit:
        raise UsageError(
            f"the data leave nothing of the study {study.name}", expected="; ".join(dict.fromkeys(left)),
            next=f"`parfocal study show {study.name}` says what it needs",
        )  # fmt: skip
    return Opened(config, Cells(study, ready, state), fit, left)


def run(
    config: StudyConfig, out: Path, *, state: Path, reporter: Reporter, study: Study | None = None
) -> tuple[Manifest, output.Result]:
    """Run what is not finished of a study and write its tables to `out`.

    Stopped at any moment, the same call goes on where it was: finished cells are in ``<state>/studies``.

    Raises:
        UsageError: `out` is there already, or the data do not fit.
    """
    output.refuse_existing(out)
    opened = open_study(config, state, reporter, study=study)
    for remark in (*opened.study.cuts(config.scale), *opened.left):
        reporter.note(f"left out: {remark}")
    for done, cell in enumerate(opened.grid):
        reporter.progress("cells", done, len(opened.grid))
        opened.cells.run(cell, reporter)
    reporter.progress("cells", len(opened.grid), len(opened.grid))
    return write(opened, [opened.cells.folder(cell) for cell in opened.grid], out)


def write(opened: Opened, cells: Sequence[Path], out: Path) -> tuple[Manifest, output.Result]:
    """The tables of a study's finished cells, wherever they ran, as a sealed folder.

    Raises:
        DataContractError: a cell is not what was sealed.
    """
    rows = [row for folder in cells for row in read_rows(folder)]
    made = [read_made(folder) for folder in cells]
    result = output.Result(
        study=opened.study.name,
        paper=opened.study.paper,
        shows=opened.study.shows,
        scale=opened.config.scale,
        seeds=opened.config.repetitions,
        phantoms=tuple(one.label for one in opened.data.values() if one.phantom),
        data={one.label: one.checksum for one in opened.data.values()},
        cuts=opened.study.cuts(opened.config.scale),
        left=opened.left,
        notes=opened.study.notes,
        hardware=", ".join(dict.fromkeys(hardware for hardware, _ in made)),
        minutes=round(sum(seconds for _, seconds in made) / 60, 1),
        tables=opened.study.tables(rows),
    )
    parents = opened.cells.parents(tuple(opened.data))
    with manifest.new_folder(out, KIND, parents=parents, config=opened.config.model_dump(mode="json")) as scratch:
        output.write(result, rows, scratch)
    return manifest.read(out), result


def _lacks(cell: Cell, ready: Mapping[str, Data]) -> str:
    missing = [role for role in cell.roles if role not in ready]
    if missing:
        return f"no data for {', '.join(missing)}"
    bare = [ready[role].label for role in cell.roles if not labelled(ready[role], cell.structure)]
    return f"nobody labelled the {cell.structure} in {', '.join(bare)}" if bare else ""
