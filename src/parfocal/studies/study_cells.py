"""The grid of a study as text: what a pipeline fans out over."""

from __future__ import annotations

from pathlib import Path

from parfocal.core.protocols import Reporter
from parfocal.studies.running import StudyConfig, open_study


def run(config: StudyConfig, *, state: Path, reporter: Reporter) -> list[str]:
    """Make the data sets ready and list the cells that they allow, one text a cell, for `study_cell`.

    Raises:
        UsageError: the data do not fit the study.
        DataContractError: a data set cannot be read.
    """
    return [cell.to_json() for cell in open_study(config, state, reporter).grid]
