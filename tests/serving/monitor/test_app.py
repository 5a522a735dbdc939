import json
import re
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from monitor_kit import ALERT, eventually, files, hand_in, instrument, mask, observation, promote, stream, wire
from parfocal_serving.monitor.app import build
from parfocal_serving.monitor.settings import MonitorSettings
from prometheus_client.parser import text_string_to_metric_families
from starlette.testclient import TestClient

HERE = ("127.0.0.1", 50000)


def client(state: Path, host: tuple[str, int] = HERE, **settings: Any) -> TestClient:
    given = {"token": "", "open": "token" not in settings, "database_url": "", **settings}
    app = build(MonitorSettings(state=state, **given))
    return TestClient(app, base_url="http://127.0.0.1:8081", client=host)


@pytest.fixture
def id_(tmp_path: Path) -> str:
    return promote(tmp_path)


@pytest.fixture
def monitor(tmp_path: Path, id_: str) -> Iterator[TestClient]:
    with client(tmp_path) as made:
        yield made


def metrics(monitor: TestClient) -> dict[tuple[str, ...], float]:
    """(name, label values in the order of their names) to value."""
    return {
        (sample.name, *(value for _, value in sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(monitor.get("/metrics").text)
        for sample in family.samples
    }


def metrics_lines(monitor: TestClient, start: str) -> list[str]:
    return [line for line in monitor.get("/metrics").text.splitlines() if line.startswith(start)]


def test_the_answer_counts_what_is_new_known_and_wrong(monitor: TestClient, id_: str) -> None:
    body = wire([observation(i, reference=id_) for i in range(3)])
    assert monitor.post("/observations", json=body).json() == {"accepted": 3, "duplicates": 0, "rejected": []}
    body["observations"].append({"id": "x"})
    answer = monitor.post("/observations", json=body)
    assert answer.status_code == 200
    assert answer.json()["duplicates"] == 3
    assert [row["id"] for row in answer.json()["rejected"]] == ["x"]


@pytest.mark.parametrize(
    ("content", "status"),
    [(b"{", 400), (b"[]", 400), (b'{"observations": 1}', 400), (b"\xff", 400), (b"[" * 100_000, 400)],
)
def test_a_body_that_says_nothing_is_refused_in_the_four_parts_of_an_error(
    monitor: TestClient, content: bytes, status: int
) -> None:
    answer = monitor.post("/observations", content=content)
    assert answer.status_code == status
    assert set(answer.json()["error"]) == {"what", "where", "expected", "next"}


def test_501_observations_are_too_many(monitor: TestClient) -> None:
    answer = monitor.post("/observations", json={"observations": [{}] * 501})
    assert answer.status_code == 413


def test_the_state_shows_the_stream_its_promise_and_the_champion(monitor: TestClient, id_: str) -> None:
    monitor.post("/observations", json=wire([observation(i, reference=id_) for i in range(20)]))
    monitor.post("/observations", json=wire([observation(i, "B", at=20.0, reference=id_) for i in range(40)]))
    state = monitor.get("/api/state").json()
    assert state["champion"]["reference_id"] == id_
    assert state["trigger"] == {"path": "alertmanager", "mode": "drift", "dry_run": False, "minimum_cases": 30}
    assert (state["task"], state["observations"], state["rejected"]) == ("fundus", 60, 0)
    assert [(i["name"], i["known"], i["observations"]) for i in state["instruments"]] == [
        ("A", True, 20),
        ("B", False, 40),
        ("C", True, 0),
    ]
    found = stream(state, "B")
    assert found["alarm"] is True
    assert 1 <= found["alarm_at"] <= 10
    assert found["epoch"] == id_[:12]
    assert found["arl0_low"] < found["arl0"] == 20_000 < found["arl0_high"]
    assert found["statistic"] > found["threshold"] > 0
    assert found["calibration_size"] >= 200
    assert found["history"][-1] == [40, pytest.approx(found["statistic"], abs=1e-3)]
    assert not stream(state, "A")["alarm"]
    assert instrument(state, "C")["last_seen"] is None


def test_every_metric_is_there_and_says_what_the_state_says(monitor: TestClient, id_: str) -> None:
    monitor.post("/observations", json=wire([observation(i, None, at=20.0, reference=id_) for i in range(40)]))
    monitor.post("/observations", json=wire([observation(0, None, reference=id_), observation(1, reference="other")]))
    monitor.post("/observations", json={"observations": ["nonsense"]})
    assert monitor.post("/alerts", json=ALERT).status_code == 202
    found, state = metrics(monitor), monitor.get("/api/state").json()
    here = ("undeclared", "appearance", "fundus")
    assert found["parfocal_drift_statistic", *here] == pytest.approx(stream(state, "")["statistic"])
    assert found["parfocal_drift_threshold", *here] == pytest.approx(stream(state, "")["threshold"])
    assert found["parfocal_drift_alarm", *here] == 1
    assert found["parfocal_drift_alarm", "undeclared", "framing", "fundus"] == 0
    assert found["parfocal_drift_observations", *here] == 40
    assert found["parfocal_drift_last_observation_timestamp_seconds", "undeclared", "fundus"] == 1_700_000_039
    assert found["parfocal_reference_missing", "A", "fundus"] == 0
    assert found["parfocal_observations_total", "fundus"] == 41
    assert found["parfocal_observations_duplicate_total", "fundus"] == 1
    assert found["parfocal_observations_rejected_total", "fundus"] == 1
    assert found["parfocal_observations_unscored_total", "fundus"] == 1
    assert found["parfocal_alerts_received_total",] == 1


def test_an_instrument_called_undeclared_is_another_series_than_those_without_a_name(
    monitor: TestClient, id_: str
) -> None:
    seen = [observation(1, name, reference=id_) for name in (None, "undeclared", "undeclared (by name)")]
    monitor.post("/observations", json=wire(seen))
    here = [labels for name, *labels in metrics(monitor) if name == "parfocal_reference_missing"]
    assert ["undeclared", "fundus"] in here
    assert len({tuple(labels) for labels in here}) == len(metrics_lines(monitor, "parfocal_reference_missing{")) == 5


def test_decisions_and_runs_become_metrics(monitor: TestClient, id_: str) -> None:
    monitor.post("/observations", json=wire([observation(i, "B", at=20.0, reference=id_) for i in range(40)]))
    monitor.post("/alerts", json=ALERT)

    def the_same() -> bool:  # once or twice: the trigger's first look, at its start, may find the alarm already
        found = metrics(monitor).get(("parfocal_trigger_decisions_total", "label", "fundus"), 0)
        return 0 < found == sum(one["times"] for one in monitor.get("/api/state").json()["decisions"])

    eventually(the_same)
    (decision,) = monitor.get("/api/state").json()["decisions"]
    assert (decision["instrument"], decision["action"]) == ("B", "label")
    assert "30 more" in decision["reason"]


def test_a_champion_without_a_reference_is_said_to_be_unwatched(tmp_path: Path) -> None:
    promote(tmp_path, reference=False)
    with client(tmp_path) as monitor:
        monitor.post("/observations", json=wire([observation(1)]))
        assert metrics(monitor)["parfocal_reference_missing", "A", "fundus"] == 1
        assert "nothing is watched" in monitor.get("/").text
        assert instrument(monitor.get("/api/state").json(), "A")["streams"] == []


def test_a_reference_too_small_to_promise_has_no_threshold_and_says_why(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    promote(tmp_path)
    with client(tmp_path, arl0=1e12) as monitor:
        found = stream(monitor.get("/api/state").json(), "A")
        assert (found["threshold"], found["alarm"]) == (None, False)
        assert "nothing can be promised" in found["reason"]
        assert "nothing can be promised" in monitor.get("/").text
        assert metrics(monitor)["parfocal_drift_threshold", "A", "appearance", "fundus"] == float("inf")


def test_the_page_can_be_read_before_there_is_anything(tmp_path: Path) -> None:
    with client(tmp_path) as monitor:
        page = monitor.get("/")
        assert page.status_code == 200
        assert "There is no champion yet" in page.text
        assert monitor.get("/api/state").json()["champion"] is None


def test_the_page_shows_instruments_statistics_thresholds_alarms_and_reasons(monitor: TestClient, id_: str) -> None:
    strange = "<b>B</b>"
    monitor.post("/observations", json=wire([observation(i, strange, at=20.0, reference=id_) for i in range(40)]))
    monitor.post("/alerts", json=ALERT)
    eventually(lambda: monitor.get("/api/state").json()["decisions"])
    page = monitor.get("/")
    found = stream(monitor.get("/api/state").json(), strange)
    assert strange not in page.text, "a name is text, never markup"
    assert "&lt;b&gt;B&lt;/b&gt;" in page.text
    assert f"statistic {found['statistic']:.2f}" in page.text
    assert f"threshold {found['threshold']:.2f}" in page.text
    assert f"Alarm at observation {found['alarm_at']}" in page.text
    assert "label 30 more" in page.text
    assert page.text.count("<polyline") == 2, "those that have seen something"
    assert not re.findall(r"src=|<link|<iframe|@import|url\(", page.text), "nothing is fetched from anywhere"
    assert set(re.findall(r'href="([^"]*)"', page.text)) == {"annotate"}, "a link to a page of ours"
    policy = page.headers["content-security-policy"]
    (nonce,) = re.findall(r'<script nonce="([^"]+)"', page.text)
    assert f"script-src 'nonce-{nonce}'" in policy


def test_a_case_is_taken_once_and_counted(monitor: TestClient, tmp_path: Path) -> None:
    first = hand_in(monitor, 1)
    assert (first.status_code, first.json()) == (201, {"labelled": 1})
    again = hand_in(monitor, 1)
    assert (again.status_code, again.json()) == (200, {"labelled": 1})
    assert instrument(monitor.get("/api/state").json(), "B")["labelled"] == 1
    assert (tmp_path / "labelled" / "fundus" / "B" / "cases.csv").is_file()


@pytest.mark.parametrize(
    ("change", "fields", "where"),
    [
        ({"disc": mask(size=50)}, {}, "disc"),
        ({"disc": mask()[:20]}, {}, "disc"),
        ({"image": b"nonsense"}, {}, "image"),
        ({"image": b""}, {}, "image"),
        ({}, {"patient": ""}, "patient"),
        ({}, {"grader": ""}, "grader"),
        ({}, {"patent": "p1"}, "patent"),
    ],
)
def test_what_is_no_case_is_answered_with_the_field(
    monitor: TestClient, change: dict[str, bytes], fields: dict[str, str], where: str
) -> None:
    said = {"patient": "p1", "grader": "kit", **fields}
    answer = monitor.post("/cases/fundus/B", files=files(1, **change), data=said)
    assert (answer.status_code, answer.json()["error"]["where"]) == (400, where)


def test_another_task_and_another_images_name_are_told_apart(monitor: TestClient) -> None:
    assert monitor.post("/cases/lung/B", files=files(1), data={"patient": "p"}).status_code == 404
    assert hand_in(monitor, 1, name="one").status_code == 201
    assert hand_in(monitor, 2, name="one").status_code == 409


def test_a_reset_is_signed(monitor: TestClient, id_: str) -> None:
    monitor.post("/observations", json=wire([observation(i, None, at=20.0, reference=id_) for i in range(40)]))
    assert monitor.post("/detectors/undeclared/reset", json={"by": "Ada"}).status_code == 400
    assert stream(monitor.get("/api/state").json(), "")["alarm"]
    for wrong in ({"by": "A\0da"}, {"reason": "\ud800"}, {"by": 5}, {"reason": " "}):
        body = json.dumps({"by": "Ada", "reason": "x", **wrong})
        assert monitor.post("/detectors/undeclared/reset", content=body).status_code == 400, "no database takes it"
    signed = {"by": "Ada", "reason": "a dirty lens"}
    assert monitor.post("/detectors/undeclared/reset", json=signed).json() == {"detectors": 2}
    assert not stream(monitor.get("/api/state").json(), "")["alarm"]
    assert monitor.post("/detectors/nobody/reset", json=signed).status_code == 400
    for what in ("retry", "abandon"):
        assert monitor.post(f"/runs/none/{what}", json=signed).status_code == 400
        assert monitor.post(f"/runs/none/{what}", json={"by": "Ada"}).json()["error"]["where"] == "reason"


def test_with_a_token_everything_that_writes_needs_it_from_anywhere(tmp_path: Path) -> None:
    with client(tmp_path, ("10.1.2.3", 1), token="s3cret") as monitor:
        acts = ("/detectors/B/reset", "/runs/k/retry", "/runs/k/abandon")
        for path in ("/observations", "/alerts", "/cases/fundus/B", *acts, "/nothing"):
            for said in ({}, {"Authorization": "Bearer wrong"}, {"Authorization": "s3cret"}):
                assert monitor.post(path, content=b"{}", headers=said).status_code == 401, path
        good = {"Authorization": "Bearer s3cret"}
        assert monitor.post("/alerts", json=ALERT, headers=good).status_code == 202
        monitor.headers.update(good)
        assert monitor.get("/api/state").json()["observations"] == 0
        assert metrics(monitor)["parfocal_alerts_received_total",] == 1


def test_without_a_token_only_this_machine_is_served(tmp_path: Path) -> None:
    with client(tmp_path, ("10.1.2.3", 1)) as monitor:
        assert {monitor.get(path).status_code for path in ("/", "/api/state", "/metrics")} == {403}
        assert monitor.post("/alerts", json=ALERT).status_code == 403


def test_a_page_from_elsewhere_cannot_write_here(monitor: TestClient) -> None:
    evil = {"Origin": "https://evil.example"}
    assert monitor.post("/alerts", json=ALERT, headers=evil).status_code == 403
    assert monitor.post("/alerts", json=ALERT, headers={"Origin": "http://127.0.0.1:8081"}).status_code == 202


def test_a_foreign_name_that_points_at_this_machine_cannot_write_here(monitor: TestClient) -> None:
    rebound = {"Host": "evil.example:8081", "Origin": "http://evil.example:8081"}
    assert monitor.post("/alerts", json=ALERT, headers=rebound).status_code == 403


def test_a_photograph_of_too_many_pixels_is_too_large(tmp_path: Path) -> None:
    with client(tmp_path, megapixels=0.002) as monitor:
        answer = hand_in(monitor, 1)
        assert (answer.status_code, answer.json()["error"]["where"]) == (413, "image")


def test_a_body_beyond_the_limit_is_not_read(tmp_path: Path) -> None:
    with client(tmp_path, upload_mb=0.001) as monitor:
        assert monitor.post("/observations", content=b"x" * 1001).status_code == 413
        pieces = (b"x" * 100 for _ in range(50))
        assert monitor.post("/observations", content=pieces).status_code == 413, "of a length that is not told"


def test_a_database_that_fails_is_answered_so_that_the_outbox_sends_again(
    monitor: TestClient, tmp_path: Path, id_: str
) -> None:
    body = wire([observation(i, reference=id_) for i in range(3)])
    with sqlite3.connect(tmp_path / "monitor.db") as other:
        other.execute("ALTER TABLE monitor_detectors RENAME TO away")
    answer = monitor.post("/observations", json=body)
    assert answer.status_code == 503
    assert "database" in answer.json()["error"]["what"]
    with sqlite3.connect(tmp_path / "monitor.db") as other:
        other.execute("ALTER TABLE away RENAME TO monitor_detectors")
    assert monitor.post("/observations", json=body).json()["accepted"] == 3


def test_an_alert_that_is_none_wakes_nobody(monitor: TestClient) -> None:
    assert monitor.post("/alerts", json={"hello": 1}).status_code == 400
    assert metrics(monitor)["parfocal_alerts_received_total",] == 0


def test_it_says_when_it_is_ready_and_when_it_is_dead(monitor: TestClient) -> None:
    assert (monitor.get("/livez").status_code, monitor.get("/readyz").status_code) == (200, 200)
    assert monitor.get("/nothing").json()["error"]["what"] == "Not Found"
