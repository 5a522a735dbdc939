"""Retrains on a cluster: what the monitor makes of what a Kubeflow Pipelines API says, and of what it never says."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from kubeflow_kit import LOST, Server, serving
from monitor_kit import promote
from parfocal_serving.monitor import records, told
from parfocal_serving.monitor.cases import CaseStore
from parfocal_serving.monitor.database import connect
from parfocal_serving.monitor.records import RunRecord
from parfocal_serving.monitor.runs import GIVE_UP_SECONDS, LONGEST_SECONDS, Runs

from parfocal.adapters.database import SqlLedger
from parfocal.adapters.kubeflow import KubeflowLauncher, KubeflowSettings
from parfocal.core.errors import OutsideServiceError
from parfocal.promotion.ledger import DECISION, PROMOTION
from parfocal.steps.report_end import RUN_ENDED

ARGUMENTS = {"config": "{}", "experience_uri": "s3://b/1", "champion_uri": "s3://b/2", "idempotency_key": "k"}
TINY = {
    "pipelineInfo": {"name": "parfocal-tiny"},
    "root": {
        "dag": {"tasks": {}},
        "inputDefinitions": {"parameters": {name: {"parameterType": "STRING"} for name in ARGUMENTS}},
    },
    "schemaVersion": "2.1.0",
    "sdkVersion": "kfp-2.17.0",
}


class World:
    """One decided retrain, a Kubeflow to start it at, and a ledger that its steps write into."""

    def __init__(self, state: Path, server: Server) -> None:
        self.now, self.server = 1_700_000_000.0, server
        self.database = connect(f"sqlite:///{state / 'monitor.db'}")
        self.ledger = SqlLedger(f"sqlite:///{state / 'ledger.db'}", clock=lambda: datetime.fromtimestamp(self.now, UTC))
        cases = CaseStore(state, "fundus")
        cases.experience("B", 1).mkdir(parents=True)
        file = state / "pipeline.yaml"
        file.write_text(json.dumps(TINY))
        launcher = KubeflowLauncher(KubeflowSettings(host=server.url, namespace="clinic"))
        self.runs = Runs(self.database, cases, launcher, "fundus", lambda: self.now, ledger=self.ledger)
        with self.database.write() as connection:
            records.begin(connection, RunRecord("k", "fundus", "B", 1, str(file), ARGUMENTS, self.now))

    def carry(self, seconds: float = 0.0) -> tuple[str, str, str]:
        """One step after so much time: the run's state, outcome and error."""
        self.now += seconds
        self.runs.carry()
        (run,) = self.runs.all()
        return run.state, run.outcome, run.error

    def change(self, **values: Any) -> None:
        with self.database.write() as connection:
            records.change(connection, "k", **values)

    def tell(self, state: str, error: str = "", key: str = "k") -> None:
        """What the step `report_end` writes."""
        body = {"pipeline": "parfocal-tiny", "key": key, "state": state, "run": "job", "error": error}
        self.ledger.append(RUN_ENDED, "fundus", f"{key}:{self.now}:{state}", body)

    def judge(self, outcome: str, *, promoted: bool = False) -> None:
        """What the step `promote` writes."""
        self.ledger.append(DECISION, "fundus", f"k@{outcome}", {"key": "k", "outcome": outcome})
        if promoted:
            self.ledger.append(PROMOTION, "fundus", "k", {"version": "2"})


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    monkeypatch.setattr("kfp.Client._LOCAL_KFP_CONTEXT", str(tmp_path / "context.json"))
    promote(tmp_path)
    with serving(multi_user=True) as server:
        made = World(tmp_path, server)
        yield made
        made.database.close()


def test_a_run_that_was_deleted_has_ended_and_says_so(world: World) -> None:
    assert world.carry()[0] == "pending"
    world.server.runs.clear()
    state, _, error = world.carry()
    assert state == "failed"
    assert "somebody deleted it" in error
    world.change(state="decided", ended=None)  # a person starts it again
    assert world.carry()[0] == "pending"
    assert len(world.server.runs) == 1


def test_a_run_that_was_deleted_after_its_end_is_what_it_has_told_the_ledger(world: World) -> None:
    world.tell("failed", "of an earlier attempt")
    world.now += 60
    world.carry()
    world.now += 3600
    world.judge("promote", promoted=True)
    world.tell("succeeded")
    world.server.runs.clear()
    assert world.carry() == ("succeeded", "promote", "")


@pytest.mark.parametrize(
    ("outcome", "promoted", "says"),
    [("promote", True, "promote"), ("promote", False, ""), ("refuse", False, "refuse")],
)
def test_the_gates_word_on_a_run_is_read_from_the_ledger(world: World, outcome: str, promoted: bool, says: str) -> None:
    world.carry()
    world.judge(outcome, promoted=promoted)
    world.server.runs[0].state = "SUCCEEDED"
    assert world.carry() == ("succeeded", says, "")


