"""A ledger whose end was cut off is noticed, by the file beside it and by the tracked runs."""

import sqlite3
from pathlib import Path

import pytest
from promotion_kit import platform

from parfocal.adapters import anchors
from parfocal.adapters.database import SqlLedger
from parfocal.core.errors import DataContractError
from parfocal.promotion.ledger import HEAD, Anchor, hold


def ledger(file: Path, entries: int = 0) -> SqlLedger:
    found = SqlLedger(f"sqlite:///{file}")
    for number in range(entries):
        found.append("decision", "fundus", f"k{number}", {"n": number})
    return found


def cut(file: Path, after: int) -> None:
    """What somebody with a SQL prompt may do."""
    with sqlite3.connect(file) as connection:
        connection.execute("DROP TRIGGER ledger_no_delete")
        connection.execute("DELETE FROM ledger WHERE seq > ?", (after,))
    connection.close()


@pytest.mark.parametrize("left", [2, 0])
def test_an_end_that_was_cut_off_is_missed_by_the_chain_and_noticed_by_the_file(tmp_path: Path, left: int) -> None:
    file = tmp_path / "ledger.db"
    assert ledger(file, 3).verify() == 3
    cut(file, left)
    with pytest.raises(DataContractError, match=f"it has {left} entries, and there were 3"):
        ledger(file).verify()
    (tmp_path / "ledger.db.head").unlink()
    assert ledger(file).verify() == left


def test_an_end_that_was_written_anew_is_noticed_too(tmp_path: Path) -> None:
    file = tmp_path / "ledger.db"
    ledger(file, 3)
    cut(file, 2)
    ledger(file).append("decision", "fundus", "forged", {})
    with pytest.raises(DataContractError, match="entry 3 is another one"):
        ledger(file).verify()


def test_a_file_that_lags_behind_is_no_harm_and_one_that_cannot_be_written_stops_nothing(tmp_path: Path) -> None:
    file = tmp_path / "ledger.db"
    known = ledger(file, 1)
    early = (tmp_path / "ledger.db.head").read_text()
    known.append("decision", "fundus", "later", {})
    known.append("decision", "fundus", "k0", {})  # the first one again is no step back
    assert (tmp_path / "ledger.db.head").read_text().startswith("2:")
    (tmp_path / "ledger.db.head").write_text(early)
    assert known.verify() == 2
    (tmp_path / "ledger.db.head").unlink()
    (tmp_path / "ledger.db.head").mkdir()
    assert known.append("decision", "fundus", "more", {}).seq == 3


def test_what_a_tracked_run_was_told_is_read_back_and_held_against_the_ledger(tmp_path: Path) -> None:
    real = platform(tmp_path / "state")
    kept = [real.ledger.append("decision", "fundus", f"k{number}", {}) for number in range(2)]
    with real.tracker.run("promote", key="a") as run:
        run.tags({HEAD: Anchor.of(kept).text()})
    with real.tracker.run("evaluate", key="b"):
        pass
    (found,) = anchors.tracked(real.settings)
    assert (found.seq, found.hash, found.first) == (2, kept[1].hash, kept[0].hash)
    hold(kept, [found])
    with pytest.raises(DataContractError, match="it has 1 entries, and there were 2"):
        hold(kept[:1], [found])


@pytest.mark.parametrize("text", ["", "2", "2:ab:cd", "x:" + "0" * 64 + ":" + "0" * 64])
def test_a_text_that_is_no_end_of_a_ledger_is_refused(text: str) -> None:
    with pytest.raises(DataContractError, match="no end of a ledger"):
        Anchor.read(text, "a run")
