"""Which case comes, for what, why, and what becomes of those that nobody wants."""

from collections import Counter
from typing import Any

import pytest
from annotate_kit import World, accept, ask, take
from monitor_kit import ALERT, eventually, mask, photograph
from parfocal_serving.monitor.annotate import labels
from parfocal_serving.monitor.database import connect
from parfocal_serving.monitor.schema import ASSIGNMENTS, CANDIDATES
from sqlalchemy import insert
from starlette.testclient import TestClient

from parfocal.triggers.labels import Waiting, cases_worth_labelling


def queue(monitor: TestClient, name: str = "B") -> dict[str, Any]:
    return next(one for one in monitor.get("/api/annotate/queue").json()["instruments"] if one["name"] == name)


def test_nothing_waits_where_nothing_was_captured(monitor: TestClient) -> None:
    assert take(monitor) is None
    assert monitor.get("/api/annotate/queue").json()["instruments"] == []


def test_people_may_label_ahead_until_every_side_is_full_and_the_trigger_counts_them(
    world: World, monitor: TestClient
) -> None:
    world.capture(monitor, 40)
    before = queue(monitor)
    assert before["wanted"] == {"train": 4, "test": 6}, "of ten: 4 train, 1 validation, 5 test"
    assert before["waiting"]["train"] + before["waiting"]["test"] == 40
    sides: Counter[str] = Counter()
    for number in range(10):
        given = take(monitor)
        assert given is not None
        assert given["purpose"] == ("train" if given["side"] == "train" else "test")
        assert given["why"]["drawn"] is (given["side"] != "train")
        sides[given["side"]] += 1
        answer = accept(monitor, given).json()
        assert answer["labelled"] == number + 1
        assert answer["needed"] == 9 - number
    assert sides == {"train": 4, "validation": 1, "test": 5}
    assert queue(monitor)["labelled"] == {"train": 4, "test": 6}
    state = monitor.get("/api/state").json()
    assert next(one for one in state["instruments"] if one["name"] == "B")["labelled"] == 10


def test_thirty_training_cases_never_come_before_a_test(world: World, monitor: TestClient) -> None:
    """They would start a retrain that nothing can judge."""
    world.capture(monitor, 40)
    for name in _for_test():
        (world.state / "captured/fundus/2026-11-21" / f"{name}.png").unlink()
    given = []
    while (one := take(monitor)) is not None:
        given.append(one["side"])
        accept(monitor, one)
    assert Counter(given) == {"train": 4, "validation": 1}
    assert queue(monitor)["waiting"] == {"train": 0, "test": 0}


def _for_test() -> tuple[str, ...]:
    """As the hash draws them."""
    cases = [Waiting(f"B-{i}", f"{i:064x}", None, 0.0) for i in range(40)]
    return cases_worth_labelling(cases, train=0, test=40, key="parfocal").test


def test_what_is_refused_never_comes_back_and_the_next_one_takes_its_place(world: World, monitor: TestClient) -> None:
    world.capture(monitor, 12)
    gone = []
    for action in ("reject", "unreadable"):
        given = take(monitor)
        assert given is not None
        assert ask(monitor, given, "POST", action, {"reason": " "}).status_code == 400, "a person says why"
        ask(monitor, given, "POST", action, {"reason": "a finger on the lens"}).raise_for_status()
        gone.append(given["case"])
    later = []
    while (one := take(monitor)) is not None:
        later.append(one["case"])
        accept(monitor, one)
    assert len(later) >= 7
    assert not set(gone) & set(later)


def test_a_skipped_case_comes_last_for_whoever_skipped_it_and_first_for_others(
    world: World, monitor: TestClient
) -> None:
    world.capture(monitor, 40)
    given = take(monitor)
    assert given is not None
    ask(monitor, given, "POST", "skip", {"reason": "unsure"}).raise_for_status()
    other = take(monitor, "Bob")
    mine = take(monitor)
    assert other is not None
    assert mine is not None
    assert other["case"] == given["case"] != mine["case"]


def test_whoever_skips_sees_every_other_case_first(world: World, monitor: TestClient) -> None:
    """The last one of the emptiest side came back at once, and so did every second reading."""
    world.capture(monitor, 12)
    seen = []
    for _ in range(8):
        given = take(monitor)
        assert given is not None
        seen.append(given["case"])
        ask(monitor, given, "POST", "skip", {"reason": ""}).raise_for_status()
    assert len(set(seen)) == 8


