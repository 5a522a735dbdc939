"""The ledger's chain: how an entry is hashed, and how a changed, removed or inserted one is found. No storage here.

Each hash covers the entry and the hash before it, so the last hash stands for all that went before. What the chain
alone cannot see is its own end cut off; `steps.promote` therefore tags the tracked run with the hash of each
promotion.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import Any

from parfocal.core.errors import DataContractError
from parfocal.core.protocols import LedgerEntry

DECISION = "decision"
PROMOTION_STARTED, PROMOTION = "promotion-started", "promotion"
ROLLBACK_STARTED, ROLLBACK = "rollback-started", "rollback"
ALIAS_MOVED_OUTSIDE = "alias-moved-outside"

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


def _broken(number: int, what: str) -> DataContractError:
    return DataContractError(
        f"the ledger was tampered with: {what}",
        where=f"entry {number}",
        expected="an unbroken hash chain",
        next="restore the database from a copy, and find out who could write to it",
    )
