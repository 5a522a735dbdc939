"""What a look at the queue reads: what was asked for, however many cases are labelled."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from annotate_kit import World, accept, take
from parfocal_serving.monitor.annotate import leases, looks
from parfocal_serving.monitor.annotate.agreements import Agreements
from parfocal_serving.monitor.database import Database, connect
from parfocal_serving.monitor.schema import ANNOTATIONS
from sqlalchemy import Engine, event, insert, update
from starlette.testclient import TestClient

from parfocal.core.types import Split


@contextmanager
def asked() -> Iterator[list[tuple[str, Any]]]:
    """Statements that read the labels, with their values."""
    found: list[tuple[str, Any]] = []

    def hear(_connection: Any, _cursor: Any, statement: str, values: Any, *_: Any) -> None:
        if statement.startswith("SELECT") and "FROM monitor_annotations" in statement:
            found.append((statement, values))

    event.listen(Engine, "before_cursor_execute", hear)
    try:
        yield found
    finally:
        event.remove(Engine, "before_cursor_execute", hear)


def test_no_look_goes_through_every_label(world: World, monitor: TestClient) -> None:
    world.capture(monitor, 4)
    given = take(monitor)
    assert given is not None
    with asked() as statements:
        assert accept(monitor, given).status_code == 200, "its answer has the queue"
        assert take(monitor) is not None
    assert len(statements) > 8
    database = connect(world.settings().monitor_database)
    with database.read() as connection:
        for statement, values in statements:
            for row in connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", values):
                step = row[-1]
                assert not step.startswith("SCAN monitor_annotations"), statement
                assert "monitor_annotations" not in step or "task=? AND" in step, f"{step}: {statement}"
    database.close()


@pytest.fixture
def database(world: World) -> Iterator[Database]:
    made = connect(world.settings().monitor_database)
    yield made
    made.close()


def row(case: str, reading: int = 0, **changed: Any) -> dict[str, Any]:
    return {
        "task": "fundus", "case_id": case, "reading": reading, "instrument": "B", "patient": f"p{case}",
        "side": "train", "state": leases.ACCEPTED, "annotator": "Ada", "token": "", "until": 100.0, "offered": 1.0,
        "ended": 5.0, "shown": False, "why": "{}", "draft": "", "draft_by": "", "proposal": "", "masks": "",
        "agreement": "{}", **changed,
    }  # fmt: skip


def put(database: Database, *rows: dict[str, Any]) -> None:
    with database.write() as connection:
        connection.execute(insert(ANNOTATIONS), list(rows))


def test_a_case_is_free_for_its_own_annotator_and_for_others_when_its_lease_has_lapsed(database: Database) -> None:
    put(
        database,
        row("done"),
        row("refused", state=leases.REJECTED),
        row("out", state=leases.OUT),
        row("given back", state=leases.WAITING),
        row("read twice", 1, state=leases.OUT),
    )
    cases = ["done", "refused", "out", "given back", "read twice", "new"]
    with database.read() as connection:
        assert looks.taken(connection, "fundus", cases, "Ada", 50.0) == {"done", "refused"}
        assert looks.taken(connection, "fundus", cases, "Bo", 50.0) == {"done", "refused", "out"}
        assert looks.taken(connection, "fundus", cases, "Bo", 100.0) == {"done", "refused"}
        assert looks.taken(connection, "fundus", ["new"], "Bo", 50.0) == set()
        assert looks.out_by_side(connection, "fundus", "B", "Bo", 50.0) == {Split.TRAIN: 1}
        assert not looks.out_by_side(connection, "fundus", "B", "Ada", 50.0), "it would be given the same again"
        assert [one["case_id"] for one in looks.out(connection, "fundus", ["B"], 50.0)] == ["out", "read twice"]


def test_nobody_reads_a_case_twice_though_it_is_called_another_instruments_by_now(database: Database) -> None:
    put(database, row("x", instrument="old name"), row("x", 1, state=leases.WAITING, annotator=""))
    with database.read() as connection:
        assert not looks.second_readings(connection, "fundus", "B", "Ada", 50.0)
        assert [one["case_id"] for one in looks.second_readings(connection, "fundus", "B", "Bo", 50.0)] == ["x"]


def test_agreement_counts_every_label_once_whenever_it_was_written_down(database: Database) -> None:
    def said(dice: float) -> str:
        return json.dumps({"proposal": {"disc": dice}})

    agreements = Agreements("fundus")

    def now() -> Any:
        with database.read() as connection:
            return agreements.of(connection, "B")

    assert now() == {"reading": None, "proposal": None}
    put(database, row("a", agreement=said(0.8), ended=9.0), row("b", ended=9.0), row("other", instrument="C"))
    assert now()["proposal"] == now()["proposal"] == {"disc": {"dice": 0.8, "cases": 1}}
    put(database, row("c", agreement=said(0.6), ended=9.0))
    assert now()["proposal"] == {"disc": {"dice": 0.7, "cases": 2}}
    put(database, row("late", agreement=said(0.1), ended=2.0))
    assert now()["proposal"] == {"disc": {"dice": 0.5, "cases": 3}}
    put(database, row("a", 1, agreement=json.dumps({"reading": {"disc": 0.9}}), ended=10.0))
    assert now() == {"reading": {"disc": {"dice": 0.9, "cases": 1}}, "proposal": {"disc": {"dice": 0.5, "cases": 3}}}
    with database.write() as connection:
        connection.execute(update(ANNOTATIONS).where(ANNOTATIONS.c.case_id == "c").values(instrument="C"))
    assert now()["proposal"] == {"disc": {"dice": 0.45, "cases": 2}}
