import base64
import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from monitor_kit import WIDTH, observation, promote, wire
from parfocal_serving.monitor import detectors
from parfocal_serving.monitor.database import connect
from parfocal_serving.monitor.references import WINDOW, References
from parfocal_serving.monitor.standing import Stream, standing
from parfocal_serving.monitor.store import Store, counters
from postgres_kit import BOTH
from sqlalchemy import text

from parfocal.core.errors import UsageError
from parfocal.core.types import Observation
from parfocal.drift import FAMILY, mmd, reference
from parfocal.drift.cusum import State, advance, normal_scores
from parfocal.drift.plausibility import MEASURES
from parfocal.drift.reference import DriftConfig


class World:
    def __init__(self, state: Path, url: str = "") -> None:
        self.state, self.now = state, 1_700_000_000.0
        self.database = connect(url or f"sqlite:///{state / 'monitor.db'}")
        self.references = References(state / "serving" / "fundus")
        self.references.refresh()
        self.store = Store(self.database, self.references, "fundus", lambda: self.now)

    def send(self, seen: list[Observation]) -> Any:
        return self.store.receive(wire(seen)["observations"])

    def stream(self, instrument: str = "A", name: str = "appearance") -> Stream:
        with self.database.read() as connection:
            found = {watched.name: watched for watched in standing(connection, self.references, "fundus")}
        return next(stream for stream in found[instrument].streams if stream.name == name)

    def counted(self) -> dict[str, int]:
        with self.database.read() as connection:
            return counters(connection, "fundus")

    def rows(self, query: str, **values: Any) -> list[Any]:
        with self.database.read() as connection:
            return [tuple(row) for row in connection.execute(text(query), values)]


@pytest.fixture
def id_(tmp_path: Path) -> str:
    return promote(tmp_path)


@pytest.fixture
def world(tmp_path: Path, id_: str, database_url: str) -> Iterator[World]:
    made = World(tmp_path, database_url)
    yield made
    made.database.close()


def expected(state: Path, seen: list[Observation], instrument: str | None) -> State:
    """What the library says of a stream that was never interrupted."""
    read = reference.read(state / "serving" / "fundus" / "bundles" / "bundle1" / "reference.npz")
    scorer = read.scorer(instrument, "appearance")
    return advance(State(), normal_scores(scorer.p_values(seen)), threshold=scorer.threshold.h, k=read.config.k)[0]


@BOTH
def test_a_stream_ends_where_the_library_says_however_it_was_cut_into_posts(world: World, id_: str) -> None:
    seen = [observation(i, at=0.9, reference=id_) for i in range(90)]
    for cut in (slice(0, 1), slice(1, 40), slice(40, 90)):
        world.send(seen[cut])
    wanted, found = expected(world.state, seen, "A"), world.stream()
    assert wanted.statistic > 0
    assert (found.statistic, found.observations) == (pytest.approx(wanted.statistic), 90)
    assert found.alarm_at == wanted.alarm_at
    assert [number for number, _ in found.history] == list(range(1, 91))


@BOTH
def test_an_observation_that_comes_again_changes_nothing(world: World, id_: str) -> None:
    seen = [observation(i, at=1.0, reference=id_) for i in range(5)]
    assert world.send([*seen, *seen[:2]]).accepted == 5
    before = world.stream()
    again = world.send([*seen, observation(5, reference=id_)])
    assert (again.accepted, again.duplicates) == (1, 5)
    assert world.stream().observations == before.observations + 1
    assert world.counted() == {"accepted": 6, "duplicates": 7}


@BOTH
def test_what_is_no_observation_is_kept_aside_once_and_jams_nothing(world: World, id_: str) -> None:
    good = wire([observation(1, reference=id_)])["observations"][0]
    bad: list[Any] = [
        {**good, "id": "x1", "seq": "one"},
        {**good, "id": "x2", "task": "lung"},
        {**good, "id": "x3", "embedding": base64.b64encode(np.float32([np.nan]).tobytes()).decode()},
        {**good, "id": "half a \ud800 letter"},
        {**good, "id": "x5", "task": "half a \ud800 letter"},
        {**good, "id": "zero\0"},
        {**good, "id": "x4", "time": 10**400},
        "nonsense",
    ]
    for _ in range(2):
        received = world.store.receive([*bad, good])
        assert [row["id"] for row in received.rejected[:3]] == ["x1", "x2", "x3"]
        assert len(received.rejected) == len(bad)
        assert "seq" in received.rejected[0]["reason"]
    assert world.rows("SELECT count(*) FROM monitor_rejected") == [(len(bad),)]
    assert json.loads(world.rows("SELECT content FROM monitor_rejected WHERE id = 'x1'")[0][0])["seq"] == "one"
    assert world.rows("SELECT count(*) FROM monitor_observations") == [(1,)]


