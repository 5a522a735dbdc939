"""One cell of a study, wherever it runs."""

from __future__ import annotations

import shutil
from pathlib import Path

from parfocal.core import manifest
from parfocal.core.manifest import Manifest
from parfocal.core.protocols import Reporter
from parfocal.studies.running import StudyConfig, open_study
from parfocal.studies.study import Cell


def run(cell: str, out: Path, config: StudyConfig, *, state: Path, reporter: Reporter) -> Manifest:
    """Run a cell, or find it finished in the state folder, and copy its sealed folder to `out`.

    Where `state` is on a volume that all pods see, data sets and shared parts are made once; else once a pod.

    Args:
        cell: text of `study_cells`.
    """
    opened = open_study(config, state, reporter)
    finished = opened.cells.run(Cell.from_json(cell), reporter)
    shutil.copytree(finished, out)
    return manifest.verify(out)
