"""PostgreSQL crashes and comes back in the middle of a burst: what a segmenter accepted is stored, each once."""

import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from monitor_kit import Process, eventually, observation, promote, running, stream
from parfocal_serving.segmenter import sender
from parfocal_serving.segmenter.outbox import Outbox
from parfocal_serving.segmenter.sender import Monitor, Sender
from postgres_kit import Cluster

from parfocal.drift import reference
from parfocal.drift.cusum import State, advance, normal_scores

NUMBER = 1500
PART = 500
"""Of them in each third of the burst; a third begins when the one before it is half carried, as a crash comes."""


@pytest.fixture
def server() -> Iterator[Cluster]:
    made = Cluster()
    yield made
    made.remove()


def test_a_burst_over_a_crash_of_the_database_ends_where_an_uninterrupted_one_does(
    tmp_path: Path, server: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sender, "LARGEST", 20)
    monkeypatch.setattr(sender, "LONGEST", 0.5)
    id_ = promote(tmp_path)
    seen = [observation(i, at=0.5, reference=id_) for i in range(NUMBER)]
    outbox = Outbox(tmp_path / "outbox", 10_000)
    counted: list[int] = []
    with running(tmp_path, PARFOCAL_DATABASE_URL=server.database()) as monitor:
        carries = Sender(outbox, Monitor(monitor.address, ""), sent=counted.append, refused=counted.append)
        carries._size = 20
        carries.start()
        parts = threading.Semaphore(1)
        burst = threading.Thread(target=_burst, args=(outbox, seen, parts))
        burst.start()
        for crash in range(2):
            eventually(lambda crash=crash: sum(counted) > crash * PART + PART // 2)
            parts.release()
            server.stop(now=True)
            time.sleep(0.3)
            assert carries.trouble or crash or sum(counted) < NUMBER
            server.start()
        burst.join()
        eventually(lambda: outbox.slot is not None and outbox.slot.pending == 0)
        carries.stop()
        eventually(lambda: _ready(monitor))
        state = monitor.get()
    scorer = reference.read(tmp_path / "serving/fundus/bundles/bundle1/reference.npz").scorer("A", "appearance")
    wanted, _ = advance(State(), normal_scores(scorer.p_values(seen)), threshold=scorer.threshold.h, k=0.5)
    found = stream(state, "A")
    assert (state["observations"], found["observations"]) == (NUMBER, NUMBER)
    assert found["statistic"] == pytest.approx(wanted.statistic, rel=1e-9)
    assert found["alarm_at"] == wanted.alarm_at


def _burst(outbox: Outbox, seen: list, parts: threading.Semaphore) -> None:
    for number, one in enumerate(seen):
        if number % PART == 0:
            parts.acquire()
        assert outbox.append(replace(one))
        time.sleep(0.002)


def _ready(monitor: Process) -> bool:
    return monitor.client.get("/readyz").status_code == 200
