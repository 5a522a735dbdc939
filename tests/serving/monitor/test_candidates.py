"""Undeclared cases that no known instrument made: grouped in the background, named or merged by a person, counted."""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from monitor_kit import eventually, instrument, mask, observation, photograph, promote, stream, wire
from parfocal_serving.monitor import candidates, candidates_found, candidates_pass, records
from parfocal_serving.monitor.app import build
from parfocal_serving.monitor.candidates import Kept
from parfocal_serving.monitor.candidates_acts import Acts
from parfocal_serving.monitor.candidates_pass import Grouping
from parfocal_serving.monitor.cases import CaseStore, NewCase
from parfocal_serving.monitor.database import connect
from parfocal_serving.monitor.plan import Plan
from parfocal_serving.monitor.references import References
from parfocal_serving.monitor.rows import newest
from parfocal_serving.monitor.settings import MonitorSettings
from parfocal_serving.monitor.standing import standing
from parfocal_serving.monitor.store import Store
from parfocal_serving.monitor.trigger import Trigger
from postgres_kit import BOTH
from starlette.testclient import TestClient

from parfocal.core.errors import DataContractError, UsageError
from parfocal.core.types import Observation
from parfocal.steps.config import RunConfig
from parfocal.triggers.policy import TriggerConfig

X, Y = 20.0, -25.0
"""Where two cameras are that nobody has named; A is at 0, C at 40."""


def undeclared(place: float, first: int, count: int, reference: str, **more: Any) -> list[Observation]:
    """Cases of one camera without a name; a number is one case."""
    return [observation(number, None, at=place, reference=reference, **more) for number in range(first, first + count)]


class Recorder:
    """A launcher that runs nothing."""

    def __init__(self) -> None:
        self.launched: list[str] = []

    def launch(self, pipeline: Path, arguments: Mapping[str, str], *, name: str) -> str:
        self.launched.append(name)
        return name

    def state(self, run_id: str) -> str:
        return "running"


class Grouped:
    """What the monitor is made of, its threads not started."""

    def __init__(self, state: Path, url: str = "") -> None:
        self.state, self.now, self.launcher = state, 1_800_000_000.0, Recorder()
        self.database = connect(url or f"sqlite:///{state / 'monitor.db'}")
        self.references = References(state / "serving" / "fundus")
        self.cases = CaseStore(state, "fundus")
        self.store = Store(self.database, self.references, "fundus", lambda: self.now)
        config = TriggerConfig(minimum_cases=2, minimum_test=1)
        pipeline = Path("continual.yaml")
        self.plan = Plan("fundus", config, pipeline, RunConfig(), self.launcher, again=False, by_folder=True)
        self.trigger = Trigger(self.database, self.references, self.cases, self.plan, lambda: self.now)
        self.alarms: list[Any] = []
        self.leads = True
        self.start_grouping()
        self.follow(1)

    def follow(self, version: int) -> None:
        """Another champion takes over now."""
        self.reference = promote(self.state, version)
        self.references.refresh()
        assert self.store.follow()

    def label(self, number: int) -> None:
        assert self.cases.add("B", NewCase(photograph(number), {"disc": mask()}, f"p{number}", "Ada"))

    def alert(self) -> None:
        self.trigger.wake(alert=True)
        self.trigger.step(True)

    def decided(self, instrument: str) -> Any:
        with self.database.read() as connection:
            rows = records.decisions(connection, "fundus", 50)
        return next(row for row in rows if row["instrument"] == instrument)

    def start_grouping(self) -> None:
        self.grouping = Grouping(
            self.database, self.references, self.plan, leads=lambda: self.leads, alarmed=self.alarms.extend,
            clock=lambda: self.now,
        )  # fmt: skip

    def send(self, observations: list[Observation]) -> None:
        assert self.store.receive(wire(observations)["observations"]).accepted == len(observations)

    def look(self) -> list[dict[str, Any]]:
        self.grouping.step()
        return self.listed()

    def listed(self) -> list[dict[str, Any]]:
        with self.database.read() as connection:
            return candidates.listing(connection, "fundus", self.reference)

    def members(self, id_: str) -> set[str]:
        with self.database.read() as connection:
            return {one.id for one in candidates_found.sample(connection, "fundus", id_)}

    def act(self, what: str, *given: str, by: str = "Ada", reason: str = "seen") -> Kept:
        with self.database.write() as connection:
            acts = Acts(connection, "fundus", self.reference, by=by, reason=reason, now=self.now)
            done: Kept = getattr(acts, what)(*given)
            return done

    def watched(self) -> dict[str, Any]:
        with self.database.read() as connection:
            return {one.name: one for one in standing(connection, self.references, "fundus")}


