"""What no test of a clean stream sends: NaN, no reference, a promotion in the middle, a million of one instrument."""

import base64
import gc
import json
import shutil
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
from monitor_kit import WIDTH, eventually, instrument, observation, promote, stream, wire
from parfocal_serving.monitor.app import build
from parfocal_serving.monitor.database import connect
from parfocal_serving.monitor.references import References
from parfocal_serving.monitor.settings import MonitorSettings
from parfocal_serving.monitor.store import Store
from postgres_kit import BOTH
from sqlalchemy import text
from starlette.testclient import TestClient

from parfocal.core.observations import to_json
from parfocal.core.types import Observation
from parfocal.drift import reference
from parfocal.drift.cusum import State, advance, normal_scores

MEGABYTE = 1e6


@pytest.fixture
def monitor(tmp_path: Path, database_url: str) -> Iterator[TestClient]:
    settings = MonitorSettings(state=tmp_path, token="", open=True, database_url=database_url)
    with TestClient(build(settings), base_url="http://127.0.0.1:8081", client=("127.0.0.1", 1)) as client:
        yield client


def expected(state: Path, version: int, seen: list[Observation], of: str) -> State:
    """Where a stream ends that was never disturbed."""
    file = state / f"serving/fundus/bundles/bundle{version}/reference.npz"
    scorer = reference.read(file).scorer(of, "appearance")
    return advance(State(), normal_scores(scorer.p_values(seen)), threshold=scorer.threshold.h, k=0.5)[0]


@BOTH
def test_features_that_are_no_numbers_are_set_aside_alone_and_move_nothing(monitor: TestClient, tmp_path: Path) -> None:
    id_ = promote(tmp_path)
    good = [observation(i, at=0.5, reference=id_) for i in range(30)]
    items = wire(good)["observations"]
    nan = base64.b64encode(np.full(WIDTH, np.nan, "<f4").tobytes()).decode()
    wrong: list[dict[str, Any]] = [
        {**items[0], "id": "n1", "embedding": nan},
        {**items[0], "id": "n2", "shape": {"disc.x": float("nan")}},
        {**items[0], "id": "n3", "acquisition": {"field.area": float("inf")}},
        {**items[0], "id": "n4", "time": float("nan")},
    ]
    body = json.dumps({"observations": [*items[:10], *wrong, *items[10:]]})  # NaN and Infinity, as Python writes them
    answer = monitor.post("/observations", content=body).json()
    assert (answer["accepted"], [one["id"] for one in answer["rejected"]]) == (30, ["n1", "n2", "n3", "n4"])
    state = monitor.get("/api/state").json()
    assert stream(state, "A")["statistic"] == pytest.approx(expected(tmp_path, 1, good, "A").statistic)
    assert stream(state, "A")["observations"] == 30
    assert "parfocal_observations_rejected_total" in monitor.get("/metrics").text


def test_a_case_of_which_nothing_could_be_measured_is_strange_and_finite(monitor: TestClient, tmp_path: Path) -> None:
    id_ = promote(tmp_path)
    empty = [observation(i, reference=id_, embedding=(), shape={"disc.empty": 1.0}) for i in range(30)]
    assert monitor.post("/observations", json=wire(empty)).json()["accepted"] == 30
    found = stream(monitor.get("/api/state").json(), "A")
    assert found["alarm"]
    assert np.isfinite(found["statistic"])


@BOTH
def test_a_model_without_a_reference_is_kept_counted_and_said_to_be_unwatched(
    monitor: TestClient, tmp_path: Path
) -> None:
    promote(tmp_path, reference=False)
    none = [observation(i, model_version="1") for i in range(5)]
    unknown = [observation(10 + i, reference="f" * 64, model_version="0") for i in range(5)]
    assert monitor.post("/observations", json=wire([*none, *unknown])).json()["accepted"] == 10
    state, metrics = monitor.get("/api/state").json(), monitor.get("/metrics").text
    assert (state["observations"], state["unscored"], instrument(state, "A")["streams"]) == (10, 10, [])
    assert 'parfocal_reference_missing{instrument="A",task="fundus"} 1.0' in metrics
    monitor.post("/alerts", json={"version": "4", "alerts": []})
    decisions = eventually(lambda: monitor.get("/api/state").json()["decisions"])
    assert [(one["action"], one["reason"]) for one in decisions] == [("none", "no alarm stands for A")]


