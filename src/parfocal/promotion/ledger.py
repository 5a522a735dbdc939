"""The ledger's chain: how an entry is hashed, and how a changed, removed or inserted one is found. No storage here.

Each hash covers the entry and the hash before it, so the last hash stands for all that went before. What the chain
alone cannot see is its own end cut off; so the last entry's number and hash are kept in other places too, as anchors: a
tag of every tracked run that decided something (`steps.promote`), and a file beside a ledger that is a file.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from parfocal.core.errors import DataContractError
from parfocal.core.protocols import LedgerEntry

DECISION = "decision"
PROMOTION_STARTED, PROMOTION = "promotion-started", "promotion"
ROLLBACK_STARTED, ROLLBACK = "rollback-started", "rollback"
ALIAS_MOVED_OUTSIDE = "alias-moved-outside"

HEAD = "parfocal.ledger_head"
"""Tag of a tracked run: the ledger's end as this run left it."""
GENESIS = "0" * 64
"""`previous` of the first entry."""


def canonical(body: Mapping[str, Any]) -> str:
    """The one text of a body: sorted keys, no spaces, no NaN. What is stored is this text.

    Raises:
        DataContractError: the body holds something that JSON cannot say exactly.
    """
    try:
        return json.dumps(body, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    except (TypeError, ValueError) as error:
        raise DataContractError(f"this cannot go into the ledger: {error}", expected="finite JSON values") from None


def entry_hash(seq: int, time: str, kind: str, task: str, key: str, body: Mapping[str, Any], previous: str) -> str:
    """SHA-256, in hex, over all of an entry. A JSON list keeps the fields apart, whatever they contain."""
    text = json.dumps([seq, time, kind, task, key, canonical(body), previous], ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()


def next_entry(
    last: LedgerEntry | None, time: str, kind: str, task: str, key: str, body: Mapping[str, Any]
) -> LedgerEntry:
    """The entry that follows `last`, or the first one. The body is what reading it back will give."""
    seq, previous = (last.seq + 1, last.hash) if last else (1, GENESIS)
    body = json.loads(canonical(body))
    return LedgerEntry(
        seq, time, kind, task, key, body, previous, entry_hash(seq, time, kind, task, key, body, previous)
    )


def verify(entries: Sequence[LedgerEntry]) -> int:
    """Recompute the whole chain and return its length.

    Args:
        entries: all of them, of every task, oldest first.

    Raises:
        DataContractError: an entry was changed, removed or put in; the message names its number.
    """
    previous = GENESIS
    for number, entry in enumerate(entries, start=1):
        found = entry_hash(entry.seq, entry.time, entry.kind, entry.task, entry.key, entry.body, entry.previous)
        if entry.seq != number:
            raise _broken(number, f"entry {number} is missing, or one was put in before it")
        if entry.hash != found:
            raise _broken(number, f"entry {number} was changed after it was written")
        if entry.previous != previous:
            raise _broken(number, f"entry {number} does not follow the one before it")
        previous = entry.hash
    return len(entries)


@dataclass(frozen=True, slots=True)
class Anchor:
    """The end of a ledger as somebody outside it once saw it.

    Attributes:
        seq, hash: of the last entry.
        first: hash of the first entry, which tells one ledger from another.
        where: who kept it.
    """

    seq: int
    hash: str
    first: str
    where: str = ""

    @classmethod
    def of(cls, entries: Sequence[LedgerEntry]) -> Anchor:
        """The present end of a ledger that is not empty."""
        return cls(entries[-1].seq, entries[-1].hash, entries[0].hash)

    @classmethod
    def read(cls, text: str, where: str) -> Anchor:
        """What `text` wrote.

        Raises:
            DataContractError: it is something else.
        """
        seq, *hashes = text.split(":")
        if not seq.isdigit() or [len(one) for one in hashes] != [64, 64]:
            raise DataContractError("this is no end of a ledger", where=where, expected="number:hash:hash")
        return cls(int(seq), hashes[0], hashes[1], where)

    def text(self) -> str:
        """In one line."""
        return f"{self.seq}:{self.hash}:{self.first}"


def hold(entries: Sequence[LedgerEntry], anchors: Iterable[Anchor]) -> None:
    """See that everything that was kept of this ledger elsewhere is in it.

    Args:
        entries: all of them, of every task, oldest first.

    Raises:
        DataContractError: its end was cut off, or it was written anew from some entry on.
    """
    for anchor in anchors:
        if anchor.seq > len(entries):
            raise DataContractError(
                f"the end of the ledger is missing: it has {len(entries)} entries, and there were {anchor.seq}",
                where=anchor.where,
                expected=f"entry {anchor.seq} with hash {anchor.hash[:16]}…",
                next="restore the database from a copy and find out who could write to it; or, if this is not the "
                "ledger you mean, set PARFOCAL_STATE or PARFOCAL_DATABASE_URL",
            )
        if entries[0].hash != anchor.first or entries[anchor.seq - 1].hash != anchor.hash:
            raise _broken(anchor.seq, f"entry {anchor.seq} is another one than {anchor.where} was told of")


def _broken(number: int, what: str) -> DataContractError:
    return DataContractError(
        f"the ledger was tampered with: {what}",
        where=f"entry {number}",
        expected="an unbroken hash chain",
        next="restore the database from a copy, and find out who could write to it",
    )
