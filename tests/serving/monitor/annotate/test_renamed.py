"""What becomes of a case that is out when its candidate gets another name, or its patient another side."""

from typing import Any

import pytest
from annotate_kit import World, accept, ask, take
from parfocal_serving.monitor.annotate import leases, sides
from parfocal_serving.monitor.database import connect
from parfocal_serving.monitor.schema import ASSIGNMENTS, CANDIDATES
from postgres_kit import BOTH
from sqlalchemy import insert
from starlette.testclient import TestClient

from parfocal.core.types import Split

CASES = 6


@pytest.fixture
def named(world: World, monitor: TestClient) -> TestClient:
    """A monitor where undeclared cases were given the instrument `clinc`."""
    world.capture(monitor, CASES, instrument=None)
    values = {
        "task": "fundus", "id": "c1", "reference_id": world.reference, "state": "open", "instrument": "",
        "name": "unknown-c1", "merged_into": "", "tightness": 1.0, "examples": "[]", "cases": "{}", "by_hand": False,
    }  # fmt: skip
    database = connect(world.database_url)
    with database.write() as connection:
        connection.execute(insert(CANDIDATES).values(**values, found=1.0, updated=1.0))
        for arrival in range(1, CASES + 1):
            beside = {"task": "fundus", "candidate": "c1", "time": 1.0, "moved": False}
            connection.execute(insert(ASSIGNMENTS).values(arrival=arrival, **beside))
    database.close()
    act(monitor, "name", name="clinc")
    return monitor


def act(monitor: TestClient, what: str, **more: str) -> None:
    monitor.post(f"/candidates/c1/{what}", json={"by": "Ada", "reason": "seen", **more}).raise_for_status()


def taken(monitor: TestClient, annotator: str = "Ada") -> dict[str, Any]:
    found = take(monitor, annotator)
    assert found is not None
    return found


@BOTH
def test_a_case_that_is_out_is_labelled_for_the_instrument_that_it_is_of_now(world: World, named: TestClient) -> None:
    given = taken(named)
    assert given["instrument"] == "clinc"
    act(named, "name", name="clinic")
    assert accept(named, given).json()["labelled"] == 1
    assert (world.state / "labelled/fundus/clinic/images" / f"{given['case']}.png").is_file()
    assert not (world.state / "labelled/fundus/clinc").exists()


@pytest.mark.parametrize("how", ["release", "lapse"])
def test_a_case_that_was_out_before_is_given_out_and_labelled_under_the_new_name(
    world: World, named: TestClient, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    with monkeypatch.context() as short:
        short.setattr(leases, "SECONDS", -1.0)
        before = taken(named)
    if how == "release":
        ask(named, before, "POST", "release", {"reason": ""}).raise_for_status()
    act(named, "name", name="clinic")
    given = [taken(named) for _ in range(2)]
    assert given[0]["case"] == given[1]["case"] == before["case"]
    assert given[1]["instrument"] == "clinic"
    accept(named, given[1]).raise_for_status()
    assert (world.state / "labelled/fundus/clinic/images" / f"{before['case']}.png").is_file()


def test_what_was_refused_under_the_old_name_is_not_asked_for_under_the_new_one(named: TestClient) -> None:
    refused = set()
    for _ in range(CASES):
        given = taken(named)
        refused.add(given["case"])
        ask(named, given, "POST", "reject", {"reason": "a test chart"}).raise_for_status()
    assert len(refused) == CASES
    act(named, "name", name="clinic")
    assert take(named) is None, "nobody is faster: there is nothing"


def test_a_case_of_a_candidate_that_is_no_instrument_is_not_labelled(world: World, named: TestClient) -> None:
    given = taken(named)
    act(named, "dismiss")
    answer = accept(named, given)
    assert answer.status_code == 409
    assert "instrument" in answer.json()["error"]["what"]
    assert not (world.state / "labelled").exists()
    assert take(named) is None
    ask(named, given, "POST", "release", {"reason": ""}).raise_for_status()


def test_a_patient_whom_a_promotion_put_into_the_test_gets_no_more_help(
    world: World, monitor: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The split goes by what is frozen: a label drawn with help would have been thrown away."""
    world.capture(monitor, 12)
    given = taken(monitor)
    while given["side"] != "train":
        accept(monitor, given)
        given = taken(monitor)
    frozen = {f"{int(given['case'].split('-')[1]):064x}": Split.TEST}
    monkeypatch.setattr(sides.Frozen, "sides", lambda *_: frozen)
    again = taken(monitor)
    assert (again["case"], again["side"]) == (given["case"], "test")
    assert ask(monitor, again, "GET", "proposal").status_code == 403
    accept(monitor, again).raise_for_status()