def test_more_than_500_are_refused_and_none_is_stored(world: World) -> None:
    with pytest.raises(UsageError, match="501"):
        world.send([observation(i) for i in range(501)])
    assert world.rows("SELECT count(*) FROM monitor_observations") == [(0,)]


def test_an_undeclared_or_unknown_instrument_is_held_against_the_nearest(world: World, id_: str) -> None:
    near_c = [observation(i, None, at=40.0, reference=id_) for i in range(40)]
    world.send(near_c)
    quiet = world.stream("")
    assert not quiet.alarm
    assert quiet.statistic == pytest.approx(expected(world.state, near_c, None).statistic)
    received = world.send([observation(i, "B", at=20.0, reference=id_) for i in range(40)])
    assert {(alarm.instrument, alarm.stream) for alarm in received.alarms} == {("B", "appearance")}
    assert world.stream("B").alarm_at is not None
    assert not world.stream("B", "framing").alarm, "framing was as ever"


def test_an_alarm_stays_and_is_told_once(world: World, id_: str) -> None:
    assert world.send([observation(i, "B", at=20.0, reference=id_) for i in range(40)]).alarms
    at, when = world.stream("B").alarm_at, world.stream("B").alarm_time
    world.now += 1000
    assert not world.send([observation(i, "B", at=0.0, reference=id_) for i in range(40, 400)]).alarms
    found = world.stream("B")
    assert (found.alarm_at, found.alarm_time, found.observations) == (at, when, 400)


@BOTH
def test_an_unknown_reference_is_stored_and_judged_when_it_comes_in_the_order_of_arrival(world: World) -> None:
    world.references._clock = lambda: 0.0
    late = [observation(i, at=0.5, reference="") for i in range(20)]
    world.send(late)
    assert world.counted()["unscored"] == 20
    second = promote(world.state, 2)
    (world.state / "serving" / "fundus" / "bundles" / "bundle2" / "reference.npz").rename(world.state / "away.npz")
    early = [observation(100 + i, at=0.9, reference=second) for i in range(30)]
    world.send(early[:20])
    assert world.counted()["unscored"] == 40
    (world.state / "away.npz").rename(world.state / "serving" / "fundus" / "bundles" / "bundle2" / "reference.npz")
    world.references._clock = lambda: 100.0
    world.send(early[20:])
    world.references.refresh()
    found = world.stream()
    assert found.observations == 30
    read = reference.read(world.state / "serving" / "fundus" / "bundles" / "bundle2" / "reference.npz")
    scorer = read.scorer("A", "appearance")
    wanted = advance(State(), normal_scores(scorer.p_values(early)), threshold=scorer.threshold.h, k=0.5)[0]
    assert found.statistic == pytest.approx(wanted.statistic)
    assert world.rows("SELECT count(*) FROM monitor_observations WHERE NOT scored") == [(20,)], "those without a name"


def test_catching_up_needs_no_new_observation_and_happens_once(tmp_path: Path) -> None:
    world = World(tmp_path)
    id_ = promote(tmp_path)
    world.references._clock = lambda: 0.0
    file = tmp_path / "serving" / "fundus" / "bundles" / "bundle1" / "reference.npz"
    file.rename(tmp_path / "away.npz")
    world.send([observation(i, at=20.0, reference=id_) for i in range(30)])
    (tmp_path / "away.npz").rename(file)
    assert world.references.refresh()
    assert [alarm.instrument for alarm in world.store.catch_up()] == ["A"]
    assert world.store.catch_up() == []
    assert world.stream().observations == 30