@pytest.fixture
def world(tmp_path: Path, database_url: str) -> Iterator[Grouped]:
    made = Grouped(tmp_path, database_url)
    yield made
    made.database.close()


def two(world: Grouped) -> tuple[dict[str, Any], dict[str, Any]]:
    """Candidates of 25 cases of X and of 18 of Y, among 60 of a known instrument that declared nothing either."""
    world.send(
        [
            *undeclared(0.0, 1000, 60, world.reference),
            *undeclared(X, 0, 25, world.reference),
            *undeclared(Y, 500, 18, world.reference),
        ]
    )
    one, other = world.look()
    return one, other


@BOTH
def test_two_unknown_cameras_become_two_candidates_one_is_named_and_the_other_merged(world: Grouped) -> None:
    one, other = two(world)
    assert [one["size"], other["size"]] == [25, 18]
    assert world.members(one["id"]) == {f"None-{i}" for i in range(25)}
    assert {one["state"], other["state"]} == {"open"}
    assert one["name"] == f"unknown-{one['id']}"
    assert one["tightness"] == pytest.approx(1.0, abs=0.35)
    assert set(one["examples"]) <= world.members(one["id"])
    chosen = [*one["cases"]["train"], *one["cases"]["test"]]
    assert set(chosen) <= world.members(one["id"])
    assert len(chosen) == len(set(chosen)) == 2, "as many as this policy wants for a retrain"

    assert world.act("name", one["id"], "B").state == "named"
    assert world.act("merge", other["id"], one["id"], by="Bo").id == one["id"]
    (whole,) = world.look()
    assert (whole["name"], whole["instrument"], whole["size"]) == ("B", "B", 43)
    with world.database.read() as connection:
        done = candidates.actions(connection, "fundus")
    assert [(act["action"], act["candidate"], act["target"], act["by"]) for act in done] == [
        ("merge", other["id"], one["id"], "Bo"),
        ("name", one["id"], "B", "Ada"),
    ]
    assert done[1]["facts"]["size"] == 25
    with pytest.raises(UsageError, match=f"it is part of '{one['id']}'"):
        world.act("dismiss", other["id"])


@BOTH
def test_the_cases_of_a_named_one_count_for_trigger_and_labels_and_keep_saying_that_they_declared_nothing(
    world: Grouped,
) -> None:
    one, _ = two(world)
    world.label(1)
    world.act("name", one["id"], "B")
    world.grouping.step()
    assert [(alarm.instrument, alarm.stream) for alarm in world.alarms] == [("B", "appearance")]
    found = world.watched()["B"]
    assert (found.observations, found.assigned, found.known) == (25, 25, False)
    assert {one.observations for one in found.streams} == {25}
    world.grouping.step()
    assert {one.observations for one in world.watched()["B"].streams} == {25}, "each case moves a detector once"
    assert world.watched()[""].observations == 103, "they are among the undeclared, as they arrived"
    world.alert()
    decision = world.decided("B")
    assert decision["action"] == "label"
    cases = json.loads(decision["cases"])
    assert {*cases["train"], *cases["test"]} <= world.members(one["id"])
    assert json.loads(decision["facts"])["streams"][0]["stream"] == "appearance"
    with world.database.read() as connection:
        seen = newest(connection, "fundus", "B", world.reference, 100)
        assert len(seen) == 25
        assert {one.instrument for one in seen} == {None}
    world.label(2)
    world.alert()
    assert world.launcher.launched == [f"fundus-B-v1-{world.reference[:12]}"]


