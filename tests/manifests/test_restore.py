"""Back-ups are restored with the very commands of docs/operations.md, from databases that are written to meanwhile."""

import shutil
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from manifests_kit import command, run
from parfocal_serving.monitor.database import Database, connect
from parfocal_serving.monitor.schema import LEADERS
from postgres_kit import Cluster
from sqlalchemy import insert, select

from parfocal.adapters.database import SqlLedger
from parfocal.core.errors import DataContractError


def begun(url: str) -> tuple[SqlLedger, Database]:
    """A ledger of three entries and a monitor with one row, in one database."""
    ledger, monitor = SqlLedger(url), connect(url)
    for number in range(3):
        ledger.append("promotion", "fundus", f"k{number}", {"version": number, "text": "é"})
    with monitor.write() as connection:
        connection.execute(insert(LEADERS).values(task="fundus", name="before", since=1.0))
    return ledger, monitor


@contextmanager
def writing(ledger: SqlLedger) -> Iterator[None]:
    """Somebody appends all the while, as a running installation does."""
    stop, first = threading.Event(), threading.Event()

    def write() -> None:
        number = 0
        while not stop.is_set():
            ledger.append("decision", "fundus", f"busy{number}", {})
            number += 1
            first.set()
            time.sleep(0.005)

    thread = threading.Thread(target=write)
    thread.start()
    try:
        assert first.wait(60)
        yield
    finally:
        stop.set()
        thread.join()


def assert_restored(url: str, at_most: int) -> None:
    """Whole, unbroken, and good to go on with: what was there at the moment of the copy, and nothing of later."""
    ledger, monitor = SqlLedger(url), connect(url)
    kept = ledger.verify()
    assert 3 < kept <= at_most
    assert [entry.key for entry in ledger.entries()][:3] == ["k0", "k1", "k2"]
    assert ledger.entries()[0].body == {"version": 0, "text": "é"}
    with monitor.read() as connection:
        assert connection.execute(select(LEADERS.c.name)).scalar_one() == "before"
    assert ledger.append("promotion", "fundus", "after", {}).seq == kept + 1
    assert ledger.verify() == kept + 1
    monitor.close()


def test_a_dump_of_postgresql_restores_ledger_and_monitor(tmp_path: Path, postgres: Cluster) -> None:
    old, new = postgres.database(), postgres.database()
    ledger, monitor = begun(old)
    with writing(ledger):
        run(command("pg_dump"), tmp_path, DATABASE=old.replace("+psycopg", ""))
    monitor.close()
    run(command("pg_restore"), tmp_path, NEW=new.replace("+psycopg", ""))
    assert_restored(new, ledger.verify())


def test_a_restore_into_a_database_in_use_changes_nothing(tmp_path: Path, postgres: Cluster) -> None:
    """--single-transaction --exit-on-error: half a restore would be worse than none."""
    old, used = postgres.database(), postgres.database()
    begun(old)[1].close()
    run(command("pg_dump"), tmp_path, DATABASE=old.replace("+psycopg", ""))
    ledger, monitor = begun(used)
    ledger.append("promotion", "fundus", "its own", {})
    monitor.close()
    with pytest.raises(AssertionError, match="already exists"):
        run(command("pg_restore"), tmp_path, NEW=used.replace("+psycopg", ""))
    assert ledger.verify() == 4


def test_a_back_up_of_sqlite_restores_ledger_and_monitor(tmp_path: Path) -> None:
    ledger, monitor = begun(f"sqlite:///{tmp_path / 'parfocal.db'}")
    with writing(ledger):
        run(command("python -c"), tmp_path)
    monitor.close()
    (tmp_path / "elsewhere").mkdir()
    shutil.copy(tmp_path / "parfocal.backup", tmp_path / "elsewhere" / "parfocal.db")
    assert_restored(f"sqlite:///{tmp_path / 'elsewhere' / 'parfocal.db'}", ledger.verify())


def test_an_older_ledger_in_a_newer_ones_place_is_noticed(tmp_path: Path) -> None:
    """The page says to remove the file beside it, which notes a later end; who forgets it is told."""
    ledger, monitor = begun(f"sqlite:///{tmp_path / 'parfocal.db'}")
    run(command("python -c"), tmp_path)
    monitor.close()
    ledger.append("promotion", "fundus", "later", {})
    for suffix in ("", "-wal", "-shm"):
        (tmp_path / f"parfocal.db{suffix}").unlink(missing_ok=True)
    shutil.copy(tmp_path / "parfocal.backup", tmp_path / "parfocal.db")
    with pytest.raises(DataContractError):
        SqlLedger(f"sqlite:///{tmp_path / 'parfocal.db'}").verify()
    (tmp_path / "parfocal.db.head").unlink()
    assert SqlLedger(f"sqlite:///{tmp_path / 'parfocal.db'}").verify() == 3
