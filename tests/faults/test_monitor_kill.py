"""kill -9 on the monitor, in a stream and between a decision and its launch: nothing is lost or doubled."""

import threading
import time
from pathlib import Path

import httpx
import pytest
from monitor_kit import ALERT, Process, eventually, hand_in, observation, promote, ran, retrain, running, stream

from parfocal.core.types import Observation
from parfocal.drift import reference
from parfocal.drift.cusum import State, advance, normal_scores

BATCH, NUMBER = 20, 1200


def posts(id_: str) -> list[list[Observation]]:
    seen = [observation(i, at=0.75, reference=id_) for i in range(NUMBER)]
    return [seen[i : i + BATCH] for i in range(0, NUMBER, BATCH)]


def test_a_stream_that_was_killed_and_sent_again_ends_where_an_uninterrupted_one_does(tmp_path: Path) -> None:
    id_ = promote(tmp_path)
    batches = posts(id_)
    killed = 0
    answered = 0
    with Process(tmp_path) as process:
        for answers in (1, 2, 4):
            process.start()
            try:
                for number, batch in enumerate(batches):  # an outbox goes on at the first that was not answered
                    if number == answers:
                        threading.Timer(0.002, process.child.kill).start()  # in the middle of a later one
                    process.send(batch)
                    answered += 1
            except httpx.TransportError:
                killed += 1
            process.child.wait(120)
            process.client.close()
    assert killed == 3, "each was killed before the stream was over"
    assert answered > 0
    with running(tmp_path) as last:
        counts = [last.send(batch) for batch in batches]
        state = last.get()
    assert 0 < sum(count["accepted"] for count in counts) < NUMBER
    assert sum(count["accepted"] + count["duplicates"] for count in counts) == NUMBER
    scorer = reference.read(tmp_path / "serving/fundus/bundles/bundle1/reference.npz").scorer("A", "appearance")
    z = normal_scores(scorer.p_values([one for batch in batches for one in batch]))
    wanted, _ = advance(State(), z, threshold=scorer.threshold.h, k=0.5)
    found = stream(state, "A")
    assert (state["observations"], found["observations"]) == (NUMBER, NUMBER)
    assert found["statistic"] == pytest.approx(wanted.statistic, rel=1e-9)
    assert found["alarm_at"] == wanted.alarm_at is not None


DIE = "lambda *args, **more: os.kill(os.getpid(), signal.SIGKILL)"
PATCH = "import os, signal\nfrom parfocal_serving.monitor.{module} import {name} as it\n"
POINTS = {
    "before the decision": PATCH.format(module="trigger", name="Trigger") + f"it._decide = {DIE}",
    "before the experience is closed": PATCH.format(module="cases", name="CaseStore") + f"it.close = {DIE}",
    "before the launch": PATCH.format(module="runs", name="LocalLauncher") + f"it.launch = {DIE}",
    "before the launch is written down": PATCH.format(module="runs", name="Runs") + f"it._change = {DIE}",
}


@pytest.fixture(scope="module")
def pipeline(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return retrain(tmp_path_factory.mktemp("compiled"))


@pytest.mark.parametrize("point", POINTS)
def test_a_monitor_killed_between_decision_and_launch_leaves_exactly_one_run(
    tmp_path: Path, pipeline: Path, point: str
) -> None:
    id_ = promote(tmp_path)
    with Process(tmp_path, PARFOCAL_PIPELINE=str(pipeline), PARFOCAL_TRIGGER='{"minimum_cases": 50}') as process:
        process.start()
        process.send([observation(i, "B", at=20.0, reference=id_) for i in range(40)])
        for number in (1, 2):
            assert hand_in(process.client, number).status_code == 201
        process.stop()
        process.environment["PARFOCAL_TRIGGER"] = '{"minimum_cases": 2, "minimum_test": 1}'
        process.prelude = POINTS[point]
        process.launch()
        assert process.child.wait(120) == -9, "it looks at the alarm that stands as soon as it is there"
        process.prelude = ""
        process.start()
        (run,) = eventually(lambda: [run for run in process.get()["runs"] if run["ended"]])
        assert hand_in(process.client, 3).status_code == 201
        process.client.post("/alerts", json=ALERT)
        time.sleep(0.5)
        assert len(process.get()["runs"]) == 1
    assert (run["state"], run["outcome"], run["error"]) == ("succeeded", "promote", "")
    key = f"fundus-B-v1-{id_[:12]}"
    assert [line.split()[0] for line in ran(tmp_path)] == [key]
    assert [folder.name for folder in (tmp_path / "experiences/fundus/B").iterdir()] == ["1"]
    assert [folder.name for folder in (tmp_path / "runs").iterdir()] == [key]


def test_a_run_goes_on_without_the_monitor_and_is_followed_by_the_next_one(tmp_path: Path, pipeline: Path) -> None:
    id_ = promote(tmp_path)
    (tmp_path / "hold").touch()
    trigger = '{"minimum_cases": 2, "minimum_test": 1}'
    environment = {"PARFOCAL_TRIGGER": trigger, "PARFOCAL_TRIGGER_PATH": "monitor"}
    with Process(tmp_path, PARFOCAL_PIPELINE=str(pipeline), **environment) as process:
        process.start()
        for number in (1, 2):
            hand_in(process.client, number)
        process.send([observation(i, "B", at=20.0, reference=id_) for i in range(40)])
        eventually(lambda: ran(tmp_path))
        process.kill()
        process.start()
        eventually(lambda: [run["state"] for run in process.get()["runs"]] == ["running"])
        (tmp_path / "hold").unlink()
        (run,) = eventually(lambda: [run for run in process.get()["runs"] if run["ended"]])
    assert run["outcome"] == "promote"
    assert len(ran(tmp_path)) == 1
