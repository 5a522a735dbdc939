"""What the monitor says of the time before: champions, R, alarms that have ended."""

from pathlib import Path

import monitor_kit as kit
import pytest
from fastapi.testclient import TestClient
from parfocal_serving.monitor import history
from parfocal_serving.monitor.app import build
from parfocal_serving.monitor.page import time_line
from parfocal_serving.monitor.settings import MonitorSettings

from parfocal.adapters.database import SqlLedger
from parfocal.promotion.ledger import PROMOTION, ROLLBACK


@pytest.fixture
def ledger(tmp_path: Path) -> SqlLedger:
    """Two promotions, then a rollback: B was learned second, and cost A something."""
    ledger = SqlLedger(f"sqlite:///{tmp_path / 'parfocal.db'}")
    before, after = {"A": {"disc": 0.95}, "B": {"disc": 0.40}}, {"A": {"disc": 0.93}, "B": {"disc": 0.9}}
    rows = {"1": ("A", before), "2": ("B", after)}
    for version, (learned, dice) in rows.items():
        row = {"model": version * 64, "learned": learned, "dice": dice}
        said = {"by": "gate", "reason": f"reason {version}", "evidence_checksum": version * 64, "matrix_row": row}
        ledger.append(PROMOTION, "fundus", version, {"version": version, "checksum": version * 64, **said})
    back = {"version": "1", "checksum": "1" * 64, "by": "Ada", "reason": "<b>odd cups</b>"}
    ledger.append(ROLLBACK, "fundus", "back", back)
    return ledger


def client(state: Path, **settings: object) -> TestClient:
    chosen = MonitorSettings(**{"state": state, "trigger_path": "monitor", "open": True, **settings})
    return TestClient(build(chosen), client=("127.0.0.1", 50000), base_url="http://127.0.0.1")


def test_champions_are_told_newest_first_with_who_and_why(ledger: SqlLedger) -> None:
    told = history.champions(ledger.entries("fundus"))
    assert [(one["version"], one["how"], one["by"]) for one in told] == [
        ("1", "rollback", "Ada"), ("2", "promotion", "gate"), ("1", "promotion", "gate"),
    ]  # fmt: skip
    assert told[0]["until"] is None
    assert told[1]["until"] == told[0]["since"]


def test_r_has_a_row_a_promotion_and_the_transfers_that_follow(ledger: SqlLedger) -> None:
    (disc,) = history.matrices(ledger.entries("fundus"))
    assert disc["instruments"] == ["A", "B"]
    assert [(row["version"], row["learned"], row["dice"]) for row in disc["rows"]] == [
        ("1", "A", [0.95, 0.40]),
        ("2", "B", [0.93, 0.9]),
    ]
    values = {one["name"]: one["value"] for one in disc["transfers"]}
    assert values["BWT, last step"] == pytest.approx(-0.02)
    assert values["plasticity"] == pytest.approx((0.95 + 0.9) / 2)


def test_an_alarm_ends_with_the_next_reference_or_a_reset(tmp_path: Path) -> None:
    first = kit.promote(tmp_path, 1)
    with client(tmp_path) as monitor:
        strange = [kit.observation(i, "B", at=90.0, reference=first) for i in range(30)]
        assert monitor.post("/observations", json=kit.wire(strange)).json()["accepted"] == 30
        standing = monitor.get("/api/history").json()["alarms"]
        assert {(one["instrument"], one["until"]) for one in standing} == {("B", None)}
        monitor.post("/detectors/B/reset", json={"by": "Ada", "reason": "a lens was changed"})
        ended = monitor.get("/api/history").json()["alarms"]
        assert [one["stream"] for one in ended] == [one["stream"] for one in standing]
        assert all(one["until"] >= one["since"] for one in ended)
        more = [kit.observation(100 + i, "B", at=90.0, reference=first) for i in range(30)]
        monitor.post("/observations", json=kit.wire(more))
        kit.promote(tmp_path, 2)
        kit.eventually(lambda: monitor.get("/api/state").json()["champion"]["version"] == "2")
        kit.eventually(lambda: all(one["until"] for one in monitor.get("/api/history").json()["alarms"]))
        assert len(monitor.get("/api/history").json()["alarms"]) == 2 * len(standing)


def test_the_page_shows_the_past_and_lets_no_text_become_markup(tmp_path: Path, ledger: SqlLedger) -> None:
    kit.promote(tmp_path, 1)
    with client(tmp_path) as monitor:
        page = monitor.get("/").text
    assert "0.930" in page
    assert "answers now" in page
    assert "&lt;b&gt;odd cups&lt;/b&gt;" in page
    assert "<b>odd" not in page


def test_without_its_ledger_the_monitor_goes_on_and_says_so(tmp_path: Path) -> None:
    kit.promote(tmp_path, 1)
    (tmp_path / "parfocal.db").write_text("this is no database, and never was one")
    with client(tmp_path) as monitor:
        said = monitor.get("/api/history").json()
        assert said["champions"] == []
        assert said["trouble"]
        assert "The ledger cannot be read" in monitor.get("/").text


def test_the_time_line_puts_every_event_between_its_edges() -> None:
    past = {
        "champions": [{"since": 100.0, "version": "1"}, {"since": 180.0, "version": "2"}],
        "alarms": [{"instrument": "B", "stream": "framing", "since": 120.0, "until": None}],
        "retrains": [{"instrument": "B", "since": 130.0, "until": 170.0}],
    }
    line = time_line(past, now=200.0)
    assert line is not None
    (lane,) = line.lanes
    alarm, retrain = lane.bars
    left, takeover = line.champions[0][0], line.champions[1][0]
    assert alarm.x + alarm.width == pytest.approx(left + (takeover - left) / 0.8, abs=0.2)
    assert alarm.x < retrain.x < retrain.x + retrain.width < takeover
    assert time_line({"champions": [], "alarms": [], "retrains": []}, now=1.0) is None
