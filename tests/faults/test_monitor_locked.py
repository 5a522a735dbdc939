"""Somebody else holds the database for long: a POST is refused in time to be sent again, and nothing else waits."""

import threading
import time
from pathlib import Path

import pytest
from monitor_kit import SHIPPED, observation, promote, stream, wire
from parfocal_serving.monitor import database
from parfocal_serving.monitor.app import build
from parfocal_serving.monitor.settings import MonitorSettings
from postgres_kit import BOTH
from sqlalchemy import create_engine, event, text
from starlette.testclient import TestClient


@BOTH
def test_a_post_that_waits_too_long_is_refused_whole_and_taken_once_when_the_lock_is_gone(
    tmp_path: Path, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert SHIPPED < 10, "a segmenter gives up after ten seconds"
    monkeypatch.setattr(database, "BUSY_SECONDS", 2.0)
    id_ = promote(tmp_path)
    settings = MonitorSettings(state=tmp_path, token="", open=True, database_url=database_url)
    seen = [observation(i, at=0.5, reference=id_) for i in range(20)]
    engine = create_engine(database_url)
    if engine.dialect.name == "sqlite":
        event.listen(engine, "begin", lambda connection: connection.exec_driver_sql("BEGIN IMMEDIATE"))
    with TestClient(build(settings), base_url="http://127.0.0.1:8081", client=("127.0.0.1", 1)) as monitor:
        assert monitor.post("/observations", json=wire(seen[:10])).json()["accepted"] == 10
        with engine.begin() as held:
            if engine.dialect.name == "postgresql":
                held.execute(text(f"SELECT pg_advisory_xact_lock({database.POSTGRES_LOCK})"))
            answers: list[int] = []
            posts = [
                threading.Thread(
                    target=lambda: answers.append(monitor.post("/observations", json=wire(seen[10:])).status_code)
                )
                for _ in range(3)
            ]
            began = time.monotonic()
            for post in posts:
                post.start()
            state = monitor.get("/api/state").json()
            assert state["observations"] == 10
            for post in posts:
                post.join()
            assert answers == [503] * 3
            assert time.monotonic() - began < 25, "it does not wait as long as a driver would"
        assert monitor.post("/observations", json=wire(seen)).json() == {
            "accepted": 10, "duplicates": 10, "rejected": []
        }  # fmt: skip
        state = monitor.get("/api/state").json()
        assert (state["observations"], stream(state, "A")["observations"]) == (20, 20)
    engine.dispose()
