"""The same alert three times, late, and after it is resolved: one retrain."""

import copy
import time
from pathlib import Path
from typing import Any

from monitor_kit import ALERT, Process, eventually, hand_in, observation, promote, ran, retrain, running

KEY = "s3cret"


def alert(process: Process, status: str = "firing") -> None:
    said: dict[str, Any] = copy.deepcopy(ALERT)
    said["status"] = said["alerts"][0]["status"] = status
    before = len(process.get()["decisions"]), sum(one["times"] for one in process.get()["decisions"])
    assert process.client.post("/alerts", json=said).status_code == 202
    eventually(lambda: sum(one["times"] for one in process.get()["decisions"]) > before[1])


def test_an_alert_repeated_late_and_after_its_end_starts_one_retrain(tmp_path: Path) -> None:
    id_ = promote(tmp_path)
    (tmp_path / "hold").touch()
    trigger = '{"minimum_cases": 2, "minimum_test": 1, "cooldown_hours": 0}'
    with running(
        tmp_path, PARFOCAL_TOKEN=KEY, PARFOCAL_PIPELINE=str(retrain(tmp_path)), PARFOCAL_TRIGGER=trigger
    ) as process:
        process.send([observation(i, "B", at=20.0, reference=id_) for i in range(40)])
        alert(process)
        for number in (1, 2, 3, 4):
            hand_in(process.client, number)
        eventually(lambda: ran(tmp_path))
        for number in (5, 6, 7, 8):
            hand_in(process.client, number)
        for _ in range(3):
            alert(process)
        (tmp_path / "hold").unlink()
        eventually(lambda: process.get()["runs"][0]["ended"])
        alert(process)
        alert(process, "resolved")
        promote(tmp_path, 2)
        eventually(lambda: process.get()["champion"]["version"] == "2")
        alert(process)
        time.sleep(0.5)
        state = process.get()
    assert [(run["key"], run["state"], run["outcome"]) for run in state["runs"]] == [
        (f"fundus-B-v1-{id_[:12]}", "succeeded", "promote")
    ]
    assert len(ran(tmp_path)) == 1
    assert {one["action"] for one in state["decisions"]} == {"label", "start", "none"}
    assert len(list((tmp_path / "experiences/fundus/B").iterdir())) == 1
