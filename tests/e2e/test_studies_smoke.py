"""The studies at the scale `smoke`, on phantoms: every part of every one is run, and its tables are whole."""

import math
from pathlib import Path

import pytest

from parfocal.core.reporting import Silent
from parfocal.studies import FAMILY, output, running
from parfocal.studies.running import StudyConfig
from parfocal.studies.study import CONSTANT


@pytest.mark.parametrize("name", sorted(FAMILY))
def test_a_study_runs_from_nothing_to_its_tables(name: str, tmp_path: Path) -> None:
    config = StudyConfig(study=name, scale="smoke")
    _, result = running.run(config, tmp_path / "out", state=tmp_path / "state", reporter=Silent())
    main = result.tables[0]
    assert CONSTANT in {*main.columns, *(line.name for line in main.lines)}
    ours = [entry.value for line in main.lines for entry in line.entries if entry.value is not None]
    assert len(ours) >= 8
    assert all(math.isfinite(value) for value in ours)
    told = any(entry.paper is not None for line in main.lines for entry in line.entries)
    assert told or name == "synthetic-pairs", "the paper leaves that one to the future"
    rows = output.read_scores(tmp_path / "out")
    learned = [row.metrics.get("dice", 0.0) for row in rows if row.arm != CONSTANT]
    assert max(learned) > 0.3, "something was learned"
    for file in ("report.html", "summary.md", "scores.csv", "study.json", f"{main.name}.csv", f"{main.name}.svg"):
        assert (tmp_path / "out" / file).stat().st_size
