"""The studies at the scale `smoke`, on phantoms: every part of every one is run, and its tables are whole."""

from pathlib import Path

import pytest
import studies_kit as kit

from parfocal.studies import FAMILY

APART = {"sequence"}
"""These have a file of their own, where more is asked of them."""
UNTOLD = {"synthetic-pairs", "detection"}
"""No paper has figures of these."""


@pytest.mark.parametrize("name", sorted(set(FAMILY) - APART))
def test_a_study_runs_from_nothing_to_its_tables(name: str, tmp_path: Path) -> None:
    result = kit.at_smoke(name, tmp_path)
    told = any(entry.paper is not None for line in result.tables[0].lines for entry in line.entries)
    assert told != (name in UNTOLD)
