"""Two people never get one case, and no work is lost: by a reload, a restart, a lapsed lease, or a second click."""

import threading
from typing import Any

import pytest
from annotate_kit import DRAWN, World, accept, ask, take
from parfocal_serving.monitor import database
from parfocal_serving.monitor.annotate import labels, leases
from parfocal_serving.monitor.cases import NewCase
from parfocal_serving.monitor.service import Service
from postgres_kit import BOTH
from starlette.testclient import TestClient


@pytest.fixture
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """A monitor that waits for other writers as long as a busy machine needs."""
    monkeypatch.setattr(database, "BUSY_SECONDS", 60.0)


@BOTH
def test_many_who_ask_at_once_get_as_many_cases(patient: None, world: World, monitor: TestClient) -> None:
    world.capture(monitor, 40)
    given: list[dict[str, Any] | None] = []
    start = threading.Barrier(8)

    def work(name: str) -> None:
        start.wait()
        given.append(take(monitor, name))

    threads = [threading.Thread(target=work, args=(f"annotator {number}",)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    cases = [one["case"] for one in given if one is not None]
    assert len(cases) == len(set(cases)) == 8


def test_of_two_monitors_on_one_database_the_leading_one_alone_gives_cases_out(world: World) -> None:
    with world.monitor() as one, world.monitor() as other:
        world.capture(one, 5)
        assert take(one) is not None
        answer = other.post("/api/annotate/next", json={"instrument": None, "annotator": "Bob"})
        assert answer.status_code == 503
        assert "leads" in answer.json()["error"]["what"]
        assert other.get("/api/annotate/queue").json()["annotating"] is False


@BOTH
def test_a_draft_survives_a_reload_and_a_restart_of_the_monitor(world: World) -> None:
    with world.monitor() as monitor:
        world.capture(monitor, 20)
        given = take(monitor)
        assert given is not None
        assert given["draft"] is None
        until = ask(monitor, given, "PUT", "draft", {"strokes": [1, "é"]}).json()["lease"]["until"]
        assert until >= given["lease"]["until"]
    with world.monitor() as monitor:
        again = take(monitor)
        assert again is not None
        assert again["case"] == given["case"]
        assert again["draft"] == {"strokes": [1, "é"]}
        assert ask(monitor, given, "PUT", "draft", {}).status_code == 409, "another tab has it now"
        accept(monitor, again).raise_for_status()
        following = take(monitor)
        assert following is not None
        assert following["draft"] is None


def test_whoever_opened_their_case_elsewhere_is_told_so_and_a_stranger_is_not(
    world: World, monitor: TestClient
) -> None:
    world.capture(monitor, 20)
    here, there = take(monitor, "Åsa"), take(monitor, "Åsa")
    assert here is not None
    assert there is not None
    assert here["case"] == there["case"]
    draft = f"/api/annotate/cases/{here['case']}/draft"
    answers = [
        monitor.put(draft, json={}, headers={"X-Lease": here["lease"]["token"], "X-Annotator": name})
        for name in ("%C3%85sa", "Bob", "")
    ]
    assert [one.status_code for one in answers] == [423, 409, 409]
    assert "you have opened this case elsewhere" in answers[0].json()["error"]["what"]
    assert "elsewhere" not in answers[1].text


def test_a_lapsed_lease_gives_the_case_to_the_next_and_is_good_as_long_as_nobody_took_it(
    world: World, monitor: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.capture(monitor, 40)
    monkeypatch.setattr(leases, "SECONDS", -1.0)
    first, mine = take(monitor), None
    assert first is not None
    ask(monitor, first, "PUT", "draft", {"half": "done"}).raise_for_status()
    taken = take(monitor, "Bob")
    assert taken is not None
    assert taken["case"] == first["case"]
    assert taken["draft"] is None, "another's work is not shown"
    for method, what in (("PUT", "draft"), ("GET", "image"), ("POST", "skip")):
        refused = ask(monitor, first, method, what, {"reason": ""})
        assert refused.status_code == 409
        assert refused.json()["error"]["next"]
    assert accept(monitor, first).status_code == 409
    mine = accept(monitor, taken)
    assert mine.json()["labelled"] == 1, "it lapsed long ago, and nobody else took it"


def test_a_case_that_is_accepted_twice_is_one_label(world: World, monitor: TestClient) -> None:
    world.capture(monitor, 20)
    given = take(monitor)
    assert given is not None
    answers = [accept(monitor, given) for _ in range(2)]
    assert [one.status_code for one in answers] == [200, 200]
    assert answers[1].json()["labelled"] == 1


def test_a_case_that_is_accepted_twice_at_once_is_one_label_and_both_are_answered(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The slower answer said that somebody else had the case."""
    monkeypatch.setattr(labels, "SECOND", 1)
    service = Service(world.settings())
    inner: list[int] = []
    keep = service.annotation._hand_in

    def slow(instrument: str, case: NewCase) -> tuple[bool, int]:
        done = keep(instrument, case)
        if not inner:
            inner.append(0)
            inner[0] = accept(monitor, given).status_code
        return done

    service.annotation._hand_in = slow
    with world.monitor(service) as monitor:
        world.capture(monitor, 20)
        given = take(monitor)
        assert given is not None
        assert accept(monitor, given).json()["labelled"] == 1
        assert inner == [200]
        second = take(monitor, "Bob")
        assert second is not None
        assert (second["case"], second["second"]) == (given["case"], True), "whoever was faster"


def test_nothing_of_a_case_is_given_without_its_lease(world: World, monitor: TestClient) -> None:
    world.capture(monitor, 20)
    given = take(monitor)
    assert given is not None
    path = f"/api/annotate/cases/{given['case']}"
    for token in ("", "nonsense", "é", given["lease"]["token"][:-1]):
        assert monitor.get(f"{path}/image", params={"lease": token}).status_code == 409
        assert monitor.post(f"{path}/accept", json={"masks": DRAWN}, params={"lease": token}).status_code == 409
    image = monitor.get(f"{path}/image", params={"lease": given["lease"]["token"]})
    assert image.headers["content-type"] == "image/png"
    assert image.content.startswith(b"\x89PNG")
    assert monitor.get("/api/annotate/cases/a%00b/image").status_code == 404


def test_a_draft_may_not_be_larger_than_two_megabytes(world: World, monitor: TestClient) -> None:
    world.capture(monitor, 5)
    given = take(monitor)
    assert given is not None
    assert ask(monitor, given, "PUT", "draft", "x" * 2_000_000).status_code == 413


def test_whoever_asks_for_a_case_signs(monitor: TestClient) -> None:
    bodies: list[Any] = [
        {},
        {"annotator": " "},
        {"annotator": "a\0b"},
        {"annotator": "x", "m": 1},
        [],
        {"annotator": 5},
    ]
    for body in bodies:
        answer = monitor.post("/api/annotate/next", json=body)
        assert answer.status_code == 400
        assert set(answer.json()["error"]) == {"what", "where", "expected", "next"}
