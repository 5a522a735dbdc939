"""Why a version answered on a day is read from the ledger alone."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import pytest

from parfocal.core.errors import UsageError
from parfocal.core.protocols import LedgerEntry
from parfocal.promotion.account import accounts, describe, evidence_of, period
from parfocal.promotion.ledger import ALIAS_MOVED_OUTSIDE, PROMOTION, PROMOTION_STARTED, ROLLBACK, next_entry

ALARM = {
    "instrument": "B", "reference": "0123456789ab", "time": 1_790_000_000.0,
    "streams": [{"stream": "appearance", "statistic": 9.5, "threshold": 9.1}],
}  # fmt: skip


def seconds(text: str) -> float:
    return datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()


class Chain:
    """Entries at times of our choosing."""

    def __init__(self) -> None:
        self.entries: list[LedgerEntry] = []

    def add(self, time: str, kind: str, body: Mapping[str, Any]) -> None:
        last = self.entries[-1] if self.entries else None
        key = str(body.get("key", len(self.entries)))
        self.entries.append(next_entry(last, f"{time}+00:00", kind, "fundus", key, body))

    def promote(self, time: str, version: str, back: str = "", by: str = "", alarm: object = None) -> None:
        decision = {"checks": [{}] * 14, "approval_reason": "seen all of them" if by else ""}
        body = {
            "key": f"k{version}", "version": version, "checksum": version * 64, "by": by or "gate", "approved_by": by,
            "reason": f"version {version} is better", "outcome": "promote", "evidence_checksum": "e" * 64, "run": "r9",
            "rollback": {"version": back} if back else None,
        }  # fmt: skip
        self.add(time, PROMOTION_STARTED, {**body, "evidence": {"decision": decision, "alarm": alarm}})
        self.add(time, PROMOTION, body)

    def move(self, time: str, kind: str, version: str, by: str = "") -> None:
        body = {"version": version, "checksum": version * 64, "by": by, "reason": "worse in clinic", "rollback": None}
        self.add(time, kind, body)


@pytest.fixture
def chain() -> Chain:
    found = Chain()
    found.promote("2026-09-01T10:00", "1")
    found.promote("2026-10-01T10:00", "2", back="1", by="Ada", alarm=ALARM)
    found.move("2026-10-20T10:00", ROLLBACK, "1", by="Bob")
    return found


def at(chain: Chain, text: str, version: str = "") -> list[str]:
    return [one.reign.version for one in accounts(chain.entries, *period(text), version)]


def test_a_period_has_the_versions_that_answered_in_it(chain: Chain) -> None:
    assert at(chain, "2026-08") == []
    assert at(chain, "2026-09") == ["1"]
    assert at(chain, "2026-10") == ["1", "2", "1"]
    assert at(chain, "2026-10-10") == ["2"]
    assert at(chain, "2026-10-20T09:59") == ["2"]
    assert at(chain, "2026-10-20T10:00") == ["1"]
    assert at(chain, "2027") == ["1"]
    assert at(chain, "2026-10", version="2") == ["2"]


def test_the_account_says_who_why_on_what_evidence_and_the_way_back(chain: Chain) -> None:
    (found,) = accounts(chain.entries, *period("2026-10-10"))
    text = "\n".join(describe(found))
    assert "version 2 (bundle 222222222222) answered from 2026-10-01 10:00 UTC to 2026-10-20 10:00 UTC" in text
    assert "promoted approved by Ada: seen all of them" in text
    assert "decision: version 2 is better" in text
    assert "alarm of 2026-09-21 14:13 UTC on B (appearance 9.5 over 9.1; reference 0123456789ab)" in text
    assert "evidence: ledger entry 3, sha256 eeeeeeeeeeeeeeee…, run r9" in text
    assert "way back: version 1" in text
    assert found.values()["decision"]["conditions"] == 14


def test_after_a_rollback_the_first_promotion_still_explains_the_version(chain: Chain) -> None:
    (found,) = accounts(chain.entries, *period("2026-11-01"))
    text = "\n".join(describe(found))
    assert "until now" in text
    assert "by rollback, Bob: worse in clinic" in text
    assert "decision: version 1 is better" in text
    assert "no alarm is on record" in text


def test_a_version_put_there_by_hand_has_no_promotion(chain: Chain) -> None:
    chain.move("2026-12-01T00:00", ALIAS_MOVED_OUTSIDE, "7")
    (found,) = accounts(chain.entries, *period("2026-12-02"))
    assert "no promotion of this version is on record" in "\n".join(describe(found))
    with pytest.raises(UsageError, match="version 7 has not been promoted"):
        evidence_of(chain.entries, "7")
    assert evidence_of(chain.entries, "2")["alarm"] == ALARM


@pytest.mark.parametrize(
    ("text", "start", "end"),
    [
        ("2026", "2026-01-01", "2027-01-01"),
        ("2026-12", "2026-12-01", "2027-01-01"),
        ("2026-10-31", "2026-10-31", "2026-11-01"),
        ("2026-10-31T23:59Z", "2026-10-31T23:59", "2026-11-01"),
    ],
)
def test_a_period_is_a_year_a_month_a_day_or_a_minute(text: str, start: str, end: str) -> None:
    assert period(text) == (seconds(start), seconds(end))


@pytest.mark.parametrize("text", ["last month", "2026-13", "2026-02-30", "26-10-01", ""])
def test_what_is_no_date_is_refused_with_what_is(text: str) -> None:
    with pytest.raises(UsageError, match="is no date"):
        period(text)
