"""The machine's clock is set while the monitor runs: nothing is forgotten too early, nothing waits for ever."""

import time
from pathlib import Path

import pytest
from clock_kit import Clocks
from monitor_kit import eventually, observation, promote, wire
from parfocal_serving.monitor import service
from parfocal_serving.monitor.settings import MonitorSettings
from sqlalchemy import text

from parfocal.core.clock import DAY

YEAR = 365 * DAY


def test_a_clock_that_jumps_ahead_while_the_monitor_runs_has_nothing_forgotten_for_a_day(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(service, "LOOK_SECONDS", 0.01)
    monkeypatch.setattr(service, "PRUNE_SECONDS", 0.0)
    id_ = promote(tmp_path)
    settings = MonitorSettings(state=tmp_path, token="", database_url="")
    monitor, clocks = service.Service(settings), Clocks()
    monitor._store._clock = clocks.wall
    monitor._steady = clocks.steady()
    clocks.passes(DAY)
    assert monitor._steady.now() == clocks.wall()
    monitor.start()
    try:
        monitor.receive(wire([observation(i, reference=id_) for i in range(10)])["observations"])
        clocks.is_set(2 * YEAR)
        time.sleep(0.3)
        assert rows(monitor) == 10
        clocks.passes(DAY)
        eventually(lambda: rows(monitor) == 0)
    finally:
        monitor.stop()


def rows(monitor: service.Service) -> int:
    with monitor._database.read() as connection:
        return int(connection.execute(text("SELECT count(*) FROM monitor_observations")).scalar() or 0)
