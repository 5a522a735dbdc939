"""The monitor's database, and the inserts that both of its dialects understand."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Table
from sqlalchemy.dialects import postgresql, sqlite

from parfocal.adapters.sql import Database
from parfocal.adapters.versions import Versions

__all__ = ["Database", "add", "connect", "ignore", "upsert"]

VERSIONS = Versions(Path(__file__).with_name("versions"), "monitor_version", first="monitor_observations")
BUSY_SECONDS = 4.0
"""How long a writer waits for another: a segmenter that waits for its answer gives up after ten."""
POSTGRES_LOCK = 0x7061726D
"""Number of the advisory lock of the monitor's writers; the ledger in the same database has another."""
_INSERT: Mapping[str, Any] = {"sqlite": sqlite.insert, "postgresql": postgresql.insert}


def connect(url: str) -> Database:
    """Open the monitor's database, SQLite or PostgreSQL, and bring its tables to the version of this program.

    Raises:
        UsageError: the URL names no database that can be used, or one of a newer program.
        OutsideServiceError: it cannot be reached.
    """
    found = _described(url)
    with found.read():
        return found


def _described(url: str) -> Database:
    advice = "see that it runs and has room; what was not answered with 200 is sent again"
    return Database(
        url, VERSIONS, name="the monitor", lock=POSTGRES_LOCK, advice=advice, only=tuple(_INSERT), busy=BUSY_SECONDS
    )


def migrate(url: str) -> str:
    """Bring a database to the version of this program; what was done, for a person. Raises as `connect` does."""
    found = _described(url)
    try:
        before, now = found.migrate(), VERSIONS.known[-1]
    finally:
        found.close()
    done = "is" if before == now else f"was {f'of version {before[1:]}' if before else 'empty'}, is now"
    return f"{found.shown} {done} of version {now[1:]}"


def upsert(connection: Connection, table: Table, rows: Sequence[Mapping[str, Any]]) -> None:
    """Insert rows, or bring those with the same primary key up to date."""
    if not rows:
        return
    statement = _INSERT[connection.dialect.name](table)
    keys = [column.name for column in table.primary_key]
    changed = {name: statement.excluded[name] for name in rows[0] if name not in keys}
    connection.execute(statement.on_conflict_do_update(index_elements=keys, set_=changed), list(rows))


def add(connection: Connection, table: Table, amounts: Sequence[str], rows: Sequence[Mapping[str, Any]]) -> None:
    """Insert rows, or add the named amounts to those that are there."""
    if not rows:
        return
    statement = _INSERT[connection.dialect.name](table)
    keys = [column.name for column in table.primary_key]
    sums = {name: table.c[name] + statement.excluded[name] for name in amounts}
    connection.execute(statement.on_conflict_do_update(index_elements=keys, set_=sums), list(rows))


def ignore(connection: Connection, table: Table, rows: Sequence[Mapping[str, Any]]) -> None:
    """Insert rows; those that are there already stay as they are."""
    if rows:
        connection.execute(_INSERT[connection.dialect.name](table).on_conflict_do_nothing(), list(rows))
