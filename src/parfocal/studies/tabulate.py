"""Finished cells in, the tables of a study out."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from parfocal.core.manifest import Manifest
from parfocal.core.protocols import Reporter, Run
from parfocal.studies.running import StudyConfig, open_study, write
from parfocal.studies.tables import Table


def run(
    cells: Sequence[Path],
    out: Path,
    config: StudyConfig,
    *,
    state: Path,
    run: Run,
    reporter: Reporter,
    shown: Mapping[str, str],
) -> Manifest:
    """Gather the cells of a study and write its tables, report and plots to `out`.

    Args:
        cells: sealed folders of `study_cell`.
        shown: files of `out` to the places of their copies, which a page shows.

    Raises:
        DataContractError: a cell is not what was sealed.
    """
    made, result = write(open_study(config, state, reporter), cells, out)
    run.params(config.flat())
    run.metrics({name: value for table in result.tables for name, value in _numbers(table)})
    run.artifact(out, "study")
    for name, place in shown.items():
        shutil.copyfile(out / name, place)
    return made


def _numbers(table: Table) -> Iterator[tuple[str, float]]:
    """Every number of a table under a name that a tracker takes."""
    for line in table.lines:
        for column, entry in zip(table.columns, line.entries, strict=True):
            if entry.value is not None:
                yield "/".join(re.sub(r"[^\w .-]+", "_", part) for part in (table.name, line.name, column)), entry.value