def test_a_new_champion_starts_new_detectors_and_late_ones_move_the_old(world: World, id_: str) -> None:
    world.send([observation(i, "B", at=20.0, reference=id_) for i in range(40)])
    assert world.stream("B").alarm
    second = promote(world.state, 2)
    assert world.references.refresh()
    fresh = world.stream("B")
    assert (fresh.alarm, fresh.observations, fresh.statistic, fresh.epoch) == (False, 0, 0.0, second[:12])
    assert fresh.limit is not None
    world.send([observation(i, "B", at=20.0, reference=id_) for i in range(40, 50)])
    assert world.stream("B").observations == 0
    old = "SELECT observations FROM monitor_detectors WHERE stream = 'appearance' AND reference_id = :id"
    assert world.rows(old, id=id_) == [(50,)]


def test_a_rollback_starts_the_detectors_of_the_earlier_reference_anew_once(world: World, id_: str) -> None:
    assert world.store.follow()
    world.send([observation(i, "B", at=20.0, reference=id_) for i in range(40)])
    assert not world.store.follow(), "the champion is the same"
    promote(world.state, 2)
    world.references.refresh()
    assert world.store.follow()
    world.send([observation(i, "B", at=20.0, reference=id_) for i in range(40, 50)])
    promote(world.state, 1)
    world.references.refresh()
    assert world.store.follow()
    found = world.stream("B")
    assert (found.alarm, found.observations, found.epoch) == (False, 0, id_[:9] + "-r1")
    assert world.send([observation(i, "B", at=20.0, reference=id_) for i in range(50, 90)]).alarms
    restarted = World(world.state)
    assert restarted.store.follow()
    assert restarted.stream("B").alarm, "a restart of the monitor is no change of the champion"
    restarted.database.close()
    ((by, stood),) = world.rows('SELECT "by", statistics FROM monitor_resets')
    assert (by, json.loads(stood)["appearance"]["observations"]) == ("the monitor", 50)


@BOTH
def test_names_that_requests_invent_are_bounded_and_none_is_lost(world: World, id_: str) -> None:
    for first in range(0, 300, 100):
        names = range(first, first + 100)
        world.send([observation(i, f"P{i}", at=20.0, reference=id_) for i in names])
    world.send([observation(i, "A", reference=id_) for i in range(5)])
    with world.database.read() as connection:
        watched = {found.name: found for found in standing(connection, world.references, "fundus")}
    assert len(watched) == 201
    assert watched["A"].streams[0].observations == 5, "those of the reference are always told apart"
    assert watched[""].observations == watched[""].streams[0].observations == 102
    assert world.rows("SELECT count(DISTINCT instrument) FROM monitor_observations") == [(301,)]


@BOTH
def test_a_person_starts_a_detector_anew_and_it_is_kept_who_and_why(world: World, id_: str) -> None:
    world.send([observation(i, "B", at=20.0, reference=id_) for i in range(40)])
    with world.database.write() as connection:
        assert detectors.reset(connection, "fundus", "B", id_, "Ada", "a dirty lens", 5.0) == 2
    found = world.stream("B")
    assert (found.alarm, found.observations, found.history) == (False, 0, ())
    assert found.epoch == id_[:9] + "-r1"
    ((by, reason, stood),) = world.rows('SELECT "by", reason, statistics FROM monitor_resets')
    assert (by, reason) == ("Ada", "a dirty lens")
    assert json.loads(stood)["appearance"]["statistic"] > 5
    assert world.send([observation(i, "B", at=20.0, reference=id_) for i in range(40, 80)]).alarms


def test_a_damaged_reference_stops_no_observation(tmp_path: Path) -> None:
    promote(tmp_path)
    (tmp_path / "serving" / "fundus" / "bundles" / "bundle1" / "reference.npz").write_bytes(b"PK nothing")
    world = World(tmp_path)
    champion = world.references.champion
    assert champion is not None
    assert world.send([observation(1, reference=champion.reference_id)]).accepted == 1
    assert world.references.current() is None


def test_the_installations_run_length_replaces_the_references(tmp_path: Path) -> None:
    promote(tmp_path)
    world = World(tmp_path)
    stock, stock_window = world.stream().limit, world.stream(name="appearance-window").limit
    world.references = References(tmp_path / "serving" / "fundus", arl0=500.0)
    world.references.refresh()
    eager, window = world.stream().limit, world.stream(name="appearance-window").limit
    assert window is not None
    assert stock_window is not None
    assert window.threshold < stock_window.threshold
    assert (window.arl0, stock_window.arl0) == (500.0, 20_000.0)
    assert stock is not None
    assert eager is not None
    assert eager.threshold < stock.threshold
    assert (eager.arl0, stock.arl0) == (500.0, 20_000.0)


