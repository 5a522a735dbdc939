import json
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from monitor_kit import mask, observation, photograph, promote, wire
from parfocal_serving.monitor import detectors, records, trigger
from parfocal_serving.monitor.cases import CaseStore, NewCase
from parfocal_serving.monitor.database import connect
from parfocal_serving.monitor.plan import Plan
from parfocal_serving.monitor.references import Judge, References
from parfocal_serving.monitor.service import Service
from parfocal_serving.monitor.settings import MonitorSettings
from parfocal_serving.monitor.store import Store
from parfocal_serving.monitor.trigger import Trigger
from postgres_kit import BOTH

from parfocal.adapters import monitored
from parfocal.adapters.database import SqlLedger
from parfocal.adapters.monitored import MonitoredSettings
from parfocal.core.errors import OutsideServiceError, UsageError
from parfocal.core.types import Interval, Observation
from parfocal.promotion.ledger import PROMOTION
from parfocal.steps.config import RunConfig
from parfocal.triggers.policy import TriggerConfig

HOUR = 3600.0


class Recorder:
    """A launcher that runs nothing: what it was asked, and what it is told to answer."""

    def __init__(self) -> None:
        self.launched: list[tuple[str, dict[str, str]]] = []
        self.said: dict[str, str] = {}
        self.down = False

    def launch(self, pipeline: Path, arguments: Mapping[str, str], *, name: str) -> str:
        if self.down:
            raise OutsideServiceError("nobody answers")
        self.launched.append((name, dict(arguments)))
        return f"id-{name}"

    def state(self, run_id: str) -> str:
        return self.said.get(run_id, "running")


class Away:
    """A database that does not answer."""

    def __call__(self, *_: object) -> None:
        raise OutsideServiceError("nobody answers")


class World:
    def __init__(self, state: Path, url: str = "", **config: Any) -> None:
        self.state, self.now, self.launcher = state, 1_700_000_000.0, Recorder()
        self.database = connect(url or f"sqlite:///{state / 'monitor.db'}")
        self.references = References(state / "serving" / "fundus")
        self.references.refresh()
        self.cases = CaseStore(state, "fundus")
        self.store = Store(self.database, self.references, "fundus", lambda: self.now)
        trigger = TriggerConfig.parse({"minimum_cases": 2, "minimum_test": 1, **config})
        self.plan = Plan(
            "fundus", trigger, Path("continual.yaml"), RunConfig(), self.launcher, again=False, by_folder=True
        )
        self.start_trigger()

    def start_trigger(self) -> None:
        self.trigger = Trigger(self.database, self.references, self.cases, self.plan, lambda: self.now)

    def follow(self, version: int) -> None:
        """Another champion takes over now."""
        promote(self.state, version)
        file = self.state / "serving" / "fundus" / "current.json"
        since = datetime.fromtimestamp(self.now, UTC).isoformat()
        file.write_text(json.dumps({**json.loads(file.read_text()), "since": since}))
        self.references.refresh()
        assert self.store.follow()

    def alarm(self, first: int = 0, instrument: str = "B") -> None:
        champion = self.references.champion
        assert champion is not None
        seen = [observation(first + i, instrument, at=20.0, reference=champion.reference_id) for i in range(40)]
        assert self.store.receive(wire(seen)["observations"]).alarms

    def label(self, *numbers: int, instrument: str = "B") -> None:
        for number in numbers:
            assert self.cases.add(instrument, NewCase(photograph(number), {"disc": mask()}, f"p{number}", "Ada"))

    def alert(self) -> None:
        self.trigger.wake(alert=True)
        self.trigger.step(True)

    def all_decisions(self) -> list[Any]:
        with self.database.read() as connection:
            return records.decisions(connection, "fundus", 50)

    def decisions(self) -> list[tuple[str, str, int]]:
        """Oldest first: instrument, action, times."""
        with self.database.read() as connection:
            rows = records.decisions(connection, "fundus", 50)
        return [(row["instrument"], row["action"], row["times"]) for row in sorted(rows, key=lambda r: r["number"])]

    def runs(self) -> list[records.RunRecord]:
        with self.database.read() as connection:
            return list(records.runs(connection, "fundus"))


