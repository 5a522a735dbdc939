"""Transactions on the monitor's database: one writer at a time, and what is committed is on the disk."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from parfocal_serving.monitor.schema import METADATA
from sqlalchemy import Connection, Engine, Table, create_engine, event, text
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, SQLAlchemyError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from parfocal.core.errors import OutsideServiceError, UsageError

BUSY_SECONDS = 30
POSTGRES_LOCK = 0x7061726D
"""Number of the advisory lock of the monitor's writers; the ledger in the same database has another."""
_INSERT: Mapping[str, Any] = {"sqlite": sqlite.insert, "postgresql": postgresql.insert}


class Database:
    """One engine. Any number of threads may read; writers take turns.

    Raises:
        UsageError: the URL names no database that can be used.
        OutsideServiceError: it cannot be reached.
    """

    def __init__(self, url: str) -> None:
        self._url = url
        self._turn = threading.Lock()
        self._engine = _open(url)
        with self.write() as connection:
            METADATA.create_all(connection)

    @contextmanager
    def write(self) -> Iterator[Connection]:
        """A transaction that nobody else writes in; it is on the disk when this returns."""
        with self._turn, self._transaction(write=True) as connection:
            if connection.dialect.name == "postgresql":
                connection.execute(text(f"SELECT pg_advisory_xact_lock({POSTGRES_LOCK})"))
            yield connection

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """A view that does not change while it is read."""
        with self._transaction(write=False) as connection:
            yield connection

    def close(self) -> None:
        self._engine.dispose()

    @contextmanager
    def _transaction(self, *, write: bool) -> Iterator[Connection]:
        try:
            with self._engine.connect().execution_options(parfocal_write=write) as connection, connection.begin():
                yield connection
        except (DBAPIError, PoolTimeoutError) as error:
            raise OutsideServiceError(
                f"the monitor's database failed: {str(getattr(error, 'orig', None) or error).splitlines()[0]}",
                where=make_url(self._url).render_as_string(hide_password=True),
                next="see that it runs and has room; what was not answered with 200 is sent again",
            ) from error


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


def _open(url: str) -> Engine:
    try:
        parsed = make_url(url)
        kind = parsed.get_backend_name()
        if kind == "sqlite" and parsed.database:
            Path(parsed.database).parent.mkdir(parents=True, exist_ok=True)
        options = {"timeout": BUSY_SECONDS} if kind == "sqlite" else {}
        engine = create_engine(parsed, connect_args=options, pool_pre_ping=kind != "sqlite")
    except (ArgumentError, ImportError) as error:
        raise UsageError(f"cannot use the database URL: {error}", where="PARFOCAL_DATABASE_URL") from None
    except (OSError, SQLAlchemyError) as error:
        raise OutsideServiceError(f"cannot open the monitor's database: {error}", next="set PARFOCAL_STATE") from None
    if kind not in _INSERT:
        raise UsageError(f"the monitor cannot use {kind}", where="PARFOCAL_DATABASE_URL", expected="sqlite, postgresql")
    if kind == "sqlite":
        event.listen(engine, "connect", _sqlite_connect)
        event.listen(engine, "begin", _sqlite_begin)
    return engine


def _sqlite_connect(connection: Any, _record: Any) -> None:
    """Transactions are ours to begin; FULL, because an answer promises that an observation is on the disk."""
    connection.isolation_level = None
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute("PRAGMA synchronous=FULL")


def _sqlite_begin(connection: Connection) -> None:
    write = connection.get_execution_options().get("parfocal_write", False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if write else "BEGIN")
