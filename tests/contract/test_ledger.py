"""What every ledger promises (`parfocal.core.protocols.Ledger`)."""

from pathlib import Path

import pytest
from postgres_kit import BOTH

from parfocal.adapters import Settings, connect
from parfocal.core.errors import DataContractError
from parfocal.core.protocols import Ledger

pytestmark = BOTH


@pytest.fixture
def ledger(tmp_path: Path, database_url: str) -> Ledger:
    return connect(Settings(state=tmp_path, database_url=database_url)).ledger


def test_an_entry_reads_back_as_it_was_written(ledger: Ledger) -> None:
    body = {"score": 0.1 + 0.2, "nested": {"list": [1, 2.0, None, "é"]}}
    written = ledger.append("decision", "fundus", "k", body)
    assert written.body == body
    assert list(ledger.entries()) == [written]
    assert (written.seq, written.kind, written.task, written.key) == (1, "decision", "fundus", "k")
    assert written.time.endswith("+00:00")


def test_the_same_entry_twice_is_the_first_one(ledger: Ledger) -> None:
    first = ledger.append("decision", "fundus", "k", {"a": 1})
    assert ledger.append("decision", "fundus", "k", {"a": 2}) == first
    assert ledger.verify() == 1


def test_kind_task_and_key_together_name_an_entry(ledger: Ledger) -> None:
    for kind, task, key in [("decision", "fundus", "k"), ("promotion", "fundus", "k"), ("decision", "lung", "k")]:
        ledger.append(kind, task, key, {})
    assert len(ledger.entries()) == 3
    assert len(ledger.entries("fundus")) == 2
    assert len(ledger.entries("fundus", "decision")) == 1
    assert len(ledger.entries(kind="decision")) == 2


def test_entries_come_oldest_first_and_the_chain_holds(ledger: Ledger) -> None:
    written = [ledger.append("decision", "fundus", str(number), {"n": number}) for number in range(5)]
    assert list(ledger.entries()) == written
    assert [entry.previous for entry in written[1:]] == [entry.hash for entry in written[:-1]]
    assert ledger.verify() == 5


def test_what_json_cannot_say_is_refused_and_leaves_nothing(ledger: Ledger) -> None:
    with pytest.raises(DataContractError):
        ledger.append("decision", "fundus", "k", {"score": float("nan")})
    assert ledger.verify() == 0