def test_a_decision_that_came_too_late_counts_as_what_became_of_it(world: World) -> None:
    world.judge("promote")
    world.judge("refuse")
    assert told.of(world.ledger.entries("fundus"), "k", None).outcome == "refuse"


def test_a_run_that_failed_says_what_its_last_step_has_written(world: World) -> None:
    world.carry()
    world.tell("failed", "step retrain: no GPU")
    world.server.runs[0].state = "FAILED"
    assert world.carry(60) == ("failed", "", "step retrain: no GPU")


def test_an_end_is_written_down_when_the_ledger_can_say_what_it_was(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.carry()
    world.judge("refuse")
    world.server.runs[0].state = "SUCCEEDED"
    with monkeypatch.context() as away:
        away.setattr(SqlLedger, "entries", lambda *_: (_ for _ in ()).throw(OutsideServiceError("no ledger")))
        state, _, error = world.carry()
    assert (state, error) == ("pending", "it cannot be followed now: no ledger")
    assert world.carry(6) == ("succeeded", "refuse", "")


@pytest.mark.parametrize(
    ("route", "status", "says"),
    [
        ("upload_version", 403, "version parfocal-tiny-.* of pipeline parfocal-tiny is not at Kubeflow"),
        ("create_run", 400, "create_run says 400"),
        ("list_runs", 404, "list_runs says 404"),
    ],
)
def test_a_launch_that_is_refused_has_failed_and_is_not_tried_again(
    world: World, route: str, status: int, says: str
) -> None:
    world.server.moods[route] = [status]
    state, _, error = world.carry()
    assert state == "failed"
    assert says.split(".*", maxsplit=1)[0] in error
    assert says.rsplit(".*", maxsplit=1)[-1] in error
    assert world.carry(3600)[0] == "failed"
    assert world.server.runs == []


def test_a_busy_kubeflow_is_left_alone_longer_each_time_and_given_up_in_the_end(world: World) -> None:
    world.server.moods["list_experiments"] = [503] * 1000
    began, left, tries = world.now, 1000, []
    while world.carry(30)[0] == "decided":
        if len(world.server.moods["list_experiments"]) < left:
            tries.append(world.now - began)
            left = len(world.server.moods["list_experiments"])
    pauses = [after - before for before, after in pairwise(tries)]
    assert pauses[:4] == [30, 60, 120, 240]
    assert max(pauses) == LONGEST_SECONDS
    assert world.now - began == pytest.approx(GIVE_UP_SECONDS, abs=LONGEST_SECONDS)
    assert "could not be launched for 6 hours" in world.carry()[2]


def test_who_asks_to_be_left_alone_is(world: World) -> None:
    world.server.moods["list_experiments"], world.server.retry_after = [429], "300"
    state, _, error = world.carry()
    assert (state, error.startswith("it cannot be launched yet")) == ("decided", True)
    assert world.carry(299)[0] == "decided"
    assert world.carry(2) == ("pending", "", "")


def test_a_start_whose_answer_was_lost_is_one_run(world: World) -> None:
    world.server.moods["create_run"] = [LOST]
    assert world.carry()[0] == "decided"
    assert world.carry(31)[0] == "pending"
    assert [run.display_name for run in world.server.runs] == ["k"]


def test_a_run_of_which_nothing_is_heard_goes_on_and_the_page_says_why(world: World) -> None:
    world.carry()
    world.server.moods["get_run"] = [403]
    state, _, error = world.carry()
    assert (state, error.startswith("it cannot be followed now")) == ("pending", True)
    assert world.carry(1)[2] == error, "it is not asked every half second"
    assert world.carry(6) == ("pending", "", "")


def test_what_a_person_abandoned_meanwhile_stays_abandoned(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    world.carry()

    def slow(_: KubeflowLauncher, run_id: str) -> str:
        world.change(state="cancelled", error="abandoned by Ada: stuck")
        return "running"

    monkeypatch.setattr(KubeflowLauncher, "state", slow)
    assert world.carry() == ("cancelled", "", "abandoned by Ada: stuck")


def test_runs_that_somebody_else_started_are_told_newest_first(world: World) -> None:
    world.tell("failed", "of ours")
    world.tell("failed", "no such folder", key="theirs")
    world.now += 1
    world.tell("succeeded", key="later")
    others = told.others(world.ledger.entries("fundus"), {"k"})
    assert [(one["key"], one["state"], one["error"]) for one in others] == [
        ("later", "succeeded", ""),
        ("theirs", "failed", "no such folder"),
    ]
    assert others[0]["ended"] == world.now
