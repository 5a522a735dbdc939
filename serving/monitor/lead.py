"""Of several monitors of one task on one database, one leads: it alone writes, decides and starts retrains.

The lead is a lock that ends with the process or the machine that holds it: on SQLite a locked file beside the database,
on PostgreSQL an advisory lock of a connection that is kept for it. It is never taken from somebody who lives.
"""

from __future__ import annotations

import fcntl
import logging
import os
import socket
import threading
import time
import zlib
from collections.abc import Callable
from contextlib import ExitStack, suppress

from parfocal_serving.monitor.database import POSTGRES_LOCK, Database, upsert
from parfocal_serving.monitor.schema import LEADERS
from sqlalchemy import Connection, select, text
from sqlalchemy.exc import SQLAlchemyError

from parfocal.core.errors import OutsideServiceError

logger = logging.getLogger(__name__)

SILENT = ("tcp_keepalives_idle = 10", "tcp_keepalives_interval = 5", "tcp_keepalives_count = 3")
"""How soon PostgreSQL takes a leader for gone whose machine has stopped without a word: 25 seconds."""


class NotLeadingError(OutsideServiceError):
    """Another monitor leads; what was asked of this one is that one's to do."""


class Lead:
    """The lead of one task.

    Args:
        clock: unix seconds.
    """

    def __init__(self, database: Database, task: str, clock: Callable[[], float] = time.time) -> None:
        self._database, self._task, self._clock = database, task, clock
        self._lock = threading.RLock()
        self._kept = ExitStack()
        self._connection: Connection | None = None
        self._held = False
        self.terms = 0
        """How often it was taken."""
        self.name = f"{socket.gethostname()}, process {os.getpid()}"

    @property
    def held(self) -> bool:
        """What was found at the last look."""
        return self._held

    def look(self) -> bool:
        """Take the lead if it is free, or see whether it is still ours; True when it is."""
        with self._lock:
            try:
                had, self._held = self._held, self._still() if self._held else self._take()
            except (OutsideServiceError, OSError) as error:
                logger.warning("whether this monitor leads cannot be seen: %s", error)
                had, self._held = self._held, False
            if self._held and not had:
                self.terms += 1
                logger.info("this monitor leads %s", self._task)
                self._sign()
            if not self._held:
                self._kept.close()
            return self._held

    def demand(self) -> None:
        """Raises NotLeadingError, with the name of who leads, unless this monitor does."""
        if self._held:
            return
        with self._database.read() as connection:
            row = connection.execute(select(LEADERS).where(LEADERS.c.task == self._task)).first()
        raise NotLeadingError(
            f"another monitor leads {self._task}" + (f": {row.name}" if row else ""),
            next="ask that one; this one takes over when that one ends",
        )

    def leave(self) -> None:
        """Let another take it."""
        with self._lock:
            self._held = False
            self._kept.close()

    def _take(self) -> bool:
        file = self._database.file
        with ExitStack() as attempt:
            if file is not None:
                got = self._take_file(attempt, f"{file}.{self._task}.lead")
            else:
                got = self._take_server(attempt)
            if got:
                self._kept = attempt.pop_all()
            return got

    def _take_file(self, attempt: ExitStack, file: str) -> bool:
        descriptor = os.open(file, os.O_RDWR | os.O_CREAT, 0o600)
        attempt.callback(os.close, descriptor)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True

    def _take_server(self, attempt: ExitStack) -> bool:
        connection = attempt.enter_context(self._database.apart())
        attempt.callback(connection.invalidate)  # back in the pool, it would keep the lock
        for setting in SILENT:
            connection.execute(text(f"SET {setting}"))
        lock = f"{POSTGRES_LOCK}, {zlib.crc32(self._task.encode()) - 2**31}"
        got = connection.execute(text(f"SELECT pg_try_advisory_lock({lock})")).scalar()
        if got:
            attempt.callback(self._free, connection, lock)
        self._connection = connection
        return bool(got)

    @staticmethod
    def _free(connection: Connection, lock: str) -> None:
        """Give the lock back at once: of a connection that is only closed, the server sees it when it gets to it."""
        with suppress(SQLAlchemyError):  # a connection that was cut has given it back already
            connection.execute(text(f"SELECT pg_advisory_unlock({lock})"))

    def _still(self) -> bool:
        if self._database.file is not None:
            return True
        assert self._connection is not None
        with self._database.translated():
            self._connection.execute(text("SELECT 1"))  # the lock lives as long as this connection does
        return True

    def _sign(self) -> None:
        try:
            with self._database.write() as connection:
                upsert(connection, LEADERS, [{"task": self._task, "name": self.name, "since": self._clock()}])
        except OutsideServiceError as error:  # a name for a person to read, nothing more
            logger.warning("who leads could not be written down: %s", error)
