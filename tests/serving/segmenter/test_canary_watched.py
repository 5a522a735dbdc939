"""What a canary answers moves the detectors of the reference it was answered under, and no others."""

import shutil
from pathlib import Path

import pytest
from monitor_kit import instrument, observation, promote, stream, wire
from parfocal_serving.monitor.app import build
from parfocal_serving.monitor.settings import MonitorSettings
from starlette.testclient import TestClient

from parfocal.drift import reference
from parfocal.drift.cusum import State, advance, normal_scores


def test_the_champions_detectors_do_not_see_what_a_canary_answered(tmp_path: Path) -> None:
    champion, challenger = promote(tmp_path), promote(tmp_path / "elsewhere", 2)
    bundle = Path("serving", "fundus", "bundles", "bundle2")
    shutil.copytree(tmp_path / "elsewhere" / bundle, tmp_path / bundle)  # fetched, and not champion
    good = [observation(i, at=0.4, reference=champion) for i in range(90)]
    bad = [observation(500 + i, at=9.0, reference=challenger, model_version="2") for i in range(90)]
    unmeasured = [observation(900 + i, reference="", model_version="2") for i in range(5)]
    settings = MonitorSettings(state=tmp_path, open=True, database_url=f"sqlite:///{tmp_path / 'monitor.db'}")
    with TestClient(build(settings), base_url="http://127.0.0.1:8081", client=("127.0.0.1", 1)) as monitor:
        for start in range(0, 90, 30):
            both = [one for pair in zip(good, bad, strict=True) for one in pair][2 * start : 2 * start + 60]
            assert monitor.post("/observations", json=wire(both)).json()["accepted"] == 60
        monitor.post("/observations", json=wire(unmeasured))
        state = monitor.get("/api/state").json()
    scorer = reference.read(tmp_path / "serving/fundus/bundles/bundle1/reference.npz").scorer("A", "appearance")
    alone = advance(State(), normal_scores(scorer.p_values(good)), threshold=scorer.threshold.h, k=0.5)[0]
    assert stream(state, "A")["observations"] == 90
    assert stream(state, "A")["statistic"] == pytest.approx(alone.statistic)
    assert stream(state, "A")["alarm"] is (alone.alarm_at is not None)
    assert instrument(state, "A")["observations"] == 185, "they are kept and counted all the same"
