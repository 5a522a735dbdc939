"""Who the champion is, as the ledger tells it, and the moves that change it.

A move is three things that cannot be done at once: an entry that it starts, the alias, an entry that it is done. The
start names the champion it replaces; the first start in the ledger's order that names the present one wins, and any
other is void. So two promotions at a time cannot both succeed, and a move whose process died is completed by whoever
comes next (`reconcile`), from the entry alone.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from parfocal.core.errors import UsageError
from parfocal.core.protocols import Ledger, LedgerEntry, ModelStore
from parfocal.promotion.ledger import (
    ALIAS_MOVED_OUTSIDE,
    PROMOTION,
    PROMOTION_STARTED,
    ROLLBACK,
    ROLLBACK_STARTED,
)

CHAMPION, CHALLENGER = "champion", "challenger"
"""Aliases in the registry."""

DONE = {PROMOTION_STARTED: PROMOTION, ROLLBACK_STARTED: ROLLBACK}
"""From the entry that starts a move to the one that ends it."""
ARRIVALS = (PROMOTION, ROLLBACK, ALIAS_MOVED_OUTSIDE)
"""Entries after which another model answers. Their bodies have `version`, `checksum`, `replaces`, `by`, `reason`."""


@dataclass(frozen=True, slots=True)
class Standing:
    """What the ledger says of a task's champion.

    Attributes:
        entry: the entry that made it champion; None when there has been none.
        pending: a move that was started and is not done.
    """

    entry: LedgerEntry | None
    pending: LedgerEntry | None
    void: frozenset[tuple[str, str]]

    @property
    def version(self) -> str:
        """The champion's version; empty when there is none."""
        return str(self.entry.body["version"]) if self.entry else ""

    @property
    def checksum(self) -> str | None:
        return (self.entry.body["checksum"] or None) if self.entry else None


@dataclass(frozen=True, slots=True)
class Reign:
    """A stretch of time in which one version answered; `until` is empty for the present champion."""

    version: str
    checksum: str
    since: str
    until: str
    how: str
    by: str
    reason: str
    evidence: str
    seq: int


def standing(entries: Sequence[LedgerEntry]) -> Standing:
    """Fold a task's entries, oldest first."""
    entry: LedgerEntry | None = None
    pending: LedgerEntry | None = None
    void: set[tuple[str, str]] = set()
    for found in entries:
        if found.kind in DONE:
            present = str(entry.body["version"]) if entry else ""
            if pending is None and found.body["replaces"]["version"] == present:
                pending = found
            else:
                void.add((found.kind, found.key))
        elif found.kind in ARRIVALS:
            if pending is not None and found.kind == ALIAS_MOVED_OUTSIDE:
                void.add((pending.kind, pending.key))
            entry, pending = found, None
    return Standing(entry, pending, frozenset(void))


def history(entries: Sequence[LedgerEntry]) -> tuple[Reign, ...]:
    """Which version answered when, who said so and on what evidence, oldest first, from a task's entries."""
    arrivals = [entry for entry in entries if entry.kind in ARRIVALS]
    ends = [*(entry.time for entry in arrivals[1:]), ""][: len(arrivals)]
    return tuple(
        Reign(
            version=entry.body["version"],
            checksum=entry.body["checksum"],
            since=entry.time,
            until=until,
            how=entry.kind,
            by=entry.body["by"],
            reason=entry.body["reason"],
            evidence=entry.body.get("evidence_checksum", ""),
            seq=entry.seq,
        )
        for entry, until in zip(arrivals, ends, strict=True)
        if entry.body["version"]
    )


def reconcile(ledger: Ledger, store: ModelStore, task: str) -> LedgerEntry | None:
    """Bring ledger and alias together: complete a move that was started; record, never undo, one made by hand.

    Returns:
        The entry that was added, or None when they agreed.
    """
    state = standing(ledger.entries(task))
    alias = store.get(task, CHAMPION)
    present = alias.version if alias else ""
    if state.pending is not None and present in (state.version, state.pending.body["version"]):
        return complete(ledger, store, state.pending)
    if present == state.version:
        return None
    body = {
        "version": present,
        "checksum": alias.checksum if alias else "",
        "replaces": named(state),
        "rollback": _origin(ledger.entries(task), present) or named(state),
        "by": "",
        "reason": "the alias was moved outside this program" if alias else "the alias was removed outside this program",
    }
    since = state.entry.seq if state.entry else 0
    return ledger.append(ALIAS_MOVED_OUTSIDE, task, f"{since}:{present}", body)


def complete(ledger: Ledger, store: ModelStore, started: LedgerEntry) -> LedgerEntry:
    """Move the alias and record that it is done; doing it twice is doing it once."""
    task, version = started.task, str(started.body["version"])
    alias = store.get(task, CHAMPION)
    if alias is None or alias.version != version:
        store.set_alias(task, CHAMPION, version)
    body = {name: value for name, value in started.body.items() if name != "evidence"}
    return ledger.append(DONE[started.kind], task, started.key, body)


def begin_rollback(
    store: ModelStore,
    ledger: Ledger,
    task: str,
    *,
    to: str | None,
    by: str,
    reason: str,
    check: Callable[[ModelStore, str, str], None],
) -> LedgerEntry:
    """Record where a rollback is going, before anything moves; `check` raises when the target cannot answer.

    Raises:
        UsageError: there is no such earlier champion. A version that never was champion has passed no gate.
    """
    entries = ledger.entries(task)
    state = standing(entries)
    if state.entry is None:
        raise UsageError(f"{task} has no champion to roll back from", next="promote a model first")
    known = {entry.body["version"]: entry.body["checksum"] for entry in entries if entry.kind in ARRIVALS}
    target = to or (state.entry.body.get("rollback") or {}).get("version", "")
    if not target or target == state.version or target not in known or store.get(task, target) is None:
        others = sorted({version for version in known if version} - {state.version}, key=lambda v: (len(v), v))
        raise UsageError(
            f"cannot roll {task} back to {f'version {target}' if target else 'an earlier champion'}",
            expected=f"an earlier champion: {', '.join(others) or 'there is none'}",
            next="a version that never was champion has to pass the gate: evaluate and promote it",
        )
    check(store, task, target)
    body: Mapping[str, Any] = {
        "version": target,
        "checksum": known[target],
        "replaces": named(state),
        "rollback": _origin(entries, target),
        "requested": to or "",
        "by": by,
        "reason": reason,
    }
    return ledger.append(ROLLBACK_STARTED, task, f"after-{state.entry.seq}", body)


def named(state: Standing) -> dict[str, str]:
    """The champion as other entries refer to it."""
    return {"version": state.version, "checksum": state.checksum or ""}


def _origin(entries: Sequence[LedgerEntry], version: str) -> Mapping[str, str] | None:
    """What a version replaced when it first became champion: where one goes on rolling back from it."""
    for entry in entries:
        if entry.kind in ARRIVALS and version and entry.body["version"] == version:
            origin: Mapping[str, str] | None = entry.body.get("rollback")
            return origin
    return None
