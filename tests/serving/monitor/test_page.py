"""The page says what a person can use: no figure that nobody could have counted, no interval that is not there."""

import re
from collections.abc import Sequence
from typing import Any

import pytest
from parfocal_serving.monitor.page import Page, _moment

PAST = {"alarms": [], "retrains": [], "champions": [], "trouble": "", "matrices": [], "others": []}
STREAM = {
    "name": "known", "epoch": "r", "statistic": 1.0, "threshold": 2.0, "reason": "", "calibration_size": 21,
    "observations": 3, "alarm": False, "alarm_at": None, "alarm_time": None, "history": [[1, 0.5]],
}  # fmt: skip


def watched(name: str, **stream: Any) -> dict[str, Any]:
    return {
        "name": name, "known": True, "observations": 3, "assigned": 0, "last_seen": None, "labelled": 0,
        "predicted_dice": {}, "streams": [{**STREAM, **stream}],
    }  # fmt: skip


def rendered(*instruments: dict[str, Any], runs: Sequence[dict[str, Any]] = (), **past: Any) -> str:
    state = {
        "task": "fundus", "champion": None, "instruments": instruments, "candidates": [], "decisions": [], "runs": runs,
        "trigger": {"path": "monitor", "mode": "label", "dry_run": True, "minimum_cases": 30},
        "observations": 3, "duplicates": 0, "rejected": 0, "unscored": 0,
    }  # fmt: skip
    return Page().render(state, PAST | past, nonce="n", now=100.0, folder="/srv/state")


def told(**run_length: Any) -> str:
    """What the page says of how often a stream alarms by chance."""
    return next(iter(re.findall(r"One false alarm in [^<]*", rendered(watched("A", **run_length)))), "").strip()


RUN = {
    "key": "k1", "decided": 10.0, "ended": 50.0, "instrument": "B", "number": 1, "state": "succeeded", "error": "",
    "outcome": "inconclusive",
}  # fmt: skip
REIGN = {"until": None, "how": "approval", "evidence": "", "checksum": "c"}
FIRST = {**REIGN, "version": "1", "since": 5.0, "by": "gate", "reason": "all met"}
SECOND = {**REIGN, "version": "2", "since": 99.0, "by": "Ada", "reason": "outlines looked at"}


def test_what_the_gate_could_not_say_is_asked_of_a_person_until_somebody_has_answered() -> None:
    command = "PARFOCAL_STATE=/srv/state parfocal pipeline approve k1"
    assert command in rendered(runs=[RUN], champions=[FIRST])
    after = rendered(runs=[RUN], champions=[SECOND, FIRST])
    assert command not in after
    assert "version 2 took over afterwards, by Ada: outlines looked at" in after
    assert command not in rendered(runs=[{**RUN, "outcome": "refuse"}], champions=[FIRST])


def test_a_champion_of_just_now_has_its_name_inside_the_time_line() -> None:
    page = rendered(champions=[SECOND, FIRST])
    places = re.findall(r'<text x="([\d.]+)" y="11"( text-anchor="end")?>version (\d)', page)
    assert [(version, bool(end)) for _, end, version in places] == [("2", True), ("1", False)]


def test_times_are_shown_alike_whether_seconds_or_written_out() -> None:
    assert _moment("2026-11-22T02:10:50.548+00:00") == _moment(1795313450.0) == "2026-11-22 02:10:50"
    assert (_moment(""), _moment("soon"), _moment(None)) == ("–", "soon", "–")


def test_an_instrument_in_alarm_comes_before_those_that_are_quiet() -> None:
    fine = {"arl0": None, "arl0_low": None, "arl0_high": None}
    alarm = {"alarm": True, "alarm_at": 2, "alarm_time": 1.0}
    page = rendered(watched("A", **fine), watched("B", **fine), watched("C", **fine, **alarm))
    assert re.findall(r"<h3>(\w)</h3>", page) == ["C", "A", "B"]


@pytest.mark.parametrize(
    ("low", "high", "says"),
    [
        (1200.4, 90_000.0, "1,200 to 90,000"),
        (41.0, 1_714_127_032_584.0, "41 to more than 1,000,000"),
        (3e6, 4e9, "more than 1,000,000"),
        (41.0, None, "41 or more"),
    ],
)
def test_a_mean_run_length_has_the_interval_that_it_has(low: float | None, high: float | None, says: str) -> None:
    assert told(arl0=5000.0, arl0_low=low, arl0_high=high) == (
        f"One false alarm in 5,000 cases, by the luck of the reference's 21 held-out cases {says} (5–95 %)."
    )


def test_nobody_has_counted_to_a_billion_and_what_is_not_known_is_not_said() -> None:
    assert told(arl0=5000.0, arl0_low=None, arl0_high=None) == "One false alarm in 5,000 cases."
    assert told(arl0=2e12, arl0_low=None, arl0_high=None) == "One false alarm in more than 1,000,000 cases."
    assert told(arl0=None, arl0_low=None, arl0_high=None) == ""