@BOTH
def test_later_cases_near_a_settled_candidate_are_its_own_however_few_and_others_are_nobodys(world: Grouped) -> None:
    one, other = two(world)
    world.act("name", one["id"], "B")
    world.act("dismiss", other["id"], reason="a test chart")
    world.send(
        [
            *undeclared(X, 3000, 1, world.reference),
            *undeclared(Y, 3100, 2, world.reference),
            *undeclared(-60.0, 3200, 3, world.reference),
            *undeclared(0.0, 3300, 3, world.reference),
        ]
    )
    named, dismissed = world.look()
    assert (named["size"], dismissed["size"]) == (26, 20)
    assert "None-3000" in world.members(one["id"])
    assert world.watched()["B"].observations == 26
    assert {stream.observations for stream in world.watched()["B"].streams} == {26}
    assert dismissed["state"] == "dismissed"


@BOTH
def test_ids_stay_while_cases_arrive_and_over_a_restart(world: Grouped) -> None:
    one, other = two(world)
    world.start_grouping()
    world.send(undeclared(X, 4000, 30, world.reference))
    again, same = world.look()
    assert [again["id"], same["id"]] == [one["id"], other["id"]]
    assert (again["size"], again["found"]) == (55, one["found"])


@BOTH
def test_a_known_instruments_name_makes_its_cases_that_instruments(world: Grouped) -> None:
    one, other = two(world)
    world.send([observation(i, "A", reference=world.reference) for i in range(5)])
    before = world.watched()["A"]
    world.act("name", one["id"], "A")
    world.grouping.step()
    found = world.watched()["A"]
    assert (found.known, found.observations, found.assigned) == (True, 30, 25)
    assert found.alarm, "they are not like what is known of A"
    windows = [{s.name: s.observations for s in seen.streams}["appearance-window"] for seen in (before, found)]
    assert windows[0] == windows[1] == 5, "the window is of the newest that declared it"
    merged = world.act("name", other["id"], "A")
    assert (merged.id, merged.size) == (one["id"], 43), "two candidates of one instrument are one"


@BOTH
def test_a_wrong_name_is_put_right_and_the_wrong_instruments_detectors_start_anew(world: Grouped) -> None:
    one, _ = two(world)
    world.act("name", one["id"], "B")
    world.grouping.step()
    assert world.watched()["B"].alarm
    world.act("name", one["id"], "D", reason="it was the other clinic")
    world.grouping.step()
    watched = world.watched()
    assert watched["D"].alarm
    assert (watched["B"].alarm, watched["B"].observations) == (False, 0)
    world.act("dismiss", one["id"])
    assert not world.watched()["D"].alarm


def test_what_a_person_did_while_a_look_was_on_its_way_stands(tmp_path: Path) -> None:
    world = Grouped(tmp_path)
    one, _ = two(world)
    world.send(undeclared(X, 4000, 30, world.reference))
    look = world.grouping._look(world.reference)
    assert look is not None
    judge = world.references.current()
    assert judge is not None
    outcome = world.grouping._grouped(judge, look)
    world.act("name", one["id"], "B")
    assert not world.grouping._write(world.reference, look, outcome)
    found = next(each for each in world.look() if each["id"] == one["id"])
    assert (found["state"], found["size"]) == ("named", 55)


