"""Two monitors on one database, and the one that leads is killed: the other goes on, and nothing is doubled."""

from pathlib import Path

import httpx
from monitor_kit import ALERT, Process, eventually, hand_in, observation, promote, ran, retrain, stream
from postgres_kit import BOTH

TRIGGER = '{"minimum_cases": 2, "minimum_test": 1}'


@BOTH
def test_the_one_that_waits_takes_over_within_seconds_of_a_kill(tmp_path: Path, database_url: str) -> None:
    id_ = promote(tmp_path)
    (tmp_path / "hold").touch()
    seen = [observation(i, "B", at=20.0, reference=id_) for i in range(60)]
    environment = {
        "PARFOCAL_DATABASE_URL": database_url, "PARFOCAL_TRIGGER": TRIGGER,
        "PARFOCAL_PIPELINE": str(retrain(tmp_path)),
    }  # fmt: skip
    with Process(tmp_path, **environment) as first, Process(tmp_path, **environment) as second:
        first.start()
        second.launch()
        refused = eventually(lambda: _refusal(second), 120)
        assert f"process {first.child.pid}" in refused, "a person is told whom to ask"
        first.send(seen[:40])
        for number in (1, 2):
            assert hand_in(first.client, number).status_code == 201
        first.client.post("/alerts", json=ALERT)
        eventually(lambda: ran(tmp_path))
        assert second.client.post("/alerts", json=ALERT).status_code == 503
        first.kill()
        eventually(lambda: second.client.get("/readyz").status_code == 200)
        counts = second.send(seen)
        assert (counts["accepted"], counts["duplicates"]) == (20, 40)
        second.client.post("/alerts", json=ALERT)
        (tmp_path / "hold").unlink()
        (run,) = eventually(lambda: [run for run in second.get()["runs"] if run["ended"]])
        state = second.get()
    assert run["outcome"] == "promote"
    assert len(ran(tmp_path)) == 1
    assert stream(state, "B")["observations"] == state["observations"] == 60


def _refusal(process: Process) -> str:
    assert process.child.poll() is None, process.log.read_text()
    try:
        answer = process.client.post("/observations", json={"observations": []}, timeout=5)
    except httpx.TransportError:
        return ""
    assert answer.status_code == 503
    return str(answer.json()["error"]["what"])
