"""Transactions on a SQL database: SQLite on one machine, PostgreSQL (or another) on a cluster."""

from __future__ import annotations

import sqlite3
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

from sqlalchemy import URL, Connection, Engine, create_engine, event, text
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, SQLAlchemyError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from parfocal.adapters.versions import Versions
from parfocal.core.errors import OutsideServiceError, UsageError

BUSY_SECONDS = 30
"""How long a writer waits for another before it gives up; a transaction takes milliseconds."""


class Database:
    """Readers at any time, one writer at a time, over all processes; what is committed is on the disk.

    Nothing is opened before the first transaction, which brings the tables to the version that this program knows.
    """

    def __init__(
        self,
        url: str,
        versions: Versions,
        *,
        name: str,
        lock: int,
        advice: str,
        only: Sequence[str] = (),
        busy: float = BUSY_SECONDS,
    ) -> None:
        """Describe a database.

        Args:
            url: SQLAlchemy URL.
            versions: of its tables.
            name: whose it is, in errors.
            lock: number of the advisory lock that its writers take on PostgreSQL, where a table that is not there yet
                cannot be locked.
            advice: what to do when it fails.
            only: dialects that can be used; empty: all.
            busy: seconds for which a writer waits for another.
        """
        self._url, self._versions, self._name, self._lock, self._advice = url, versions, name, lock, advice
        self._only, self._busy = only, busy
        self._turn, self._opening = threading.Lock(), threading.Lock()
        self._engine: Engine | None = None
        self._before = ""

    @contextmanager
    def write(self) -> Iterator[Connection]:
        """A transaction in which nobody else writes; it is on the disk when this returns.

        Raises:
            UsageError: the URL names no database that can be used.
            OutsideServiceError: it cannot be reached, or stays locked.
        """
        if not self._turn.acquire(timeout=self._busy):
            raise self._failed(f"another writer of this process has not ended in {self._busy:g} s")
        try:
            with self._transaction(write=True) as connection:
                yield connection
        finally:
            self._turn.release()

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """A view that does not change while it is read; raises as `write` does."""
        with self._transaction(write=False) as connection:
            yield connection

    @contextmanager
    def apart(self) -> Iterator[Connection]:
        """A connection that is kept outside transactions, for locks that last as long as it does; raises as `write`."""
        with self.translated(), self._opened().connect().execution_options(isolation_level="AUTOCOMMIT") as found:
            yield found

    def migrate(self) -> str:
        """Open it, which brings its tables up to date; the version that it had, "" for none. Raises as `write`."""
        with self.translated():
            self._opened()
        return self._before

    @property
    def file(self) -> Path | None:
        """Of SQLite's database; None for one behind a server, or in memory."""
        parsed = make_url(self._url)
        found = parsed.database if parsed.get_backend_name() == "sqlite" else None
        return Path(found) if found and found != ":memory:" else None

    @property
    def shown(self) -> str:
        """Its URL without the password."""
        return make_url(self._url).render_as_string(hide_password=True)

    def close(self) -> None:
        """Let go of its connections; the next transaction opens it again."""
        with self._opening:
            if self._engine is not None:
                self._engine.dispose()
            self._engine = None

    @contextmanager
    def _transaction(self, *, write: bool) -> Iterator[Connection]:
        with self.translated():
            engine = self._opened()
            options: dict[str, Any] = {"parfocal_write": write}
            if engine.dialect.name == "postgresql" and not write:
                options |= {"isolation_level": "REPEATABLE READ", "postgresql_readonly": True}
            with engine.connect().execution_options(**options) as connection, connection.begin():
                if write:
                    self._take_turn(connection)
                yield connection

    @contextmanager
    def translated(self) -> Iterator[None]:
        """Within it, an error of the driver is an OutsideServiceError."""
        try:
            yield
        except (DBAPIError, PoolTimeoutError) as error:
            raise self._failed(str(getattr(error, "orig", None) or error).splitlines()[0]) from error

    def _opened(self) -> Engine:
        with self._opening:
            if self._engine is None:
                self._engine = self._open()
            return self._engine

    def _failed(self, reason: str) -> OutsideServiceError:
        return OutsideServiceError(f"{self._name}'s database failed: {reason}", where=self.shown, next=self._advice)

    def _open(self) -> Engine:
        engine = self._engine_of_url()
        try:
            with engine.connect().execution_options(parfocal_write=True) as connection, connection.begin():
                self._take_turn(connection)
                self._before = self._versions.bring_up(connection, self._name)
        except (SQLAlchemyError, UsageError):
            engine.dispose()
            raise
        return engine

    def _engine_of_url(self) -> Engine:
        try:
            parsed = make_url(self._url)
            kind = parsed.get_backend_name()
            if kind == "sqlite" and parsed.database:
                Path(parsed.database).parent.mkdir(parents=True, exist_ok=True)
            engine = create_engine(
                parsed,
                connect_args=_options(parsed, self._busy),
                pool_pre_ping=kind != "sqlite",
                pool_timeout=self._busy,
            )
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
            event.listen(engine, "connect", partial(_sqlite_connect, busy=self._busy))
            event.listen(engine, "begin", _sqlite_begin)
        return engine

    def _take_turn(self, connection: Connection) -> None:
        """One writer at a time, until the transaction ends; SQLite has seen to it when the transaction began.

        Whatever a writer looks up, it looks up by an index. Told so, PostgreSQL keeps no plan from when the tables were
        small, by which every POST would read all observations.
        """
        if connection.dialect.name == "postgresql":
            by_index = "set_config('enable_seqscan', 'off', true)"
            connection.execute(text(f"SELECT pg_advisory_xact_lock({self._lock}), {by_index}"))


def _options(url: URL, busy: float) -> dict[str, Any]:
    """What the driver is told: how long to wait for a lock, and when a server that says nothing is taken for gone."""
    if url.get_backend_name() == "sqlite":
        return {"timeout": busy}
    if url.get_driver_name() not in ("psycopg", "psycopg2"):
        return {}
    silent = {"keepalives_idle": 10, "keepalives_interval": 5, "keepalives_count": 3, "tcp_user_timeout": 20_000}
    return {"connect_timeout": 5, "options": f"-c lock_timeout={round(1000 * busy)}", **silent}


def _sqlite_connect(connection: Any, _record: Any, *, busy: float) -> None:
    """Transactions are ours to begin, not the driver's, which would begin them too late to serialise read and write.

    FULL, because who is told that something was written relies on its being on the disk.
    """
    connection.isolation_level = None
    _turn_to_wal(connection, busy)
    connection.execute("PRAGMA synchronous=FULL")


def _turn_to_wal(connection: Any, busy: float) -> None:
    """Readers go on beside a writer. Whoever finds a writer at a file that is not turned yet waits for it here.

    SQLite would wait with a shared lock in its hand, as would every other that turns the same file, so that none could
    go on: whatever its timeout is, it says at once that the file is locked, and lets go.
    """
    end = time.monotonic() + busy
    while True:
        try:
            connection.execute("PRAGMA journal_mode=WAL")
            return
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY or time.monotonic() > end:
                raise
            time.sleep(0.01)


def _sqlite_begin(connection: Connection) -> None:
    write = connection.get_execution_options().get("parfocal_write", False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if write else "BEGIN")