def test_nothing_is_looked_at_twice_and_nobody_looks_who_does_not_lead(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = Grouped(tmp_path)
    world.leads = False
    world.send(undeclared(X, 0, 25, world.reference))
    assert world.look() == []
    world.leads = True
    assert len(world.look()) == 1
    grouped: list[object] = []
    monkeypatch.setattr(candidates_pass, "group", lambda *given: grouped.append(given) or ())
    world.look()
    assert grouped == []
    world.send(undeclared(X, 100, 1, world.reference))
    world.look()
    assert len(grouped) == 1


def test_taking_the_lead_may_write_too(tmp_path: Path) -> None:
    """Within a look's own transaction it waited for itself until that gave up, and every POST with it."""
    world = Grouped(tmp_path)

    def leads() -> bool:
        with world.database.write():
            return True

    world.grouping._leads = leads
    world.send(undeclared(X, 0, 25, world.reference))
    assert len(world.look()) == 1


def test_after_another_champion_the_cases_are_grouped_anew(tmp_path: Path) -> None:
    world = Grouped(tmp_path)
    one, _ = two(world)
    world.act("name", one["id"], "B")
    world.follow(2)
    assert world.look() == []
    with pytest.raises(UsageError, match="before the champion changed"):
        world.act("name", one["id"], "D")
    world.send(undeclared(X, 5000, 25, world.reference))
    (new,) = world.look()
    assert (new["size"], new["state"]) == (25, "open")


def test_pruned_cases_leave_their_candidates(tmp_path: Path) -> None:
    world = Grouped(tmp_path)
    one, _ = two(world)
    world.act("name", one["id"], "B")
    world.grouping.step()
    world.now += 100 * 86_400
    world.send(undeclared(X, 6000, 3, world.reference))
    world.store.prune(world.now - 50 * 86_400)
    named = next(each for each in world.look() if each["id"] == one["id"])
    assert (named["size"], named["name"]) == (0, "B"), "nothing is left by which the three could be told"
    assert {stream.observations for stream in world.watched()["B"].streams} == {25}


def test_names_that_cannot_be_a_folders_and_candidates_that_are_not_there_are_refused(tmp_path: Path) -> None:
    world = Grouped(tmp_path)
    one, _ = two(world)
    with pytest.raises(DataContractError, match="cannot be the name"):
        world.act("name", one["id"], "../B")
    with pytest.raises(UsageError, match="no candidate 'x'"):
        world.act("merge", one["id"], "x")
    with pytest.raises(UsageError, match="with itself"):
        world.act("merge", one["id"], one["id"])
    with world.database.read() as connection:
        assert candidates.actions(connection, "fundus") == []


def test_over_http_a_person_signs_and_everybody_sees(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(candidates_pass, "PAUSE_SECONDS", 0.05)
    monkeypatch.setattr(candidates_pass, "SHARE", 0.0)
    id_ = promote(tmp_path)
    settings = MonitorSettings(state=tmp_path, token="", open=True, database_url="", trigger_path="monitor")
    local = {"base_url": "http://127.0.0.1:8081", "client": ("127.0.0.1", 1)}
    with TestClient(build(settings), **local) as monitor:  # type: ignore[arg-type]
        monitor.post("/observations", json=wire([*undeclared(X, 0, 25, id_), *undeclared(Y, 500, 18, id_)]))
        one, other = eventually(lambda: monitor.get("/api/candidates").json()["candidates"])
        assert monitor.get("/api/state").json()["candidates"][0]["id"] == one["id"]
        where = f"/candidates/{one['id']}"
        assert monitor.post(f"{where}/name", json={"name": "B"}).status_code == 400
        signed = {"by": "Ada", "reason": "the new clinic"}
        refused = monitor.post(f"{where}/name", json=signed)
        assert (refused.status_code, refused.json()["error"]["where"]) == (400, "name")
        named = monitor.post(f"{where}/name", json={**signed, "name": "B"})
        assert (named.status_code, named.json()["instrument"], named.json()["size"]) == (200, "B", 25)
        assert monitor.post(f"/candidates/{other['id']}/dismiss", json=signed).json()["state"] == "dismissed"
        eventually(lambda: any(row["instrument"] == "B" for row in monitor.get("/api/state").json()["decisions"]))
        state = monitor.get("/api/state").json()
        assert stream(state, "B")["alarm"]
        assert instrument(state, "B")["assigned"] == 25
        page = monitor.get("/").text
        assert "the new clinic" not in page
        assert "named <strong>B</strong>" in page
        acts = monitor.get("/api/candidates").json()["actions"]
        assert [(act["action"], act["by"], act["reason"]) for act in acts] == [
            ("dismiss", "Ada", "the new clinic"),
            ("name", "Ada", "the new clinic"),
        ]
