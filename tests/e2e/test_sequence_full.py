"""The study `sequence` on four simulated cameras at the scale of the figures in docs/: what is claimed there holds."""

from pathlib import Path

import pytest

from parfocal.core.reporting import Silent
from parfocal.studies import running
from parfocal.studies import sequence_tables as sequence
from parfocal.studies.running import StudyConfig
from parfocal.studies.tables import Entry, Table


def at(table: Table, line: str, column: str) -> Entry:
    (found,) = [one for one in table.lines if one.name == line]
    return found.entries[table.columns.index(column)]


@pytest.mark.slow
@pytest.mark.timeout(7200)
def test_the_default_keeps_what_fine_tuning_forgets_and_is_near_joint_training(tmp_path: Path) -> None:
    config = StudyConfig(study="sequence", scale="quick", seeds=2)
    _, result = running.run(config, tmp_path / "out", state=tmp_path / "state", reporter=Silent())
    tables = {table.name: table for table in result.tables}
    for column in ("all at the end", "kept"):
        gain = at(tables["disc-against"], f"{sequence.REPLAY}, less {sequence.FINETUNE}", column)
        assert (gain.low or -1.0) > 0
    behind = at(tables["disc-against"], f"{sequence.REPLAY}, less {sequence.JOINT}", "all at the end")
    assert (behind.value or -1.0) > -0.03
    second = at(tables["disc-pair"], sequence.REPLAY, "second, less joint")
    assert second.value is not None
    assert second.value > -0.02, "the second instrument within 0.02 of joint training"
