"""Alertmanager's webhook as it really calls: whatever it says, it wakes the trigger, and the database decides."""

import copy
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from monitor_kit import eventually, hand_in, observation, promote, ran, retrain, wire
from parfocal_serving.monitor.app import ALERTS_BYTES, build
from parfocal_serving.monitor.settings import MonitorSettings
from security_kit import bearer, token
from starlette.testclient import TestClient

FIRING: dict[str, Any] = {
    "receiver": "parfocal",
    "status": "firing",
    "alerts": [
        {
            "status": "firing",
            "labels": {
                "alertname": "ParfocalDrift", "instance": "127.0.0.1:8081", "instrument": "B", "job": "monitor",
                "severity": "warning", "stream": "appearance", "task": "fundus",
            },
            "annotations": {"summary": "appearance of B has drifted"},
            "startsAt": "2026-11-21T14:03:11.482Z",
            "endsAt": "0001-01-01T00:00:00Z",
            "generatorURL": "http://host:9090/graph?g0.expr=parfocal_drift_alarm+%3D%3D+1&g0.tab=1",
            "fingerprint": "0f8c4dd9a5a1c0c4",
        }
    ],
    "groupLabels": {"alertname": "ParfocalDrift"},
    "commonLabels": {"alertname": "ParfocalDrift", "task": "fundus"},
    "commonAnnotations": {},
    "externalURL": "http://host:9093",
    "version": "4",
    "groupKey": '{}/{task="fundus"}:{alertname="ParfocalDrift"}',
    "truncatedAlerts": 0,
}  # fmt: skip
"""As Alertmanager 0.25 sends it (docs: configuration, webhook_config)."""


def changed(**more: Any) -> dict[str, Any]:
    return {**copy.deepcopy(FIRING), **more}


def resolved() -> dict[str, Any]:
    said = changed(status="resolved")
    said["alerts"][0] |= {"status": "resolved", "endsAt": "2026-11-21T13:00:00Z"}  # before it began
    return said


def grouped(number: int, **more: Any) -> dict[str, Any]:
    said = changed(**more)
    alerts = [copy.deepcopy(said["alerts"][0]) for _ in range(number)]
    for place, alert in enumerate(alerts):
        alert["labels"]["instrument"] = f"N{place}"
        alert["fingerprint"] = f"{place:016x}"
    return {**said, "alerts": alerts}


@pytest.fixture(scope="module")
def pipeline(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return retrain(tmp_path_factory.mktemp("compiled"))


@pytest.fixture
def monitor(tmp_path: Path, pipeline: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[TestClient]:
    monkeypatch.setenv("PARFOCAL_STATE", str(tmp_path))
    trigger = {"minimum_cases": 2, "minimum_test": 1, "cooldown_hours": 0}
    settings = MonitorSettings(state=tmp_path, token="s3cret", database_url="", pipeline=str(pipeline), trigger=trigger)
    word = token(tmp_path, "kit", "observe", "annotate")
    with TestClient(build(settings), headers=bearer(word)) as client:
        yield client


def times(monitor: TestClient) -> int:
    return sum(one["times"] for one in monitor.get("/api/state").json()["decisions"])


def test_whatever_it_says_and_in_whatever_order_one_alarm_has_one_retrain(monitor: TestClient, tmp_path: Path) -> None:
    id_ = promote(tmp_path)
    eventually(lambda: monitor.get("/api/state").json()["champion"])
    monitor.post("/observations", json=wire([observation(i, "B", at=20.0, reference=id_) for i in range(40)]))
    for said in (resolved(), FIRING):  # resolved overtakes firing; neither has labels to start with
        before = times(monitor)
        assert monitor.post("/alerts", json=said).status_code == 202
        eventually(lambda before=before: times(monitor) > before)
    for number in (1, 2):
        assert hand_in(monitor, number).status_code == 201
    eventually(lambda: ran(tmp_path))
    payloads = [
        FIRING, FIRING, resolved(), grouped(300), changed(truncatedAlerts=12), changed(version="5"),
        changed(version=4), changed(alerts=[]), {"alerts": [{"labels": None}, 7, "x"]}, changed(receiver="ü" * 1000),
    ]  # fmt: skip
    for said in payloads:
        assert monitor.post("/alerts", json=said).status_code == 202, said
    eventually(lambda: monitor.get("/api/state").json()["runs"][0]["ended"])
    state = monitor.get("/api/state").json()
    assert [run["key"] for run in state["runs"]] == [f"fundus-B-v1-{id_[:12]}"]
    assert len(ran(tmp_path)) == 1
    assert {one["instrument"] for one in state["decisions"]} == {"B"}, "no label of an alert is believed"
    assert f"parfocal_alerts_received_total {len(payloads) + 2}.0" in monitor.get("/metrics").text


def test_a_call_that_is_none_is_refused_and_wakes_nobody(monitor: TestClient, tmp_path: Path) -> None:
    id_ = promote(tmp_path)
    monitor.post("/observations", json=wire([observation(1, "B", at=20.0, reference=id_)]))
    huge = json.dumps(grouped(1, commonAnnotations={"x": "x" * ALERTS_BYTES}))
    deep = b'{"alerts":' + b"[" * 200_000
    calls = [
        (401, {"json": FIRING, "headers": {"Authorization": ""}}),
        (401, {"json": FIRING, "headers": {"Authorization": "Bearer wrong"}}),
        (401, {"json": FIRING, "headers": {"Authorization": "Basic s3cret"}}),
        (413, {"content": huge}),
        (400, {"content": deep}),
        (400, {"content": b"\xff\xfe"}),
        (400, {"json": []}),
        (400, {"json": {"version": "4"}}),
        (400, {"json": changed(alerts={"0": {}})}),
    ]
    for status, call in calls:
        assert monitor.post("/alerts", **call).status_code == status, call  # type: ignore[arg-type]
    assert times(monitor) == 0
    assert "parfocal_alerts_received_total 0.0" in monitor.get("/metrics").text
