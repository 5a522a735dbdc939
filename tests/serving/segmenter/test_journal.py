"""What is accepted before an answer leaves is never lost, whatever becomes of what was to be measured after it."""

import json
import os
import signal
import sqlite3
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from parfocal_serving.segmenter import journal, slot
from parfocal_serving.segmenter.outbox import Outbox

from parfocal.core.observations import to_json
from parfocal.core.types import Observation


def known(name: str) -> dict[str, Any]:
    return to_json(Observation(name, "fundus", "A", "1", "", 0, time.time(), (), {}, {}, patient_hmac="ab12"))


def whole(name: str, **shape: float) -> Observation:
    measured = {"disc.x": 0.5, **shape}
    return Observation(name, "fundus", "A", "1", "r", 0, time.time(), (0.5,) * 371, measured, {}, patient_hmac="ab12")


def waiting(outbox: Outbox) -> list[tuple[int, str, str]]:
    """What would be sent now: number, id, reference."""
    assert outbox.slot is not None
    found: list[dict[str, Any]] = [json.loads(row.body) for row in outbox.slot.batch(1000)]
    return [(one["seq"], one["id"], one["reference_id"]) for one in found]


def test_an_observation_is_sent_when_it_is_whole_and_none_overtakes_another(tmp_path: Path) -> None:
    outbox = Outbox(tmp_path, 100)
    first, second = outbox.accept(known("a")), outbox.accept(known("b"))
    assert first is not None
    assert second is not None
    assert (waiting(outbox), first.slot.pending) == ([], 2)
    assert outbox.complete(second, whole("b"))
    assert waiting(outbox) == []
    assert outbox.append(whole("c"))
    assert outbox.complete(first, whole("a"))
    assert waiting(outbox) == [(1, "a", "r"), (2, "b", "r"), (3, "c", "r")]
    assert first.slot.oldest() is not None


def test_what_was_accepted_before_a_kill_is_sent_by_the_successor_as_it_was(tmp_path: Path) -> None:
    child = os.fork()
    if not child:
        outbox = Outbox(tmp_path, 100)
        for name in ("a", "b", "c"):
            accepted = outbox.accept(known(name))
            if name == "b" and accepted is not None:
                outbox.complete(accepted, whole(name))
        os.kill(os.getpid(), signal.SIGKILL)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -9
    for _ in range(2):
        successor = Outbox(tmp_path, 100)
        assert waiting(successor) == [(1, "a", ""), (2, "b", "r"), (3, "c", "")]
        assert successor.slot is not None
        assert successor.slot.pending == 3
        successor.close()
    last = Outbox(tmp_path, 100)
    assert last.slot is not None
    last.slot.forget(last.slot.batch(2))
    last.close()
    third = Outbox(tmp_path, 100)
    assert waiting(third) == [(3, "c", "")], "what was delivered does not come out of the journal again"
    assert third.append(whole("d"))
    assert waiting(third)[-1][0] == 4


def test_one_that_is_never_completed_holds_nobody_up_for_long(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    now = 0.0
    monkeypatch.setattr(slot, "time", SimpleNamespace(monotonic=lambda: now, time=time.time))
    outbox = Outbox(tmp_path, 100)
    lost = outbox.accept(known("a"))
    assert lost is not None
    outbox.append(whole("b"))
    assert waiting(outbox) == []
    now = slot.PATIENCE + 0.1
    assert waiting(outbox) == [(1, "a", ""), (2, "b", "r")]
    outbox.complete(lost, whole("a"))
    assert waiting(outbox) == [(1, "a", ""), (2, "b", "r")], "too late"
    assert lost.slot.pending == 2


def test_a_measure_that_json_cannot_say_leaves_what_was_accepted(tmp_path: Path) -> None:
    outbox = Outbox(tmp_path, 100)
    accepted = outbox.accept(known("a"))
    assert accepted is not None
    assert not outbox.complete(accepted, whole("a", area=float("nan")))
    assert waiting(outbox) == [(1, "a", "")]


def test_a_journal_that_is_begun_anew_loses_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(journal, "LARGEST", 2000)
    outbox = Outbox(tmp_path, 1000)
    open_ = []
    for i in range(60):
        accepted = outbox.accept(known(str(i)))
        assert accepted is not None
        if i % 10:
            outbox.complete(accepted, whole(str(i)))
        else:
            open_.append(accepted)
        if i % 7 == 0:
            outbox.flush()
    outbox.flush()
    files = sorted(file.name for file in tmp_path.glob("*.journal*"))
    assert files == ["0.journal"]
    assert (tmp_path / "0.journal").stat().st_size < 5000, "60 lines are three times as long"
    outbox.close()
    again = Outbox(tmp_path, 1000)
    assert [seq for seq, _, _ in waiting(again)] == list(range(1, 61))
    assert sum(reference == "" for _, _, reference in waiting(again)) == len(open_) == 6


def test_a_database_without_room_still_delivers_what_the_journal_took(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    outbox = Outbox(tmp_path, 100)
    held = outbox.slot
    assert held is not None
    insert = held._insert
    monkeypatch.setattr(held, "_insert", _full)
    for name in ("a", "b", "c"):
        accepted = outbox.accept(known(name))
        assert accepted is not None
        outbox.complete(accepted, whole(name))
    assert waiting(outbox) == [(1, "a", "r"), (2, "b", "r"), (3, "c", "r")]
    held.forget(held.batch(1))
    assert [seq for seq, _, _ in waiting(outbox)] == [2, 3]
    monkeypatch.setattr(held, "_insert", insert)
    assert [seq for seq, _, _ in waiting(outbox)] == [2, 3]
    with sqlite3.connect(tmp_path / "0.db") as database:
        assert database.execute("SELECT seq FROM waiting").fetchall() == [(2,), (3,)]
    outbox.flush()
    outbox.close()
    with pytest.raises(OSError, match="descriptor"):
        held.accept(known("d"))


def _full(*_: object) -> None:
    raise sqlite3.OperationalError("database or disk is full")


def test_names_of_any_letters_come_out_of_the_journal_as_they_went_in(tmp_path: Path) -> None:
    said = {**known("a"), "instrument": 'Übung "1" \\ 😀\n', "patient_hmac": None}
    outbox = Outbox(tmp_path, 10)
    assert outbox.accept(dict(said)) is not None
    outbox.close()
    again = Outbox(tmp_path, 10)
    assert again.slot is not None
    (row,) = again.slot.batch(10)
    assert json.loads(row.body) == {**said, "seq": 1}
