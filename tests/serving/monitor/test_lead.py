"""Two monitors on one database: one leads, the other shows, waits and says so."""

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from monitor_kit import ALERT, eventually, files, observation, promote, wire
from parfocal_serving.monitor import service
from parfocal_serving.monitor.app import build
from parfocal_serving.monitor.database import Database, connect
from parfocal_serving.monitor.lead import Lead, NotLeadingError
from parfocal_serving.monitor.settings import MonitorSettings
from postgres_kit import BOTH
from sqlalchemy import create_engine, text
from starlette.testclient import TestClient


@pytest.fixture
def databases(database_url: str) -> Iterator[tuple[Database, Database]]:
    both = connect(database_url), connect(database_url)
    yield both
    for one in both:
        one.close()


@BOTH
def test_one_leads_and_the_next_takes_over_when_it_leaves(databases: tuple[Database, Database]) -> None:
    first, second = (Lead(one, "fundus", lambda: 5.0) for one in databases)
    second.name = "the other"
    assert first.look()
    assert first.look()
    assert not second.look()
    with pytest.raises(NotLeadingError, match=f"another monitor leads fundus: {first.name}"):
        second.demand()
    other_task = Lead(databases[1], "lung")
    assert other_task.look(), "the monitor of another task has a lead of its own"
    other_task.leave()
    first.leave()
    assert second.look()
    assert not first.look()
    with pytest.raises(NotLeadingError, match="the other"):
        first.demand()
    second.demand()
    assert (first.terms, second.terms) == (1, 1)
    second.leave()


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
def test_a_leader_whose_connection_was_cut_knows_it_at_the_next_look(
    databases: tuple[Database, Database], database_url: str
) -> None:
    first, second = (Lead(one, "fundus") for one in databases)
    assert first.look()
    engine = create_engine(database_url)
    with engine.connect() as connection:
        connection.execute(
            text("SELECT pg_terminate_backend(pid, 60000) FROM pg_locks WHERE locktype = 'advisory' AND objsubid = 2")
        )
    engine.dispose()
    assert second.look(), "a lock ends with its connection"
    assert not first.look()
    second.leave()
    assert first.look()
    assert first.terms == 2
    first.leave()


@BOTH
def test_a_monitor_that_waits_refuses_to_write_shows_what_is_there_and_takes_over(
    tmp_path: Path, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(service, "LEAD_SECONDS", 0.0)
    monkeypatch.setattr(service, "LOOK_SECONDS", 0.02)
    id_ = promote(tmp_path)
    settings = MonitorSettings(state=tmp_path, token="", open=True, database_url=database_url)
    seen = [observation(i, "B", at=20.0, reference=id_) for i in range(40)]
    local = {"base_url": "http://127.0.0.1:8081", "client": ("127.0.0.1", 1)}
    first, second = (TestClient(build(settings), **local) for _ in range(2))  # type: ignore[arg-type]
    with ExitStack() as running:
        leading = ExitStack()
        leads = leading.enter_context(first)
        waits = running.enter_context(second)
        assert leads.post("/observations", json=wire(seen[:20])).json()["accepted"] == 20
        signed = {"by": "Ada", "reason": "look"}
        refused = [
            waits.post("/observations", json=wire(seen[20:])),
            waits.post("/alerts", json=ALERT),
            waits.post("/cases/fundus/B", files=files(1), data={"patient": "p", "grader": "g"}),
            waits.post("/detectors/B/reset", json=signed),
            waits.post("/runs/x/retry", json=signed),
            waits.get("/readyz"),
        ]
        assert {answer.status_code for answer in refused} == {503}
        assert all("another monitor leads fundus" in answer.json()["error"]["what"] for answer in refused)
        assert waits.get("/livez").status_code == 200
        assert "parfocal_monitor_leads 0.0" in waits.get("/metrics").text
        state = waits.get("/api/state").json()
        assert (state["leads"], state["observations"]) == (False, 20)
        assert leads.get("/api/state").json()["leads"]
        assert not (tmp_path / "labelled").exists()
        leading.close()
        eventually(lambda: waits.get("/readyz").status_code == 200)
        taken = waits.post("/observations", json=wire(seen)).json()
        assert taken == {"accepted": 20, "duplicates": 20, "rejected": []}
        assert waits.get("/api/state").json()["leads"]