def test_a_second_reading_that_is_skipped_does_not_come_back_at_once(
    world: World, monitor: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(labels, "SECOND", 1)
    world.capture(monitor, 12)
    given = take(monitor)
    assert given is not None
    accept(monitor, given)
    second = take(monitor, "Bob")
    assert second is not None
    assert (second["case"], second["second"]) == (given["case"], True)
    ask(monitor, second, "POST", "skip", {"reason": ""}).raise_for_status()
    other = take(monitor, "Bob")
    assert other is not None
    assert other["case"] != given["case"]


def test_a_drawing_that_was_skipped_is_not_kept(world: World, monitor: TestClient) -> None:
    """As the page says."""
    world.capture(monitor, 1)
    given = take(monitor)
    assert given is not None
    ask(monitor, given, "PUT", "draft", {"half": "done"}).raise_for_status()
    ask(monitor, given, "POST", "skip", {"reason": ""}).raise_for_status()
    again = take(monitor)
    assert again is not None
    assert again["draft"] is None


def test_what_a_decision_asks_for_comes_first(world: World, monitor: TestClient) -> None:
    world.capture(monitor, 40)
    monitor.post("/alerts", json=ALERT).raise_for_status()
    decided = eventually(
        lambda: [one for one in monitor.get("/api/state").json()["decisions"] if one["action"] == "label"]
    )
    asked = decided[0]["cases"]
    assert asked["train"]
    for _ in range(4):
        given = take(monitor)
        assert given is not None
        if given["side"] == "train":
            assert given["case"] == asked["train"].pop(0)
        elif given["side"] == "test":
            assert given["case"] == asked["test"].pop(0)
        accept(monitor, given)


def test_one_photograph_that_was_handed_in_by_another_way_is_not_asked_for(world: World, monitor: TestClient) -> None:
    world.capture(monitor, 3)
    for number in range(3):
        files = {"image": ("i.png", photograph(number)), "disc": ("d.png", mask())}
        monitor.post("/cases/fundus/B", files=files, data={"patient": f"p{number}", "grader": "x"}).raise_for_status()
    assert take(monitor) is None


def test_a_damaged_photograph_is_passed_over(world: World, monitor: TestClient) -> None:
    """It was answered with an error for ever, to everybody: nobody had a lease with which to call it unreadable."""
    world.capture(monitor, 3)
    for number in (0, 1):
        (world.state / "captured/fundus/2026-11-21" / f"B-{number}.png").write_bytes(b"\x89PNG\r\n\x1a\n cut short")
    given = take(monitor)
    assert given is not None
    assert given["case"] == "B-2"


def test_a_reference_that_leads_out_of_the_case_store_is_no_photograph(world: World, monitor: TestClient) -> None:
    """Whoever may send an observation writes it."""
    world.capture(monitor, 1)
    for place in ("secret.png", "captured/lung/x.png"):
        (world.state / place).parent.mkdir(parents=True, exist_ok=True)
        (world.state / place).write_bytes(photograph(9))
    (world.state / "captured/fundus/link.png").symlink_to(world.state / "secret.png")
    outside = (
        "../secret.png", "captured/fundus/../../secret.png", str(world.state / "secret.png"), "captured/lung/x.png",
        "captured/fundus/link.png", "captured\\fundus\\B-0.png", "captured/fundus", "x" * 250,
    )  # fmt: skip
    for number, ref in enumerate(outside):
        world.capture(monitor, 1, first=5 + number, instrument="D", case_ref=ref)
    assert take(monitor, instrument="D") is None
    assert queue(monitor, "D")["waiting"] == {"train": 0, "test": 0}
    assert take(monitor, instrument="B") is not None


def test_undeclared_cases_that_a_person_gave_an_instrument_wait_under_its_name(
    world: World, monitor: TestClient
) -> None:
    """The segmenter could not know it: they came without a name and were grouped."""
    world.capture(monitor, 6, instrument=None)
    database = connect(world.database_url)
    empty = {"name": "", "merged_into": "", "tightness": 1.0, "examples": "[]", "cases": "{}", "by_hand": False}
    kept = {"task": "fundus", "id": "c1", "reference_id": world.reference, "state": "named", "instrument": "N"}
    with database.write() as connection:
        connection.execute(insert(CANDIDATES).values(**empty, **kept, found=1.0, updated=1.0))
        for arrival in range(1, 5):
            beside = {"task": "fundus", "candidate": "c1", "time": 1.0, "moved": True}
            connection.execute(insert(ASSIGNMENTS).values(arrival=arrival, **beside))
    database.close()
    assert sum(queue(monitor, "N")["waiting"].values()) == 4
    given = take(monitor)
    assert given is not None
    assert given["instrument"] == "N"
    accept(monitor, given).raise_for_status()
    assert (world.state / "labelled/fundus/N/images" / f"{given['case']}.png").is_file()
