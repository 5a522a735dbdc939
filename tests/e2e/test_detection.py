"""Are changes that do harm found? The study of detection on phantoms, held against what is promised."""

from pathlib import Path

import pytest

from parfocal.core.reporting import Silent
from parfocal.studies import running
from parfocal.studies.detection_tables import AS_IS
from parfocal.studies.running import StudyConfig
from parfocal.studies.study import CONSTANT

HARM = 0.05
"""Loss of Dice, of disc or cup, from which on a change has to be told."""


@pytest.mark.slow
def test_every_change_that_costs_five_points_of_dice_is_told_and_soon(tmp_path: Path) -> None:
    config = StudyConfig(study="detection", scale="quick", seeds=1)
    _, result = running.run(config, tmp_path / "out", state=tmp_path / "state", reporter=Silent())
    harm, telling, delays = result.tables
    lost = {line.name: min(entry.value or 0.0 for entry in line.entries[2:4]) for line in harm.lines}
    harmful = [name for name, change in lost.items() if name not in (AS_IS, CONSTANT) and change <= -HARM]
    assert len(harmful) >= 8
    told = {line.name: line.entries[-1].value for line in telling.lines}
    soon = {line.name: line.entries[-1].value for line in delays.lines}
    assert {name: told[name] for name in harmful if (told[name] or 0) < 0.95} == {}
    assert {name: soon[name] for name in harmful if (soon[name] or 1e9) > 8} == {}
    assert soon[AS_IS] is None, "unchanged cases raise no alarm within 500"