@pytest.fixture
def world(tmp_path: Path, database_url: str) -> Iterator[World]:
    promote(tmp_path)
    made = World(tmp_path, database_url)
    yield made
    made.database.close()


@BOTH
def test_an_alarm_with_enough_cases_starts_the_pipeline_with_exactly_its_four_arguments(world: World) -> None:
    world.alarm()
    world.label(1, 2)
    world.alert()
    ((name, arguments),) = world.launcher.launched
    champion = world.references.champion
    assert champion is not None
    assert name == f"fundus-B-v1-{champion.reference_id[:12]}"
    experience = world.state / "experiences" / "fundus" / "B" / "1"
    config = RunConfig.from_json(arguments.pop("config"))
    assert arguments == {"experience_uri": str(experience), "champion_uri": champion.folder, "idempotency_key": name}
    assert config == RunConfig.parse({"data": {"instrument": "B"}})
    assert len(list((experience / "images").iterdir())) == 2
    assert world.cases.labelled("B") == 0
    assert world.decisions() == [("B", "start", 1)]


@BOTH
def test_the_evidence_of_a_run_has_statistic_and_threshold_of_every_stream_in_alarm(
    world: World, database_url: str
) -> None:
    world.alarm()
    world.label(1, 2)
    world.alert()
    (run,) = world.runs()
    alarm = monitored.origin(run.key, MonitoredSettings(state=world.state, database_url=database_url)).alarm
    assert alarm is not None
    judge = world.references.current()
    assert judge is not None
    streams = {one["stream"]: one for one in alarm["streams"]}
    assert set(streams) == {"appearance"}, "the other streams are quiet"
    (found,) = streams.values()
    assert found["threshold"] == pytest.approx(judge.limit("B", "appearance").threshold)
    assert found["statistic"] >= found["threshold"] > found["statistic"] - 3, "where it stood when it crossed"
    assert 1 <= found["alarm_at"] <= 40
    assert (found["alarm_time"], alarm["time"]) == (world.now, world.now)


@BOTH
def test_the_same_alert_starts_nothing_more_while_it_runs_after_it_and_after_the_next_champion(world: World) -> None:
    world.alarm()
    world.label(1, 2)
    for _ in range(3):
        world.alert()
    world.label(3, 4)
    world.alert()
    world.launcher.said[world.runs()[0].run_id] = "succeeded"
    world.now += 30 * 24 * HOUR
    world.alert()
    promote(world.state, 2)
    world.references.refresh()
    world.alert()
    assert len(world.launcher.launched) == 1
    assert world.decisions() == [("B", "start", 1), ("B", "none", 4), ("B", "none", 1)]
    assert [run.state for run in world.runs()] == ["succeeded"]


def test_without_an_alarm_an_alert_starts_nothing_whatever_it_says(world: World) -> None:
    world.label(1, 2)
    world.store.receive(wire([observation(1, "B", at=0.0)])["observations"])
    world.alert()
    assert world.launcher.launched == []
    assert world.decisions() == [("B", "none", 1)]


