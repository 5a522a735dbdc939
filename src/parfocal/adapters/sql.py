"""Transactions on a SQL database: SQLite on one machine, PostgreSQL (or another) on a cluster."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, MetaData, create_engine, event, text
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, SQLAlchemyError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from parfocal.core.errors import OutsideServiceError, UsageError

BUSY_SECONDS = 30
"""How long a writer waits for another before it gives up; a transaction takes milliseconds."""


class Database:
    """Readers at any time, one writer at a time, over all processes; what is committed is on the disk.

    Nothing is opened before the first transaction, which makes the tables that are not there.
    """

    def __init__(
        self, url: str, tables: MetaData, *, name: str, lock: int, advice: str, only: Sequence[str] = ()
    ) -> None:
        """Describe a database.

        Args:
            url: SQLAlchemy URL.
            tables: what is made when it is first used.
            name: whose it is, in errors.
            lock: number of the advisory lock that its writers take on PostgreSQL, where a table that is not there yet
                cannot be locked.
            advice: what to do when it fails.
            only: dialects that can be used; empty: all.
        """
        self._url, self._tables, self._name, self._lock, self._advice = url, tables, name, lock, advice
        self._only = only
        self._turn, self._opening = threading.Lock(), threading.Lock()
        self._engine: Engine | None = None

    @contextmanager
    def write(self) -> Iterator[Connection]:
        """A transaction in which nobody else writes; it is on the disk when this returns.

        Raises:
            UsageError: the URL names no database that can be used.
            OutsideServiceError: it cannot be reached, or stays locked.
        """
        with self._turn, self._transaction(write=True) as connection:
            yield connection

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """A view that does not change while it is read; raises as `write` does."""
        with self._transaction(write=False) as connection:
            yield connection

    def close(self) -> None:
        """Let go of its connections; the next transaction opens it again."""
        with self._opening:
            if self._engine is not None:
                self._engine.dispose()
            self._engine = None

    @contextmanager
    def _transaction(self, *, write: bool) -> Iterator[Connection]:
        try:
            with self._opening:
                if self._engine is None:
                    self._engine = self._open()
                engine = self._engine
            with engine.connect().execution_options(parfocal_write=write) as connection, connection.begin():
                if write:
                    self._take_turn(connection)
                yield connection
        except (DBAPIError, PoolTimeoutError) as error:
            raise OutsideServiceError(
                f"{self._name}'s database failed: {str(getattr(error, 'orig', None) or error).splitlines()[0]}",
                where=make_url(self._url).render_as_string(hide_password=True),
                next=self._advice,
            ) from error

    def _open(self) -> Engine:
        try:
            parsed = make_url(self._url)
            kind = parsed.get_backend_name()
            if kind == "sqlite" and parsed.database:
                Path(parsed.database).parent.mkdir(parents=True, exist_ok=True)
            options = {"timeout": BUSY_SECONDS} if kind == "sqlite" else {}
            engine = create_engine(parsed, connect_args=options, pool_pre_ping=kind != "sqlite")
        except (ArgumentError, ImportError) as error:
            raise UsageError(
                f"cannot use the database URL: {error}",
                where="PARFOCAL_DATABASE_URL",
                expected="an SQLAlchemy URL whose driver is installed, such as sqlite:////var/lib/parfocal.db",
            ) from None
        except OSError as error:
            raise OutsideServiceError(
                f"cannot make the folder of {self._name}'s database: {error}", next="set PARFOCAL_STATE"
            ) from None
        if self._only and kind not in self._only:
            raise UsageError(
                f"{self._name} cannot use {kind}", where="PARFOCAL_DATABASE_URL", expected=", ".join(self._only)
            )
        if kind == "sqlite":
            event.listen(engine, "connect", _sqlite_connect)
            event.listen(engine, "begin", _sqlite_begin)
        try:
            with engine.connect().execution_options(parfocal_write=True) as connection, connection.begin():
                self._take_turn(connection)
                self._tables.create_all(connection)
        except SQLAlchemyError:
            engine.dispose()
            raise
        return engine

    def _take_turn(self, connection: Connection) -> None:
        """One writer at a time, until the transaction ends; SQLite has seen to it when the transaction began."""
        if connection.dialect.name == "postgresql":
            connection.execute(text(f"SELECT pg_advisory_xact_lock({self._lock})"))


def _sqlite_connect(connection: Any, _record: Any) -> None:
    """Transactions are ours to begin, not the driver's, which would begin them too late to serialise read and write.

    FULL, because who is told that something was written relies on its being on the disk.
    """
    connection.isolation_level = None
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute("PRAGMA synchronous=FULL")


def _sqlite_begin(connection: Connection) -> None:
    write = connection.get_execution_options().get("parfocal_write", False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if write else "BEGIN")
