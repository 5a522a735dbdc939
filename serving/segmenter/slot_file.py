"""The files of a slot: its SQLite database and its lock."""

from __future__ import annotations

import fcntl
import logging
import os
import sqlite3
import time
from contextlib import suppress
from pathlib import Path

from parfocal.core.errors import UsageError

logger = logging.getLogger("parfocal.segmenter")

VERSION = 1
"""Of the tables, in the file's `user_version`. A file from before versions were kept has 0, and the tables of 1."""
SCHEMA = f"""
CREATE TABLE IF NOT EXISTS waiting (seq INTEGER PRIMARY KEY, time REAL NOT NULL, body TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS refused (seq INTEGER PRIMARY KEY, time REAL NOT NULL, body TEXT NOT NULL, reason TEXT);
CREATE TABLE IF NOT EXISTS counter (name TEXT PRIMARY KEY, value INTEGER NOT NULL);
PRAGMA user_version = {VERSION};
"""


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


def sync(file: Path) -> int:
    """Have a file on the disk that may not be there yet; its size."""
    try:
        descriptor = os.open(file, os.O_RDONLY)
    except FileNotFoundError:
        return 0
    try:
        os.fsync(descriptor)
        return os.fstat(descriptor).st_size
    finally:
        os.close(descriptor)


def checkpoint(file: Path) -> None:
    """Work the -wal file into the database, on a connection of its own: one connection cannot do two things at once."""
    beside = sqlite3.connect(file, timeout=1, isolation_level=None)
    try:
        beside.execute("PRAGMA wal_checkpoint(PASSIVE)")
    finally:
        beside.close()


def open_database(file: Path) -> tuple[sqlite3.Connection, int, int, int]:
    """Open or make the database; one that is damaged is set aside, because a clinic cannot wait for its repair.

    Returns:
        The database, the last number that was delivered, the last that waits (0 for none), and how many wait.

    Raises:
        UsageError: a newer program made it; it is left as it is.
        sqlite3.OperationalError: it cannot be opened now.
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
        known = _version(database, file)
        database.execute("PRAGMA journal_mode=WAL")
        database.execute("PRAGMA synchronous=NORMAL")
        database.execute("PRAGMA wal_autocheckpoint=0")
        if database.execute("SELECT count(*) FROM sqlite_master WHERE type = 'table'").fetchone()[0] < 3:
            database.executescript(SCHEMA)
        elif known < VERSION:
            with suppress(sqlite3.OperationalError):  # a full disk; it is said when it is opened next
                database.execute(f"PRAGMA user_version = {VERSION}")
        ((sent, last, pending),) = database.execute(
            "SELECT coalesce((SELECT value FROM counter WHERE name = 'sent'), 0),"
            " coalesce((SELECT max(seq) FROM waiting), 0), (SELECT count(*) FROM waiting)"
        )
    except BaseException:
        database.close()
        raise
    return database, sent, last, pending


def _version(database: sqlite3.Connection, file: Path) -> int:
    ((found,),) = database.execute("PRAGMA user_version")
    if found > VERSION:
        raise UsageError(
            f"the outbox's file is of version {found}, made by a newer program: what waits in it stays there",
            where=file,
            expected=f"version {VERSION} or older",
            next="run the program that made it, or a newer one, until it is empty",
        )
    return int(found)
