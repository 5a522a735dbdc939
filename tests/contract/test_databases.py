"""Databases that earlier programs wrote become those of this program, and every row is still there.

`formats/*-v*.sql` are what a program of that version left (`sqlite3.Connection.iterdump`), with rows in every table:
never make them anew, add one. The steps of today are held against them: one that was released cannot be edited.
"""

import sqlite3
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from parfocal_serving.monitor import database as monitor
from parfocal_serving.monitor.schema import METADATA
from parfocal_serving.segmenter import slot_file
from parfocal_serving.segmenter.outbox import Outbox
from sqlalchemy import MetaData, create_engine, inspect

from parfocal.adapters import database as ledger
from parfocal.adapters.database import SqlLedger
from parfocal.adapters.versions import Versions
from parfocal.core.errors import DataContractError, UsageError

FORMATS = Path(__file__).parent / "formats"
TABLES: Mapping[str, tuple[Versions, MetaData]] = {
    "monitor": (monitor.VERSIONS, METADATA),
    "ledger": (ledger.VERSIONS, ledger.METADATA),
}
EVERY = [pytest.param(name, version, id=f"{name}-{version}") for name in TABLES for version in TABLES[name][0].known]

Rows = dict[str, list[dict[str, Any]]]


def restored(name: str, version: str, folder: Path) -> Path:
    """A file as the program of that version left it."""
    file = folder / f"{name}.db"
    with closing(sqlite3.connect(file)) as made:
        made.executescript((FORMATS / f"{name}-{version}.sql").read_text(encoding="utf-8"))
    return file


