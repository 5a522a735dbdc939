"""The ledger's table refuses what the chain would find, and processes take turns."""

import multiprocessing
import sqlite3
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from parfocal.adapters.database import VERSIONS, SqlLedger
from parfocal.adapters.sql import Database
from parfocal.core.errors import DataContractError, OutsideServiceError, UsageError


def url(folder: Path) -> str:
    return f"sqlite:///{folder / 'deep' / 'ledger.db'}"


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE ledger SET body = '{}'",
        "DELETE FROM ledger",
        "INSERT OR REPLACE INTO ledger SELECT seq, time, kind, task, key, '{}', previous, hash FROM ledger",
        "INSERT OR REPLACE INTO ledger SELECT 99, time, kind, task, key, '{}', previous, 'x' FROM ledger",
    ],
)
def test_an_entry_cannot_be_changed_or_removed_in_the_database(tmp_path: Path, statement: str) -> None:
    SqlLedger(url(tmp_path)).append("decision", "fundus", "k", {"a": 1})
    with (
        sqlite3.connect(tmp_path / "deep" / "ledger.db") as connection,
        pytest.raises(sqlite3.IntegrityError, match="append-only"),
    ):
        connection.execute(statement)


def test_whoever_gets_round_the_triggers_is_found_by_the_chain(tmp_path: Path) -> None:
    ledger = SqlLedger(url(tmp_path))
    for number in range(3):
        ledger.append("decision", "fundus", f"k{number}", {"approved_by": ""})
    with sqlite3.connect(tmp_path / "deep" / "ledger.db") as connection:
        connection.execute("DROP TRIGGER ledger_no_update")
        connection.execute("""UPDATE ledger SET body = '{"approved_by":"Ada"}' WHERE seq = 2""")
    with pytest.raises(DataContractError, match="entry 2"):
        SqlLedger(url(tmp_path)).verify()


def append_many(place: str, name: str, number: int) -> None:
    ledger = SqlLedger(place)
    for i in range(number):
        ledger.append("decision", "fundus", f"{name}-{i}", {"i": i})
        ledger.append("promotion", "fundus", f"shared-{i}", {"i": i})


def test_processes_at_once_make_one_chain_and_no_double(tmp_path: Path) -> None:
    context = multiprocessing.get_context("fork")
    workers = [context.Process(target=append_many, args=(url(tmp_path), str(n), 15)) for n in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(180)
    assert [worker.exitcode for worker in workers] == [0] * 4
    ledger = SqlLedger(url(tmp_path))
    assert ledger.verify() == 4 * 15 + 15
    assert len(ledger.entries(kind="promotion")) == 15


def test_a_database_that_cannot_be_reached_is_an_outside_failure_without_the_password() -> None:
    ledger = SqlLedger("sqlite:////proc/nowhere/ledger.db")
    with pytest.raises(OutsideServiceError):
        ledger.entries()


def test_a_database_that_is_no_database_is_an_outside_failure(tmp_path: Path) -> None:
    (tmp_path / "ledger.db").write_text("not a database at all, but long enough to look like one" * 10)
    with pytest.raises(OutsideServiceError, match="not a database"):
        SqlLedger(f"sqlite:///{tmp_path / 'ledger.db'}").append("decision", "fundus", "k", {})


def test_a_url_that_names_no_driver_is_a_usage_error() -> None:
    with pytest.raises(UsageError, match="PARFOCAL_DATABASE_URL"):
        SqlLedger("nosuch://place").entries()


@pytest.fixture
def writer(tmp_path: Path) -> Iterator[sqlite3.Connection]:
    """In the middle of writing to the ledger's file, which nobody has turned to a write-ahead log yet."""
    file = tmp_path / "deep" / "ledger.db"
    file.parent.mkdir()
    connection = sqlite3.connect(file, isolation_level=None, check_same_thread=False)
    connection.execute("CREATE TABLE another (x)")
    connection.execute("BEGIN IMMEDIATE")
    yield connection
    connection.close()


def test_who_opens_a_file_that_another_is_writing_to_waits_for_it(tmp_path: Path, writer: sqlite3.Connection) -> None:
    ended = threading.Timer(0.3, writer.execute, ["COMMIT"])
    ended.start()
    ledger = SqlLedger(url(tmp_path))
    ledger.append("decision", "fundus", "k", {"a": 1})
    ended.join()
    assert ledger.verify() == 1


@pytest.mark.usefixtures("writer")
def test_who_waits_too_long_for_a_writer_is_told_that_the_file_is_locked(tmp_path: Path) -> None:
    database = Database(url(tmp_path), VERSIONS, name="the ledger", lock=1, advice="end the other one", busy=0.2)
    with pytest.raises(OutsideServiceError, match="the ledger's database failed: database is locked"):
        database.migrate()


def test_a_ledger_that_others_append_to_while_it_is_verified_is_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ledger, other = SqlLedger(url(tmp_path)), SqlLedger(url(tmp_path))
    ledger.append("decision", "fundus", "k", {})
    entries = ledger.entries

    def read() -> object:
        found = entries()
        other.append("decision", "fundus", f"after {len(found)}", {})
        return found

    monkeypatch.setattr(ledger, "entries", read)
    assert [ledger.verify(), ledger.verify()] == [1, 2]