def test_an_alert_that_an_error_kept_from_being_answered_is_answered_later(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.store.receive(wire([observation(1, "B", at=0.0)])["observations"])
    with monkeypatch.context() as away, pytest.raises(OutsideServiceError):
        away.setattr(trigger, "standing", Away())
        world.alert()
    assert world.decisions() == []
    world.trigger.step(True)
    assert world.decisions() == [("B", "none", 1)]


@BOTH
def test_too_few_cases_ask_for_labels_on_one_row_and_enough_start_by_themselves(world: World) -> None:
    world.alarm()
    world.alert()
    world.label(1)
    world.trigger.step(True)
    assert world.decisions() == [("B", "label", 2)]
    with world.database.read() as connection:
        assert "1 of 2" in records.decisions(connection, "fundus", 1)[0]["reason"]
    world.label(2)
    world.trigger.step(True)
    assert len(world.launcher.launched) == 1


def test_a_dry_run_records_and_starts_nothing(tmp_path: Path) -> None:
    promote(tmp_path)
    world = World(tmp_path, dry_run=True)
    world.alarm()
    world.label(1, 2)
    world.alert()
    assert (world.launcher.launched, world.runs(), world.cases.labelled("B")) == ([], [], 2)
    assert world.decisions() == [("B", "none", 1)]


def test_a_cooldown_is_waited_for_and_then_a_new_epoch_starts_a_second_experience(world: World) -> None:
    world.alarm()
    world.label(1, 2)
    world.alert()
    world.launcher.said[world.runs()[0].run_id] = "succeeded"
    champion = world.references.champion
    assert champion is not None
    with world.database.write() as connection:
        detectors.reset(connection, "fundus", "B", champion.reference_id, "Ada", "look again", world.now)
    world.alarm(first=100)
    world.label(3, 4)
    world.now += HOUR
    world.alert()
    assert world.decisions()[-1] == ("B", "wait", 1)
    world.now += 24 * HOUR
    world.alert()
    assert [name for name, _ in world.launcher.launched] == [
        f"fundus-B-v1-{champion.reference_id[:12]}",
        f"fundus-B-v1-{champion.reference_id[:9]}-r1",
    ]
    assert world.launcher.launched[1][1]["experience_uri"].endswith("/B/2")


def test_after_a_rollback_a_new_alarm_gets_its_run_and_the_old_one_none(world: World) -> None:
    world.follow(1)
    world.alarm()
    world.label(1, 2)
    world.alert()
    world.launcher.said[world.runs()[0].run_id] = "succeeded"
    for version in (2, 1):
        world.now += 10 * 24 * HOUR
        world.follow(version)
    world.label(3, 4)
    world.alert()
    assert len(world.launcher.launched) == 1, "what alarmed before the promotion is over"
    world.alarm(first=100)
    world.alert()
    first, second = (name for name, _ in world.launcher.launched)
    assert second == f"{first[:-3]}-r1"


def test_of_two_instruments_in_alarm_the_second_waits_until_the_first_ones_model_is_here(world: World) -> None:
    world.follow(1)
    for instrument in ("B", "D"):
        world.alarm(instrument=instrument)
        world.label(1, 2, instrument=instrument)
    world.now += 1.0
    world.alert()
    world.alert()
    (run,) = world.runs()
    assert world.decisions() == [("B", "start", 1), ("D", "wait", 2), ("B", "none", 1)]
    with world.database.write() as connection:
        records.change(connection, run.key, state="succeeded", outcome="promote", ended=world.now)
    world.alert()
    assert len(world.launcher.launched) == 1, "its champion is on the way out"
    assert "is being replaced" in json.dumps([dict(row) for row in world.all_decisions()])
    world.now += 1.0
    world.follow(2)
    world.alarm(first=100, instrument="D")
    world.alert()
    assert [arguments["champion_uri"][-1] for _, arguments in world.launcher.launched] == ["1", "2"]
    assert world.cases.labelled("D") == 0


def test_a_refused_challenger_keeps_nobody_waiting(world: World) -> None:
    world.follow(1)
    for instrument in ("B", "D"):
        world.alarm(instrument=instrument)
        world.label(1, 2, instrument=instrument)
    world.now += 1.0
    world.alert()
    with world.database.write() as connection:
        records.change(connection, world.runs()[0].key, state="succeeded", outcome="refuse", ended=world.now)
    world.alert()
    assert {run.instrument for run in world.runs()} == {"B", "D"}


def test_undeclared_traffic_in_alarm_is_told_to_declare_itself(world: World) -> None:
    champion = world.references.champion
    assert champion is not None
    seen = [observation(i, None, at=20.0, reference=champion.reference_id) for i in range(40)]
    world.store.receive(wire(seen)["observations"])
    world.alert()
    assert world.decisions() == [("", "none", 1)]


def test_a_launcher_that_is_away_is_tried_again_with_the_arguments_that_were_recorded(world: World) -> None:
    world.alarm()
    world.label(1, 2)
    world.launcher.down = True
    world.alert()
    assert [(run.state, run.error) for run in world.runs()] == [
        ("decided", "it cannot be launched yet: nobody answers")
    ]
    world.launcher.down = False
    world.trigger.step(False)
    assert world.launcher.launched == [], "not at once"
    world.now += 31
    world.trigger.step(False)
    ((_, arguments),) = world.launcher.launched
    (run,) = world.runs()
    assert (run.arguments, run.error, run.state) == (arguments, "", "pending")


@BOTH
def test_a_decided_run_is_carried_through_by_the_next_process_once(world: World) -> None:
    world.alarm()
    world.label(1, 2)
    world.trigger._runs.carry = lambda: (False, False)  # type: ignore[method-assign]
    world.alert()
    assert world.launcher.launched == []
    world.label(3)
    world.start_trigger()
    world.trigger.step(False)
    world.trigger.step(True)
    assert len(world.launcher.launched) == 1
    assert world.cases.labelled("B") == 0, "what came before the folder was closed belongs to it"


def test_a_failed_run_is_carried_through_again_only_when_a_person_says_so(world: World) -> None:
    world.alarm()
    world.label(1, 2)
    world.alert()
    (run,) = world.runs()
    world.launcher.said[run.run_id] = "failed"
    world.trigger.step(False)
    (run,) = world.runs()
    assert run.state == "failed"
    assert run.error
    world.alert()
    assert len(world.launcher.launched) == 1
    world.trigger.again(run.key, "Ada", "the disk was full")
    world.launcher.said.clear()
    world.trigger.step(True)
    assert len(world.launcher.launched) == 2
    assert world.launcher.launched[0] == world.launcher.launched[1]
    with pytest.raises(UsageError):
        world.trigger.again(run.key, "Ada", "once more")


def test_an_abandoned_run_lets_others_start_by_the_rules_and_can_be_taken_up_again(world: World) -> None:
    world.alarm()
    world.label(1, 2)
    world.alert()
    (run,) = world.runs()
    world.alarm(instrument="C", first=200)
    world.label(3, 4, instrument="C")
    world.alert()
    assert len(world.launcher.launched) == 1, "one at a time"
    world.trigger.abandon(run.key, "Ada", "it is stuck")
    assert [(one.state, one.error) for one in world.runs()] == [("cancelled", "abandoned by Ada: it is stuck")]
    world.alert()
    assert [name for name, _ in world.launcher.launched][1].startswith("fundus-C")
    assert "abandoned by Ada: it is stuck" in json.dumps([dict(row) for row in world.all_decisions()])
    with pytest.raises(UsageError):
        world.trigger.abandon(run.key, "Ada", "once more")
    world.trigger.again(run.key, "Ada", "it moves")
    world.trigger.step(False)
    assert {one.instrument: one.state for one in world.runs()} == {"B": "pending", "C": "running"}


def test_what_failed_before_a_person_abandoned_a_run_does_not_count_when_it_is_taken_up_again(world: World) -> None:
    world.alarm()
    world.label(1, 2)
    world.launcher.down = True
    world.alert()
    (run,) = world.runs()
    world.trigger.abandon(run.key, "Ada", "the cluster is gone")
    world.trigger.step(False)
    world.now += 7 * HOUR
    world.trigger.again(run.key, "Ada", "there is another")
    world.trigger.step(False)
    assert [one.state for one in world.runs()] == ["decided"], "it failed once, not for seven hours"
    world.launcher.down = False
    world.now += HOUR
    world.trigger.step(False)
    assert [name for name, _ in world.launcher.launched] == [run.key]


def test_on_a_cluster_the_ledger_says_that_the_champion_is_on_its_way_out(world: World) -> None:
    ledger = SqlLedger(f"sqlite:///{world.state / 'ledger.db'}")
    world.trigger = Trigger(world.database, world.references, world.cases, world.plan, lambda: world.now, ledger=ledger)
    world.follow(1)
    world.now += 1
    world.alarm()
    world.label(1, 2)
    world.alert()
    (run,) = world.runs()
    ledger.append(PROMOTION, "fundus", run.key, {"version": "2"})
    world.launcher.said[run.run_id] = "succeeded"
    world.trigger.step(False)
    assert [one.outcome for one in world.runs()] == ["promote"]
    world.alarm(instrument="C", first=200)
    world.label(3, 4, instrument="C")
    world.alert()
    assert len(world.launcher.launched) == 1
    assert "is being replaced" in json.dumps([dict(row) for row in world.all_decisions()])


def test_what_was_decided_on_is_kept(world: World) -> None:
    world.alarm()
    world.alert()
    with world.database.read() as connection:
        facts = json.loads(records.decisions(connection, "fundus", 1)[0]["facts"])
    assert (facts["instrument"], facts["champion"], facts["labelled"], facts["alarm"]) == ("B", "1", 0, True)


def test_settings_that_name_what_is_not_there_stop_the_service(tmp_path: Path) -> None:
    for wrong in ({"pipeline": "nonsense"}, {"run_config": tmp_path / "none.yaml"}):
        with pytest.raises(UsageError):
            Plan.of(MonitorSettings(state=tmp_path, **wrong))


def test_the_environment_says_when_a_retrain_may_start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "run.yaml"
    file.write_text("retrain: {exemplars: 7}\n")
    monkeypatch.setenv("PARFOCAL_TRIGGER", '{"minimum_cases": 12, "dry_run": true}')
    monkeypatch.setenv("PARFOCAL_RUN_CONFIG", str(file))
    monkeypatch.setenv("PARFOCAL_LAUNCHER", "kubeflow")
    plan = Plan.of(MonitorSettings(state=tmp_path))
    assert (plan.config.minimum_cases, plan.config.dry_run, plan.by_folder) == (12, True, False)
    assert plan.run.retrain.exemplars == 7
    assert plan.pipeline.name == "pipeline.yaml"


@pytest.mark.parametrize("step", [-400 * 24 * HOUR, 400 * 24 * HOUR], ids=["back", "forth and back"])
def test_a_clock_that_was_set_keeps_no_cooldown_going_for_ever_and_none_is_skipped(world: World, step: float) -> None:
    if step > 0:
        world.now += step
    world.alarm()
    world.label(1, 2)
    world.alert()
    world.launcher.said[world.runs()[0].run_id] = "succeeded"
    world.trigger.step(False)
    world.now -= abs(step)
    champion = world.references.champion
    assert champion is not None
    with world.database.write() as connection:
        detectors.reset(connection, "fundus", "B", champion.reference_id, "Ada", "look again", world.now)
    world.alarm(first=100)
    world.label(3, 4)
    world.alert()
    assert (len(world.launcher.launched), world.decisions()[-1][1]) == (1, "wait")
    assert "the clock went back" in json.dumps([dict(row) for row in world.all_decisions()])
    assert all(time <= world.now for run in world.runs() for time in (run.decided, run.launched, run.ended) if time)
    world.now += 23 * HOUR
    world.trigger.step(True)
    assert len(world.launcher.launched) == 1
    world.now += HOUR
    world.trigger.step(True)
    assert len(world.launcher.launched) == 2, "a cooldown after the clock was set, and no longer"


def test_a_launch_that_failed_is_tried_again_though_the_clock_was_set_back(world: World) -> None:
    world.alarm()
    world.label(1, 2)
    world.launcher.down = True
    world.alert()
    world.launcher.down = False
    world.now -= 400 * 24 * HOUR
    world.trigger.step(False)
    assert len(world.launcher.launched) == 1


class Poor(Judge):
    """A reference that says of every answer what it is told to say."""

    dice = 0.5

    predicts = True

    def predicted(self, instrument: str, observations: Sequence[Observation]) -> dict[str, Interval]:
        return {"disc": Interval(0.9, 0.8, 1.0), "cup": Interval(Poor.dice, 0.4, 0.6)} if observations else {}

    def lowest(self, instrument: str, observations: Sequence[Observation]) -> list[float | None]:
        return [0.2 + one.seq / 1000 for one in observations]


@pytest.fixture
def poor(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setattr("parfocal_serving.monitor.references.Judge", Poor)
    monkeypatch.setattr(Poor, "dice", 0.5)
    return promote(tmp_path)


def test_quality_alone_starts_a_retrain_without_any_alarm_and_drift_that_does_no_harm_starts_none(
    tmp_path: Path, poor: str
) -> None:
    world = World(tmp_path, mode="quality")
    world.store.receive(wire([observation(i, "A", reference=poor) for i in range(3)])["observations"])
    world.label(1, 2, instrument="A")
    world.trigger.step(True)
    assert [name for name, _ in world.launcher.launched] == [f"fundus-A-v1-{poor[:12]}"]
    facts = json.loads(world.all_decisions()[0]["facts"])
    assert (facts["quality"], facts["alarm"]) == (0.5, False)
    world.launcher.said[world.runs()[0].run_id] = "succeeded"
    Poor.dice = 0.9
    world.alarm()
    world.label(3, 4)
    world.alert()
    assert len(world.launcher.launched) == 1
    reasons = [row["reason"] for row in world.all_decisions() if row["instrument"] == "B"]
    assert len(reasons) == 1
    assert "by this policy quality alone counts" in reasons[0]


def test_a_decision_to_label_names_as_many_cases_for_training_and_for_the_test(tmp_path: Path, poor: str) -> None:
    world = World(tmp_path, minimum_cases=10)
    world.alarm()
    seen = [observation(100 + i, "B", at=20.0, reference=poor, patient_hmac=f"p{i}") for i in range(60)]
    world.store.receive(wire(seen)["observations"])
    world.label(1)
    world.alert()
    (decision,) = world.all_decisions()
    assert decision["action"] == "label"
    cases = json.loads(decision["cases"])
    assert (len(cases["train"]), len(cases["test"]), len({*cases["train"], *cases["test"]})) == (4, 5, 9)
    named = {one.id: one.seq for one in seen} | {f"B-{i}": i for i in range(40)}
    assert set(cases["train"]) | set(cases["test"]) <= set(named)
    assert max(named[one] for one in cases["train"]) < 45, "the lowest predicted Dice comes first"
    assert world.cases.add("B", NewCase(photograph(7), {"disc": mask()}, "p", "Ada", name=cases["train"][0]))
    world.alert()
    again = json.loads(world.all_decisions()[0]["cases"])
    assert cases["train"][0] not in again["train"], "it is labelled"
    assert again["test"] == cases["test"][:4], "whoever is for the test stays"


def test_where_photographs_are_kept_only_those_are_named(tmp_path: Path, poor: str) -> None:
    world = World(tmp_path, minimum_cases=4)
    world.alarm()
    kept = [observation(200 + i, "B", at=20.0, reference=poor, case_ref=f"captured/{i}.png") for i in range(20)]
    world.store.receive(wire(kept)["observations"])
    world.alert()
    cases = json.loads(world.all_decisions()[0]["cases"])
    assert {*cases["train"], *cases["test"]} <= {one.id for one in kept}
    assert cases["train"]


def test_the_answer_to_the_last_label_counts_it_though_its_experience_is_closed_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    promote(tmp_path)
    monitor = Service(MonitorSettings(state=tmp_path, token="", database_url=""))
    assert monitor._lead.look()
    monkeypatch.setattr(monitor._trigger, "wake", lambda: monitor._cases.close("B", 1))
    assert monitor.hand_in("B", NewCase(photograph(1), {"disc": mask()}, "p1", "Ada")) == (True, 1)
    assert monitor._cases.labelled("B") == 0
    monitor.stop()
    assert not monitor._leads(), "one that ends takes no lead any more"
