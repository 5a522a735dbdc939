"""One slot of the outbox: a SQLite file and the lock that says whose it is.

A commit in WAL mode with `synchronous=NORMAL` is a `write()` to the -wal file: it survives a killed process, and a
power failure from the next `flush` on. Checkpoints, which wait for the disk, are never made by `append`.
"""

from __future__ import annotations

import fcntl
import json
import logging
import os
import sqlite3
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext, suppress
from pathlib import Path
from typing import Any, NamedTuple

logger = logging.getLogger("parfocal.segmenter")

SCHEMA = """
CREATE TABLE IF NOT EXISTS waiting (seq INTEGER PRIMARY KEY, time REAL NOT NULL, body TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS refused (seq INTEGER PRIMARY KEY, time REAL NOT NULL, body TEXT NOT NULL, reason TEXT);
CREATE TABLE IF NOT EXISTS counter (name TEXT PRIMARY KEY, value INTEGER NOT NULL);
"""
WAL_BYTES = 4 << 20
"""Size of the -wal file from which it is worked into the database."""
REFUSED = 1000
"""Newest refused observations that are kept for a person to look at."""


class Row(NamedTuple):
    """An observation that waits."""

    seq: int
    body: str


class Slot:
    """The slot of `file`, whose lock the caller holds; used by several threads.

    Attributes:
        pending: observations not yet delivered.
    """

    def __init__(self, file: Path, lock: int) -> None:
        """Open or make the file.

        Raises:
            sqlite3.Error, OSError: it cannot be; the lock is released.
        """
        self.file = file
        self._lock_file = lock
        self._lock = threading.Lock()
        try:
            self._database, self._sent, last, self.pending = _open(file)
            with suppress(sqlite3.OperationalError):  # a full disk; `flush` tries again
                self._checkpoint()
        except BaseException:
            os.close(lock)
            raise
        self._closed = False
        self._next = max(self._sent, last) + 1
        self._flushed = self._next

    def append(self, values: dict[str, Any]) -> None:
        """Keep an observation's JSON under the next `seq`, which is written into it: one commit.

        Raises:
            sqlite3.Error: it could not be written, such as on a full disk; the slot is as it was.
            ValueError: it holds a number that JSON has no way to say.
        """
        with self._lock:
            values["seq"] = self._next
            body = json.dumps(values, separators=(",", ":"), allow_nan=False)
            self._database.execute("INSERT INTO waiting VALUES (?, ?, ?)", (self._next, values["time"], body))
            self._next += 1
            self.pending += 1

    def batch(self, limit: int) -> list[Row]:
        """The oldest observations that wait, at most `limit`."""
        with self._lock:
            found = self._database.execute(
                "SELECT seq, body FROM waiting WHERE seq > ? ORDER BY seq LIMIT ?", (self._sent, limit)
            )
            return [Row(*row) for row in found]

    def forget(self, rows: list[Row]) -> None:
        """Delete what a batch delivered.

        On a full disk nothing can be deleted either: then these rows are passed over until a later call deletes them.
        """
        with self._lock:
            self._passed(rows)
            with suppress(sqlite3.OperationalError), self._transaction():
                self._database.execute("DELETE FROM waiting WHERE seq <= ?", (self._sent,))

    def refuse(self, row: Row, reason: str) -> None:
        """Set one observation aside that the monitor will never take, and go on with the next."""
        with self._lock:
            self._passed([row])
            with suppress(sqlite3.OperationalError), self._transaction():
                values = (row.seq, time.time(), row.body, reason)
                self._database.execute("INSERT OR REPLACE INTO refused VALUES (?, ?, ?, ?)", values)
                self._database.execute("DELETE FROM waiting WHERE seq <= ?", (self._sent,))
                self._database.execute(
                    "DELETE FROM refused WHERE seq <= (SELECT max(seq) FROM refused) - ?", (REFUSED,)
                )

    def oldest(self) -> float | None:
        """Time (seconds since 1970) of the observation that waits longest."""
        with self._lock:
            row = self._database.execute(
                "SELECT time FROM waiting WHERE seq > ? ORDER BY seq LIMIT 1", (self._sent,)
            ).fetchone()
        return row[0] if row else None

    def flush(self) -> None:
        """Have everything that was appended until now on the disk, and keep the -wal file short."""
        if self._next == self._flushed:
            return
        reached = self._next
        wal = os.open(f"{self.file}-wal", os.O_RDONLY)
        try:
            os.fsync(wal)
            size = os.fstat(wal).st_size
        finally:
            os.close(wal)
        self._flushed = reached
        if size > WAL_BYTES:
            # Appends go on beside it, unless they have kept it from ever coming to an end.
            with self._lock if size > 16 * WAL_BYTES else nullcontext():
                self._checkpoint()

    def close(self) -> None:
        """Close the file and let go of the slot; closing twice is closing once."""
        with self._lock:
            if self._closed:
                return
            self._closed = True
            self._database.close()
            os.close(self._lock_file)

    def _passed(self, rows: list[Row]) -> None:
        self._sent = rows[-1].seq
        self.pending -= len(rows)

    def _checkpoint(self) -> None:
        """On a connection of its own: one connection cannot do two things at once."""
        beside = sqlite3.connect(self.file, timeout=1, isolation_level=None)
        try:
            beside.execute("PRAGMA wal_checkpoint(PASSIVE)")
        finally:
            beside.close()

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        self._database.execute("BEGIN IMMEDIATE")
        try:
            yield
            self._database.execute("INSERT OR REPLACE INTO counter VALUES ('sent', ?)", (self._sent,))
            self._database.execute("COMMIT")
        except BaseException:
            if self._database.in_transaction:
                self._database.execute("ROLLBACK")
            raise


def lock(file: Path) -> int | None:
    """Descriptor that holds a lock file, or None while another holds it. The kernel frees it when the holder dies."""
    descriptor = os.open(file, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        return None
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


def _open(file: Path) -> tuple[sqlite3.Connection, int, int, int]:
    """Open or make the database; one that is damaged is set aside, because a clinic cannot wait for its repair.

    Returns:
        The database, the last number that was delivered, the last that waits (0 for none), and how many wait.
    """
    try:
        return _connect(file)
    except sqlite3.OperationalError:
        raise
    except sqlite3.DatabaseError as error:
        aside = f"damaged-{time.time_ns()}"
        logger.error("%s is set aside with what waited in it, as *.%s: %s", file, aside, error)
        for suffix in ("", "-wal", "-shm"):
            part = Path(f"{file}{suffix}")
            if part.exists():
                part.rename(f"{part}.{aside}")
        return _connect(file)


def _connect(file: Path) -> tuple[sqlite3.Connection, int, int, int]:
    database = sqlite3.connect(file, timeout=5, isolation_level=None, check_same_thread=False)
    try:
        database.execute("PRAGMA journal_mode=WAL")
        database.execute("PRAGMA synchronous=NORMAL")
        database.execute("PRAGMA wal_autocheckpoint=0")
        if database.execute("SELECT count(*) FROM sqlite_master WHERE type = 'table'").fetchone()[0] < 3:
            database.executescript(SCHEMA)
        ((sent, last, pending),) = database.execute(
            "SELECT coalesce((SELECT value FROM counter WHERE name = 'sent'), 0),"
            " coalesce((SELECT max(seq) FROM waiting), 0), (SELECT count(*) FROM waiting)"
        )
    except BaseException:
        database.close()
        raise
    return database, sent, last, pending