@BOTH
def test_a_promotion_in_the_middle_of_a_burst_gives_every_case_to_the_reference_it_was_seen_under(
    monitor: TestClient, tmp_path: Path
) -> None:
    first, second = promote(tmp_path), promote(tmp_path / "elsewhere", 2)
    bundle = Path("serving", "fundus", "bundles", "bundle2")  # fetched here, and not yet champion
    shutil.copytree(tmp_path / "elsewhere" / bundle, tmp_path / bundle)
    before = {name: [observation(i, name, at=0.4, reference=first) for i in range(300)] for name in ("A", "C", "E")}
    after = {name: [observation(900 + i, name, at=0.4, reference=second) for i in range(150)] for name in before}
    half = threading.Barrier(len(before) + 1)

    def send(name: str) -> None:
        for start in range(0, 300, 30):
            if start == 150:
                half.wait(90)
            # Workers follow the new champion one after another, so both references come in one POST.
            mixed = [
                *before[name][start : start + 30],
                *(after[name][start - 150 : start - 120] if start >= 150 else []),
            ]
            assert monitor.post("/observations", json=wire(mixed)).json()["accepted"] == len(mixed)

    threads = [threading.Thread(target=send, args=(name,)) for name in before]
    for thread in threads:
        thread.start()
    half.wait(90)
    promote(tmp_path, 2)
    for thread in threads:
        thread.join(90)
    eventually(lambda: monitor.get("/api/state").json()["champion"]["version"] == "2")
    state = monitor.get("/api/state").json()
    assert state["observations"] == 3 * 450
    for name, seen in after.items():
        assert stream(state, name)["observations"] == 150
        assert stream(state, name)["statistic"] == pytest.approx(expected(tmp_path, 2, seen, name).statistic)


def many(number: int, tmp_path: Path, url: str, growth: float) -> Store:
    """Send so many of one instrument; memory may grow by so many megabytes after the first two thousand."""
    id_ = promote(tmp_path)
    references = References(tmp_path / "serving" / "fundus")
    references.refresh()
    store = Store(connect(url), references, "fundus", lambda: 1_700_000_000.0)
    kinds = [to_json(observation(i, reference=id_)) for i in range(500)]
    process, start = psutil.Process(), 0
    for block in range(number // 500):
        items = [{**one, "id": f"{500 * block + i:x}", "seq": 500 * block + i} for i, one in enumerate(kinds)]
        assert store.receive(items).accepted == 500
        if block == 3:
            gc.collect()
            start = process.memory_info().rss
    gc.collect()
    assert process.memory_info().rss - start < growth * MEGABYTE
    return store


@BOTH
def test_twenty_thousand_of_one_instrument_take_no_more_memory_than_two(tmp_path: Path, database_url: str) -> None:
    _same_as_ever(many(20_000, tmp_path, database_url, 20.0), 20_000)


@pytest.mark.slow
@pytest.mark.timeout(3600)
@BOTH
def test_a_million_of_one_instrument(tmp_path: Path, database_url: str) -> None:
    _same_as_ever(many(1_000_000, tmp_path, database_url, 40.0), 1_000_000)


def _read_whole(store: Store) -> int:
    """Rows that PostgreSQL read because it read the whole table; 0 on SQLite, which never guesses."""
    with store._database.read() as connection:
        if connection.dialect.name == "sqlite":
            return 0
        connection.execute(text("SELECT pg_stat_force_next_flush()"))
    time.sleep(1.1)  # the other connections' own counts come when they are idle
    query = "SELECT coalesce(sum(seq_tup_read), 0) FROM pg_stat_user_tables WHERE relname = 'monitor_observations'"
    with store._database.read() as connection:
        return int(connection.execute(text(query)).scalar() or 0)


def _same_as_ever(store: Store, number: int) -> None:
    began = time.process_time()
    again = store.receive(wire([replace(observation(0), id="0"), observation(7, "new")])["observations"])
    assert (again.accepted, again.duplicates) == (1, 1)
    assert time.process_time() - began < 5
    assert _read_whole(store) <= number, "a writer looks up by an index, whatever the planner knows of the table"
    assert store.prune(1_700_000_000.0) == 0
    assert store.prune(1_700_000_000.0 + 86_400) == number + 1