@BOTH
def test_old_observations_are_forgotten_and_their_count_and_detectors_are_not(world: World, id_: str) -> None:
    world.send([observation(i, reference=id_) for i in range(50)])
    world.store.receive(["nonsense"])
    world.now += 100 * 86_400
    world.send([observation(i, reference=id_) for i in range(50, 60)])
    before = world.stream()
    assert world.store.prune(world.now - 99 * 86_400) == 50
    assert world.rows("SELECT count(*) FROM monitor_observations") == [(10,)]
    assert world.rows("SELECT count(*) FROM monitor_rejected") == [(0,)]
    assert world.stream() == before
    assert world.counted()["accepted"] == 60


@BOTH
def test_which_model_answered_a_patient_can_be_asked(world: World, id_: str) -> None:
    world.send([observation(i, reference=id_, patient_hmac="ab12", model_version=str(i)) for i in range(3)])
    asked = "SELECT model_version FROM monitor_observations WHERE patient_hmac = 'ab12' ORDER BY time"
    assert world.rows(asked) == [("0",), ("1",), ("2",)]


@BOTH
def test_the_newest_cases_together_are_held_against_the_reference_however_they_were_cut_into_posts(
    world: World, id_: str
) -> None:
    seen = [observation(i, reference=id_) for i in range(90)]
    seen[60] = observation(60, reference=id_, embedding=())
    for cut in (slice(0, 5), slice(5, 50), slice(50, 61), slice(61, 90)):
        world.send(seen[cut])
    detector = reference.read(world.state / "serving/fundus/bundles/bundle1/reference.npz").windows["A"]
    vectors = np.array([one.embedding for one in seen if one.embedding])
    wanted = mmd.statistic(detector.reference, detector.coordinates(vectors)[-detector.window :])
    found = world.stream("A", WINDOW)
    assert found.statistic == pytest.approx(wanted, rel=1e-9)
    assert (found.observations, found.history[0][0], found.alarm) == (89, detector.window, False)
    assert found.limit is not None
    assert (found.limit.threshold, found.limit.calibration_size) == (detector.threshold, detector.held_out)


def test_one_patient_again_and_again_is_seen_by_the_window_alone_and_a_reset_empties_it(world: World, id_: str) -> None:
    again = [observation(i, reference=id_, embedding=(0.3,) * WIDTH) for i in range(120)]
    received = world.send(again)
    assert {(alarm.instrument, alarm.stream) for alarm in received.alarms} == {("A", WINDOW)}
    with world.database.write() as connection:
        detectors.reset(connection, "fundus", "A", id_, "Ada", "a test eye", 5.0)
    assert world.stream("A", WINDOW).observations == 0
    assert not world.send([observation(200 + i, reference=id_) for i in range(20)]).alarms
    found = world.stream("A", WINDOW)
    assert (found.observations, found.statistic, found.history) == (20, 0.0, ()), "it is not full yet"


def test_the_detectors_are_those_of_the_reference_however_many(tmp_path: Path) -> None:
    def full(number: int, id_: str = "") -> Observation:
        one, rng = observation(number, reference=id_), np.random.default_rng([number, 9])
        shape = {f"disc.{name}": float(np.exp(0.1 * rng.normal())) for name in MEASURES}
        more = {"width": 48.0, "height": 48.0, "sharpness": float(np.exp(rng.normal())), "flat": 0.1, "make": "kit"}
        return replace(
            one, shape={**one.shape, **shape, "disc.empty": 0.0}, acquisition={**one.acquisition, **more}
        )  # fmt: skip

    promote(tmp_path)
    file = tmp_path / "serving/fundus/bundles/bundle1/reference.npz"
    reference.fit({"A": [full(10_000 + i) for i in range(60)]}, DriftConfig(), extractor="", seed=0).write(file)
    world = World(tmp_path)
    champion = world.references.champion
    assert champion is not None
    world.send([full(i, champion.reference_id) for i in range(30)])
    with world.database.read() as connection:
        (watched,) = standing(connection, world.references, "fundus")
    assert {stream.name: stream.observations for stream in watched.streams} == dict.fromkeys(FAMILY, 30)
    world.database.close()
