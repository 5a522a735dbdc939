"""The machine's clock is set while the monitor runs: nothing is forgotten too early, nothing waits for ever."""

import time
from pathlib import Path

import pytest
from monitor_kit import eventually, observation, promote, wire
from parfocal_serving.monitor import service
from parfocal_serving.monitor.clock import DAY, Steady
from parfocal_serving.monitor.settings import MonitorSettings
from sqlalchemy import text

YEAR = 365 * DAY


class Clocks:
    def __init__(self) -> None:
        self.wall, self.count = 1_700_000_000.0, 50.0

    def passes(self, seconds: float) -> None:
        self.wall += seconds
        self.count += seconds

    def steady(self) -> Steady:
        return Steady(lambda: self.wall, lambda: self.count)


def test_a_clock_is_believed_after_a_day_and_anew_after_it_was_set() -> None:
    for step in (2 * YEAR, -2 * YEAR, 3600.0):
        clocks = Clocks()
        steady = clocks.steady()
        assert not steady.for_a_day()
        clocks.passes(DAY)
        assert steady.for_a_day()
        clocks.wall += step
        assert not steady.for_a_day(), "at once, before anything is forgotten"
        clocks.passes(DAY - 1)
        assert not steady.for_a_day()
        clocks.passes(1)
        assert steady.for_a_day()


def test_corrections_of_seconds_are_no_step() -> None:
    clocks = Clocks()
    steady = clocks.steady()
    for _ in range(24):
        clocks.passes(3600)
        clocks.wall += 1
        steady.for_a_day()
    assert steady.for_a_day()


def test_a_monitor_that_was_only_restarted_need_not_wait() -> None:
    for age, believed in ((60.0, True), (-60.0, True), (2 * DAY, False), (-3600.0, False)):
        clocks = Clocks()
        steady = clocks.steady()
        steady.credit(clocks.wall - age)
        assert steady.for_a_day() is believed, age
    fresh = Clocks().steady()
    fresh.credit(None)
    assert not fresh.for_a_day()


def test_a_clock_that_jumps_ahead_while_the_monitor_runs_has_nothing_forgotten_for_a_day(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(service, "LOOK_SECONDS", 0.01)
    monkeypatch.setattr(service, "PRUNE_SECONDS", 0.0)
    id_ = promote(tmp_path)
    settings = MonitorSettings(state=tmp_path, token="", database_url="")
    monitor, clocks = service.Service(settings), Clocks()
    monitor._store._clock = lambda: clocks.wall
    monitor._steady = clocks.steady()
    clocks.passes(DAY)
    assert monitor._steady.for_a_day()
    monitor.start()
    try:
        monitor.receive(wire([observation(i, reference=id_) for i in range(10)])["observations"])
        clocks.wall += 2 * YEAR
        time.sleep(0.3)
        assert rows(monitor) == 10
        clocks.passes(DAY)
        eventually(lambda: rows(monitor) == 0)
    finally:
        monitor.stop()


def rows(monitor: service.Service) -> int:
    with monitor._database.read() as connection:
        return int(connection.execute(text("SELECT count(*) FROM monitor_observations")).scalar() or 0)
