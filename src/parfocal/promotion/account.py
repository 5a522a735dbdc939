"""Why a version answered on a day: what the ledger says, put together for whoever asks. Reads, never writes."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from parfocal.core.errors import UsageError
from parfocal.core.protocols import LedgerEntry
from parfocal.promotion.champion import Reign, history
from parfocal.promotion.ledger import PROMOTION, PROMOTION_STARTED

DATES = "a year, month, day or minute in UTC, such as 2026-10, 2026-10-21 or 2026-10-21T14:05"


@dataclass(frozen=True, slots=True)
class Account:
    """One stretch of one version's answering, and the decision that let it.

    Attributes:
        reign: when it answered, how it came to, and on whose word.
        decision: of the promotion that first made it champion (`outcome`, `reason`, `approved_by`, `approval_reason`,
            `conditions`); None when no promotion of it is on record, as when the alias was moved by hand.
        evidence: where the whole of it is: the ledger's entry, its checksum, the tracked run; None likewise.
        alarm: that caused the retrain; None when none is on record.
        rollback: version one would go back to; empty when there is none.
    """

    reign: Reign
    decision: Mapping[str, Any] | None
    evidence: Mapping[str, Any] | None
    alarm: Mapping[str, Any] | None
    rollback: str

    def values(self) -> dict[str, Any]:
        """As JSON values."""
        return asdict(self)


def accounts(entries: Sequence[LedgerEntry], start: float, end: float, version: str = "") -> tuple[Account, ...]:
    """Every stretch that overlaps a period, oldest first.

    Args:
        entries: of one task.
        start, end: unix seconds; `end` itself is outside.
        version: that one alone; empty: any.
    """
    found = [one for one in history(entries) if _seconds(one.since) < end and start < _until(one)]
    return tuple(_account(entries, one) for one in found if not version or one.version == version)


def evidence_of(entries: Sequence[LedgerEntry], version: str) -> Mapping[str, Any]:
    """The evidence of the version's last promotion, as the ledger keeps it.

    Raises:
        UsageError: it never was promoted.
    """
    done = {entry.key for entry in entries if entry.kind == PROMOTION}
    for entry in reversed(entries):
        if entry.kind == PROMOTION_STARTED and entry.key in done and entry.body["version"] == version:
            found: Mapping[str, Any] = entry.body["evidence"]
            return found
    known = dict.fromkeys(entry.body["version"] for entry in entries if entry.kind == PROMOTION)
    raise UsageError(
        f"version {version} has not been promoted", expected=f"one of {', '.join(known)}" if known else "none has been"
    )


def period(text: str) -> tuple[float, float]:
    """Start and end of a year, month, day or minute, in unix seconds.

    Raises:
        UsageError: it is none.
    """
    match = re.fullmatch(r"(\d{4})(?:-(\d\d)(?:-(\d\d)(?:[T ](\d\d):(\d\d))?)?)?", text.strip().removesuffix("Z"))
    if not match:
        raise UsageError(f"'{text}' is no date", expected=DATES)
    year, month, day, hour, minute = (int(part) if part else None for part in match.groups())
    try:
        start = datetime(year or 1, month or 1, day or 1, hour or 0, minute or 0, tzinfo=UTC)
    except ValueError as error:
        raise UsageError(f"'{text}' is no date: {error}", expected=DATES) from None
    if minute is not None:
        end = start + timedelta(minutes=1)
    elif day is not None:
        end = start + timedelta(days=1)
    elif month is not None:
        end = start.replace(year=start.year + month // 12, month=month % 12 + 1)
    else:
        end = start.replace(year=start.year + 1)
    return start.timestamp(), end.timestamp()


def describe(account: Account) -> list[str]:
    """The account for a person, a line each."""
    reign = account.reign
    lines = [
        f"version {reign.version} (bundle {reign.checksum[:12] or 'unknown'}) answered from {minute(reign.since)} "
        f"{f'to {minute(reign.until)}' if reign.until else 'until now'}"
    ]
    if reign.how != PROMOTION:
        lines.append(f"  by {reign.how}{f', {reign.by}' if reign.by else ''}: {reign.reason}")
    if account.decision is None or account.evidence is None:
        return [*lines, "  no promotion of this version is on record"]
    said = account.decision
    word = f"approved by {said['approved_by']}: {said['approval_reason']}" if said["approved_by"] else "by the gate"
    lines += [f"  promoted {word}", f"  decision: {said['reason']}"]
    lines.append(f"  caused by: {alarm_text(account.alarm)}")
    where = account.evidence
    run = f", run {where['run']} (promotion/evidence.json)" if where["run"] else ""
    lines.append(f"  evidence: ledger entry {where['seq']}, sha256 {where['checksum'][:16]}…{run}")
    lines.append(f"  way back: {f'version {account.rollback}' if account.rollback else 'none, the first model'}")
    return [*lines, f"  all of it: parfocal registry card {reign.version}"]


def alarm_text(alarm: Mapping[str, Any] | None) -> str:
    """The alarm that caused a retrain, in one sentence."""
    if alarm is None:
        return "no alarm is on record: a person started it, or its evidence is older than such records"
    streams = ", ".join(_stream(stream) for stream in alarm["streams"]) or "streams not recorded"
    return f"the alarm of {minute(alarm['time'])} on {alarm['instrument']} ({streams}; reference {alarm['reference']})"


def minute(time: str | float | None) -> str:
    """A time to the minute, UTC."""
    if time is None:
        return "an unknown time"
    moment = datetime.fromtimestamp(time, UTC) if isinstance(time, int | float) else datetime.fromisoformat(time)
    return f"{moment.astimezone(UTC):%Y-%m-%d %H:%M} UTC"


def _stream(stream: Mapping[str, Any]) -> str:
    over = "" if stream.get("threshold") is None else f" over {stream['threshold']:.4g}"
    value = "" if stream.get("statistic") is None else f" {stream['statistic']:.4g}"
    return f"{stream['stream']}{value}{over}"


def _account(entries: Sequence[LedgerEntry], reign: Reign) -> Account:
    made = [e for e in entries if e.kind == PROMOTION and e.body["version"] == reign.version and e.seq <= reign.seq]
    if not made:
        return Account(reign, None, None, None, "")
    entry = made[-1]
    started = next(e for e in entries if e.kind == PROMOTION_STARTED and e.key == entry.key)
    file, body = started.body["evidence"], entry.body
    decision = file.get("decision", {})
    return Account(
        reign,
        {
            "outcome": body.get("outcome", ""),
            "reason": body["reason"],
            "approved_by": body.get("approved_by", ""),
            "approval_reason": decision.get("approval_reason", ""),
            "conditions": len(decision.get("checks", ())),
        },
        {"seq": started.seq, "checksum": body.get("evidence_checksum", ""), "run": body.get("run", "")},
        file.get("alarm"),
        (body.get("rollback") or {}).get("version", ""),
    )


def _seconds(time: str) -> float:
    return datetime.fromisoformat(time).timestamp()


def _until(reign: Reign) -> float:
    return _seconds(reign.until) if reign.until else float("inf")
