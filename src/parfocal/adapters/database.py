"""The ledger as one table of a SQL database: SQLite on one machine, PostgreSQL (or another) on a cluster."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from sqlalchemy import Column, Integer, MetaData, Row, String, Table, Text, UniqueConstraint, insert, select

from parfocal.adapters.anchors import HeadFile
from parfocal.adapters.sql import Database
from parfocal.adapters.versions import Versions
from parfocal.core.protocols import LedgerEntry
from parfocal.promotion import ledger as chain

POSTGRES_LOCK = 0x70617266
"""Number of the advisory lock, any that nobody else uses."""

VERSIONS = Versions(Path(__file__).with_name("ledger_versions"), "ledger_version", first="ledger")
METADATA = MetaData()
LEDGER = Table(
    "ledger",
    METADATA,
    Column("seq", Integer, primary_key=True, autoincrement=False),
    Column("time", String(40), nullable=False),
    Column("kind", String(40), nullable=False),
    Column("task", String(80), nullable=False),
    Column("key", String(250), nullable=False),
    Column("body", Text, nullable=False),
    Column("previous", String(64), nullable=False),
    Column("hash", String(64), nullable=False, unique=True),
    UniqueConstraint("kind", "task", "key"),
)


def _now() -> datetime:
    return datetime.now(UTC)


class SqlLedger:
    """`parfocal.core.protocols.Ledger` on a SQL database. Safe for many processes at once."""

    def __init__(self, url: str, *, clock: Callable[[], datetime] = _now) -> None:
        advice = "nothing was lost; see that PARFOCAL_DATABASE_URL runs and has room, then try again"
        self._database = Database(url, VERSIONS, name="the ledger", lock=POSTGRES_LOCK, advice=advice)
        self._clock = clock

    def append(self, kind: str, task: str, key: str, body: Mapping[str, Any]) -> LedgerEntry:
        """Add an entry in one serialised transaction; the same (kind, task, key) again returns the first.

        Raises:
            DataContractError: the body is not plain JSON.
            OutsideServiceError: the database cannot be reached, or stays locked.
        """
        entry, first = self._append(kind, task, key, body)
        if (head := self._head) is not None:
            head.note(entry, first)
        return entry

    def _append(self, kind: str, task: str, key: str, body: Mapping[str, Any]) -> tuple[LedgerEntry, str]:
        """The entry, and the hash of the first one."""
        chain.canonical(body)
        with self._database.write() as connection:
            first = connection.execute(select(LEDGER.c.hash).where(LEDGER.c.seq == 1)).scalar()
            same = (LEDGER.c.kind == kind) & (LEDGER.c.task == task) & (LEDGER.c.key == key)
            if (known := connection.execute(select(LEDGER).where(same)).first()) is not None:
                return _entry(known), str(first)
            last = connection.execute(select(LEDGER).order_by(LEDGER.c.seq.desc()).limit(1)).first()
            time = self._clock().isoformat(timespec="milliseconds")
            entry = chain.next_entry(_entry(last) if last else None, time, kind, task, key, body)
            connection.execute(
                insert(LEDGER).values(
                    seq=entry.seq,
                    time=entry.time,
                    kind=kind,
                    task=task,
                    key=key,
                    body=chain.canonical(entry.body),
                    previous=entry.previous,
                    hash=entry.hash,
                )
            )
            return entry, first or entry.hash

    def entries(self, task: str | None = None, kind: str | None = None) -> Sequence[LedgerEntry]:
        """Oldest first, of one task and one kind where named."""
        query = select(LEDGER).order_by(LEDGER.c.seq)
        if task is not None:
            query = query.where(LEDGER.c.task == task)
        if kind is not None:
            query = query.where(LEDGER.c.kind == kind)
        with self._database.read() as connection:
            return tuple(_entry(row) for row in connection.execute(query))

    def verify(self) -> int:
        """Recompute the whole chain and return its length; a DataContractError names the first entry that is wrong.

        Of a ledger that is a file, the end is compared with what is noted beside it.
        """
        head = self._head.read() if self._head else None  # before the entries: others append meanwhile
        entries = self.entries()
        number = chain.verify(entries)
        chain.hold(entries, filter(None, [head]))
        return number

    @property
    def _head(self) -> HeadFile | None:
        return HeadFile(self._database.file) if self._database.file else None


def _entry(row: Row[Any]) -> LedgerEntry:
    return LedgerEntry(row.seq, row.time, row.kind, row.task, row.key, json.loads(row.body), row.previous, row.hash)