def rows(file: Path) -> Rows:
    """All of them, table by table, as SQLite has them; not the version."""
    with closing(sqlite3.connect(file)) as opened:
        opened.row_factory = sqlite3.Row
        tables = [name for (name,) in opened.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        return {
            table: [dict(row) for row in opened.execute(f'SELECT * FROM "{table}" ORDER BY rowid')]
            for table in tables
            if not table.endswith("_version")
        }


def shape(file: Path) -> dict[str, Any]:
    """Columns, keys, indexes and triggers of every table."""
    engine = create_engine(f"sqlite:///{file}")
    with engine.connect() as connection:
        found = inspect(connection)
        tables = {
            table: (
                [{**column, "type": str(column["type"])} for column in found.get_columns(table)],
                found.get_pk_constraint(table)["constrained_columns"],
                sorted(index["column_names"] for index in found.get_unique_constraints(table)),
            )
            for table in found.get_table_names()
        }
    engine.dispose()
    with closing(sqlite3.connect(file)) as opened:
        written = opened.execute(
            "SELECT name, sql FROM sqlite_master WHERE type IN ('index', 'trigger') AND sql NOT NULL"
        )
        return {"tables": tables, "besides": {name: " ".join(sql.split()) for name, sql in written}}


def migrated(name: str, file: Path) -> None:
    """Opened by the program of today."""
    if name == "monitor":
        monitor.connect(f"sqlite:///{file}").close()
    else:
        SqlLedger(f"sqlite:///{file}").verify()


@pytest.mark.parametrize(("name", "version"), EVERY)
def test_an_earlier_database_becomes_todays_with_every_row(name: str, version: str, tmp_path: Path) -> None:
    file = restored(name, version, tmp_path)
    before = rows(file)
    assert before and all(len(found) >= 2 for found in before.values()), "a table without rows shows nothing"
    migrated(name, file)
    after, (versions, metadata) = rows(file), TABLES[name]
    for table, found in before.items():
        assert [{key: one[key] for key in found[0]} for one in after[table]] == found, table
    engine = create_engine(f"sqlite:///{file}")
    with engine.connect() as connection:
        assert versions.stored(connection) == versions.known[-1]
        options = {"compare_type": True, "version_table": versions.table}
        assert compare_metadata(MigrationContext.configure(connection, opts=options), metadata) == []
    engine.dispose()


@pytest.mark.parametrize(("name", "version"), EVERY)
def test_a_step_that_was_released_makes_what_it_made_then(name: str, version: str, tmp_path: Path) -> None:
    then, now = restored(name, version, tmp_path), tmp_path / "now.db"
    engine = create_engine(f"sqlite:///{now}")
    with engine.begin() as connection:
        TABLES[name][0].bring_up(connection, name, to=version)
    engine.dispose()
    assert shape(now) == shape(then)


def test_what_earlier_rows_do_not_say_has_its_default(tmp_path: Path) -> None:
    file = restored("monitor", "v1", tmp_path)
    migrated("monitor", file)
    assert [one["cases"] for one in rows(file)["monitor_decisions"]] == ["{}", "{}"]


def test_an_earlier_ledger_keeps_its_chain_goes_on_and_still_tells_a_change(tmp_path: Path) -> None:
    file = restored("ledger", "v1", tmp_path)
    book = SqlLedger(f"sqlite:///{file}")
    assert book.verify() == 4
    third = book.entries()[2]
    assert third.body == {
        "approved_by": "Müller", "reason": 'it\'s the "new" lens', "limit": 1e-9, "none": None, "yes": True,
    }  # fmt: skip
    assert book.append("decision", "lung", "ct-1", {"outcome": "promote"}).hash == book.entries()[3].hash, "the first"
    assert book.append("decision", "lung", "ct-2", {}).seq == 5
    assert book.verify() == 5
    with closing(sqlite3.connect(file)) as opened:
        with pytest.raises(sqlite3.IntegrityError, match="append-only"):
            opened.execute("UPDATE ledger SET body = '{}' WHERE seq = 2")
        opened.execute("DROP TRIGGER ledger_no_update")
        opened.execute("UPDATE ledger SET body = '{}' WHERE seq = 2")
        opened.commit()
    with pytest.raises(DataContractError, match="entry 2"):
        book.verify()


@pytest.mark.parametrize("version", [f"v{number}" for number in range(slot_file.VERSION + 1)])
def test_an_earlier_outbox_is_emptied_in_order_and_goes_on(version: str, tmp_path: Path) -> None:
    file = restored("outbox", version, tmp_path).rename(tmp_path / "0.db")
    before = rows(file)
    outbox = Outbox(tmp_path, limit=100)
    assert outbox.slot is not None and outbox.slot.file == file
    assert [(row.seq, row.body) for row in outbox.slot.batch(10)] == [
        (one["seq"], one["body"]) for one in before["waiting"]
    ]
    outbox.slot.append({"time": 1.0})
    assert [row.seq for row in outbox.slot.batch(10)] == [4, 5, 6]
    outbox.close()
    assert rows(file)["refused"] == before["refused"]
    assert stamp(file) == slot_file.VERSION


def test_an_outbox_of_a_newer_program_is_passed_over_with_all_that_waits_in_it(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    newer = restored("outbox", "v1", tmp_path).rename(tmp_path / "0.db")
    stamp(newer, 99)
    before = rows(newer)
    with pytest.raises(UsageError, match="of version 99, made by a newer program") as refused:
        slot_file.open_database(newer)
    assert refused.value.expected == "version 1 or older"
    outbox = Outbox(tmp_path, limit=100)
    assert outbox.slot is not None and outbox.slot.file.name == "1.db", "what is observed now is not lost either"
    outbox.slot.append({"time": 1.0})
    assert outbox.trouble == ""
    assert [list(outbox.abandoned()), list(outbox.abandoned())] == [[], []]
    outbox.close()
    assert (rows(newer), stamp(newer)) == (before, 99)
    assert not list(tmp_path.glob("*damaged*"))
    assert caplog.text.count("made by a newer program") == 1, "it is looked at every few seconds"


def stamp(file: Path, version: int | None = None) -> int:
    """The version in a file's header, set before where one is given."""
    with closing(sqlite3.connect(file)) as opened:
        if version is not None:
            opened.execute(f"PRAGMA user_version = {version}")
            opened.commit()
        return int(opened.execute("PRAGMA user_version").fetchone()[0])
