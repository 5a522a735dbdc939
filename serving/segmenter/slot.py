"""One slot of the outbox: a SQLite file, a journal beside it, and the lock that says whose it is.

A request waits for one line of the journal alone: that it was answered, by whom and for whom. What was seen in it
follows a moment after the answer, as a row of the database; a line whose row never came is sent as it is.

A commit in WAL mode with `synchronous=NORMAL` is a `write()` to the -wal file: it survives a killed process, and a
power failure from the next `flush` on. Checkpoints, which wait for the disk, are never made by a request.
"""

from __future__ import annotations

import logging
import os
import sqlite3
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext, suppress
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

from parfocal_serving.segmenter import journal
from parfocal_serving.segmenter.journal import PLAIN, Journal, Line
from parfocal_serving.segmenter.slot_file import checkpoint, open_database, sync

logger = logging.getLogger("parfocal.segmenter")

WAL_BYTES = 4 << 20
"""Size of the -wal file from which it is worked into the database."""
PATIENCE = 5.0
"""Seconds after which a line is sent without what was seen: whoever looked has been killed or has failed."""
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
            UsageError: a newer program made it; the lock is released.
        """
        self.file = file
        self._lock_file = lock
        self._lock, self._quick = threading.Lock(), threading.Lock()
        """Of the database; of all else, for whoever waits for no database. Taken in this order."""
        try:
            self._database, self._sent, last, self.pending = open_database(file)
            self._journal = Journal(file.with_suffix(".journal"))
            with suppress(sqlite3.OperationalError):  # a full disk; `flush` tries again
                checkpoint(file)
        except BaseException:
            os.close(lock)
            raise
        self._closed = False
        self._next = max(self._sent, last) + 1
        self._lines: dict[int, Line] = {}
        self._changes, self._flushed = 0, -1
        self._recover()

    def accept(self, values: dict[str, Any]) -> int:
        """Keep an observation of which nothing is measured yet, by one `write()`; its `seq`, for `complete`.

        Raises:
            OSError: it could not be written, such as on a full disk; the slot is as it was.
        """
        with self._quick:
            values["seq"] = seq = self._next
            self._journal.write(values)
            self._lines[seq] = Line(values, time.monotonic() + PATIENCE)
            self._next += 1
            self.pending += 1
            self._changes += 1
        return seq

    def complete(self, seq: int, values: dict[str, Any]) -> None:
        """Have an accepted observation's row in the place of its line; it stays a line where there is no room.

        Raises:
            ValueError: it holds a number that JSON has no way to say; then the line is its row.
            sqlite3.DatabaseError: the file is damaged.
        """
        with self._lock:
            line = self._lines.get(seq)
            if line is None:  # it took too long: the line was sent
                return
            try:
                line = line._replace(whole=PLAIN.encode({**values, "seq": seq}))
            finally:
                self._settle(seq, line)

    def append(self, values: dict[str, Any]) -> None:
        """Keep a whole observation's JSON under the next `seq`, which is written into it: one commit.

        Raises:
            sqlite3.Error: it could not be written, such as on a full disk; the slot is as it was.
            ValueError: it holds a number that JSON has no way to say.
        """
        with self._lock, self._quick:
            values["seq"] = self._next
            body = PLAIN.encode(values)
            self._insert(self._next, values["time"], body)
            self._next += 1
            self.pending += 1
            self._changes += 1

    def batch(self, limit: int) -> list[Row]:
        """The oldest observations that wait, at most `limit`; none from one on whose row may still come."""
        with self._lock:
            for seq, line in self._over():
                self._settle(seq, line)
            over = dict(self._over())
            with self._quick:
                end = min(self._lines.keys() - over.keys(), default=self._next)
            found = self._database.execute(
                "SELECT seq, body FROM waiting WHERE seq > ? AND seq < ? ORDER BY seq LIMIT ?", (self._sent, end, limit)
            )
            rows = [Row(*row) for row in found]
            rows += [Row(seq, line.body) for seq, line in over.items() if self._sent < seq < end]
            return list(islice(sorted(rows), limit))

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
            if self._closed:  # by whoever emptied it
                return None
            row = self._database.execute(
                "SELECT time FROM waiting WHERE seq > ? ORDER BY seq LIMIT 1", (self._sent,)
            ).fetchone()
        with self._quick:
            times = [line.values["time"] for line in self._lines.values()]
        return min([*times, *(row or ())], default=None)

    def flush(self) -> None:
        """Have everything that was appended until now on the disk, and keep the -wal file short."""
        if self._changes == self._flushed:
            return
        with self._lock, self._quick:
            if self._closed:
                return
            reached = self._changes
            if self._journal.size > journal.LARGEST:
                self._journal.begin_anew(line.values for line in self._lines.values())
            stuck = any(not line.until for line in self._lines.values())
        self._journal.sync()
        size = sync(Path(f"{self.file}-wal"))
        if not stuck:
            self._journal.forget_before()
        self._flushed = reached
        if size > WAL_BYTES:
            # Appends go on beside it, unless they have kept it from ever coming to an end.
            with self._lock if size > 16 * WAL_BYTES else nullcontext():
                checkpoint(self.file)

    def close(self) -> None:
        """Close the file and let go of the slot; closing twice is closing once."""
        with self._lock, self._quick:
            if self._closed:
                return
            self._closed = True
            self._journal.close()
            self._database.close()
            os.close(self._lock_file)

    def _recover(self) -> None:
        """Take in the journal of whoever had this slot before; what has its row, or was delivered, is passed over."""
        rows = {seq for (seq,) in self._database.execute("SELECT seq FROM waiting")}
        for values in self._journal.read():
            seq = values["seq"]
            if seq > self._sent and seq not in rows and seq not in self._lines:
                self._lines[seq] = Line(values, 0.0)
                self.pending += 1
            self._next = max(self._next, seq + 1)
        for seq, line in self._over():
            self._settle(seq, line)

    def _over(self) -> list[tuple[int, Line]]:
        """Lines whose row is not waited for any more."""
        now = time.monotonic()
        with self._quick:
            return [(seq, line) for seq, line in self._lines.items() if line.until < now]

    def _settle(self, seq: int, line: Line) -> None:
        """Turn a line into a row; on a full disk it stays a line, and is delivered as one."""
        try:
            self._insert(seq, line.values["time"], line.body)
        except sqlite3.OperationalError as error:
            if line.until:
                logger.warning("observation %d stays in the journal: %s", seq, error)
            with self._quick:
                self._lines[seq] = line._replace(until=0.0)
            return
        with self._quick:
            del self._lines[seq]
            self._changes += 1

    def _insert(self, seq: int, when: float, body: str) -> None:
        self._database.execute("INSERT INTO waiting VALUES (?, ?, ?)", (seq, when, body))

    def _passed(self, rows: list[Row]) -> None:
        self._sent = rows[-1].seq
        with self._quick:
            self.pending -= len(rows)
            for row in rows:
                self._lines.pop(row.seq, None)

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
