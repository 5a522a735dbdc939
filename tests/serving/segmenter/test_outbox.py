import json
import sqlite3
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import serving_kit as kit
from parfocal_serving.segmenter import sender
from parfocal_serving.segmenter.outbox import Outbox
from parfocal_serving.segmenter.sender import Monitor, Sender
from parfocal_serving.segmenter.slot import Row

from parfocal.core.observations import to_json
from parfocal.core.types import Observation


def observation(name: str, embedding: tuple[float, ...] = (0.5,) * 371, **shape: float) -> Observation:
    return Observation(name, "fundus", "A", "1", "", 0, time.time(), embedding, shape, {"width": 1.0})


def opened(folder: Path, limit: int = 100) -> Outbox:
    outbox = Outbox(folder, limit)
    assert outbox.slot is not None
    return outbox


def numbers(outbox: Outbox) -> list[int]:
    assert outbox.slot is not None
    return [row.seq for row in outbox.slot.batch(1000)]


def test_numbers_go_on_over_a_restart_even_when_everything_was_delivered(tmp_path: Path) -> None:
    first = opened(tmp_path)
    for i in range(3):
        assert first.append(observation(str(i)))
    assert first.slot is not None
    assert [json.loads(row.body)["seq"] for row in first.slot.batch(10)] == [1, 2, 3]
    first.slot.forget(first.slot.batch(10))
    first.close()
    second = opened(tmp_path)
    assert second.slot is not None
    assert second.slot.pending == 0
    second.append(observation("3"))
    assert numbers(second) == [4]


def test_a_full_outbox_keeps_the_oldest_and_drops_the_newest(tmp_path: Path) -> None:
    outbox = opened(tmp_path, limit=2)
    assert [outbox.append(observation(str(i))) for i in range(4)] == [True, True, False, False]
    assert "full" in outbox.trouble
    assert outbox.slot is not None
    outbox.slot.forget(outbox.slot.batch(1))
    assert outbox.append(observation("4"))
    assert numbers(outbox) == [2, 3]
    assert outbox.trouble == ""


def test_two_workers_never_share_a_slot_and_a_successor_inherits_the_first_free_one(tmp_path: Path) -> None:
    first, second = opened(tmp_path), opened(tmp_path)
    second.append(observation("a"))
    assert list(first.abandoned()) == []
    second.close()
    assert [slot.pending for slot in first.abandoned()] == [1]
    third = opened(tmp_path)
    assert numbers(third) == [1]
    assert sorted(file.name for file in tmp_path.glob("*.db")) == ["0.db", "1.db"]


def test_a_damaged_slot_is_set_aside_and_the_next_observation_is_kept(tmp_path: Path) -> None:
    (tmp_path / "0.db").write_bytes(b"not a database" * 100)
    outbox = opened(tmp_path)
    assert outbox.append(observation("a"))
    assert numbers(outbox) == [1]
    assert len(list(tmp_path.glob("0.db.damaged-*"))) == 1


def test_a_slot_that_is_damaged_further_in_is_set_aside_too_and_that_is_said(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    outbox = opened(tmp_path, limit=1000)
    for i in range(200):
        outbox.append(observation(str(i)))
    outbox.close()
    content = bytearray((tmp_path / "0.db").read_bytes())
    size = int.from_bytes(content[16:18])
    content[size:] = b"\xa5" * (len(content) - size)  # the first page, with the names of the tables, is whole
    (tmp_path / "0.db").write_bytes(content)
    again = opened(tmp_path)
    assert again.append(observation("a"))
    assert numbers(again) == [1]
    assert "0.db is set aside" in caplog.text


def test_an_observation_that_json_cannot_say_is_dropped_alone(tmp_path: Path) -> None:
    outbox = opened(tmp_path)
    assert not outbox.append(observation("a", area=float("nan")))
    assert outbox.append(observation("b", area=0.5))
    assert numbers(outbox) == [1]


def test_flushing_works_the_log_into_the_database_without_losing_anything(tmp_path: Path) -> None:
    outbox = opened(tmp_path, limit=5000)
    for i in range(2000):
        outbox.append(observation(str(i)))
        if i % 50 == 0:
            outbox.flush()
    outbox.flush()
    assert numbers(outbox)[-1] == 1000
    assert (tmp_path / "0.db-wal").stat().st_size < 8 << 20, "about 8 MB went through it"
    with sqlite3.connect(tmp_path / "0.db") as other:
        assert other.execute("SELECT count(*) FROM waiting").fetchone() == (2000,)


def test_appending_takes_less_than_a_millisecond(tmp_path: Path) -> None:
    """About 0.07 ms on a quiet machine; the bound finds a wait for the disk, not a slow processor."""
    outbox = opened(tmp_path, limit=5000)
    made = [observation(str(i)) for i in range(500)]
    seconds = []
    for one in made:
        began = time.perf_counter()
        outbox.append(one)
        seconds.append(time.perf_counter() - began)
    assert sorted(seconds)[250] < 0.001


@pytest.fixture
def receiver() -> Iterator[kit.Receiver]:
    receiver = kit.Receiver().start()
    yield receiver
    receiver.stop()


class Counts:
    def __init__(self) -> None:
        self.sent = self.refused = 0

    def add_sent(self, count: int) -> None:
        self.sent += count

    def add_refused(self, count: int) -> None:
        self.refused += count


def sending(outbox: Outbox, url: str, token: str = "") -> tuple[Sender, Counts]:
    counts = Counts()
    made = Sender(outbox, Monitor(url, token), sent=counts.add_sent, refused=counts.add_refused)
    made.start()
    return made, counts


def test_one_observation_that_is_never_taken_does_not_hold_up_the_others(
    tmp_path: Path, receiver: kit.Receiver
) -> None:
    take = receiver.answer

    def answer(body: dict) -> tuple[int, dict]:
        return (422, {}) if any(one["id"] == "37" for one in body["observations"]) else take(body)

    receiver.answer = answer  # type: ignore[method-assign]
    outbox = opened(tmp_path)
    for i in range(100):
        outbox.append(observation(str(i)))
    thread, counts = sending(outbox, receiver.url)
    kit.wait_for(lambda: counts.sent == 99 and counts.refused == 1)
    thread.stop()
    assert receiver.received.keys() == {str(i) for i in range(100)} - {"37"}
    outbox.close()
    with sqlite3.connect(tmp_path / "0.db") as database:
        ((body, reason),) = database.execute("SELECT body, reason FROM refused").fetchall()
    assert json.loads(body)["id"] == "37"
    assert "422" in reason


def test_a_monitor_that_takes_less_at_once_is_given_less(tmp_path: Path, receiver: kit.Receiver) -> None:
    take = receiver.answer
    receiver.answer = lambda body: (413, {}) if len(body["observations"]) > 30 else take(body)  # type: ignore
    outbox = opened(tmp_path)
    for i in range(100):
        outbox.append(observation(str(i)))
    thread, counts = sending(outbox, receiver.url)
    kit.wait_for(lambda: counts.sent == 100)
    thread.stop()
    assert counts.refused == 0
    assert max(receiver.batches) <= 30


@pytest.mark.parametrize("status", [401, 404, 429, 500, 503])
def test_a_monitor_that_cannot_take_anything_now_is_asked_again_and_nothing_is_lost(
    tmp_path: Path, receiver: kit.Receiver, status: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sender, "FIRST", 0.01)
    take, asked = receiver.answer, []

    def answer(body: dict) -> tuple[int, dict]:
        asked.append(len(body["observations"]))
        return (status, {}) if len(asked) <= 3 else take(body)

    receiver.answer = answer  # type: ignore[method-assign]
    outbox = opened(tmp_path)
    for i in range(10):
        outbox.append(observation(str(i)))
    thread, counts = sending(outbox, receiver.url)
    kit.wait_for(lambda: counts.sent == 10)
    thread.stop()
    assert counts.refused == 0
    assert asked[:4] == [10, 10, 10, 10]


@pytest.mark.parametrize("answer", [{}, {"accepted": 9, "duplicates": 0, "rejected": []}, [], "welcome"])
def test_whoever_says_200_without_counting_to_ten_is_not_the_monitor(
    tmp_path: Path, receiver: kit.Receiver, answer: object
) -> None:
    receiver.answer = lambda body: (200, answer)  # type: ignore
    outbox = opened(tmp_path)
    for i in range(10):
        outbox.append(observation(str(i)))
    thread, counts = sending(outbox, receiver.url)
    kit.wait_for(lambda: thread.trouble)
    thread.stop()
    assert counts.sent == 0
    assert numbers(outbox) == list(range(1, 11))


def test_what_the_monitor_sets_aside_itself_is_counted_and_done_with(tmp_path: Path, receiver: kit.Receiver) -> None:
    rejected = {"accepted": 2, "duplicates": 0, "rejected": [{"id": "2", "reason": "odd"}]}
    receiver.answer = lambda body: (200, rejected)  # type: ignore
    outbox = opened(tmp_path)
    for i in range(3):
        outbox.append(observation(str(i)))
    thread, counts = sending(outbox, receiver.url, "secret")
    kit.wait_for(lambda: (counts.sent, counts.refused) == (2, 1))
    thread.stop()
    assert numbers(outbox) == []
    assert receiver.bearers == {"Bearer secret"}


def test_a_connection_that_was_idle_is_opened_anew_before_the_monitor_lets_go_of_it(
    receiver: kit.Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monitor = Monitor(receiver.url, "")
    ports = []
    for kept in (60.0, 60.0, 0.0):
        monkeypatch.setattr(sender, "KEPT", kept)
        time.sleep(0.01)
        body = json.dumps({**to_json(observation(f"o{len(ports)}")), "seq": len(ports) + 1})
        monitor.post([Row(len(ports) + 1, body)])
        ports.append(monitor._connection.sock.getsockname()[1])
    assert ports[0] == ports[1] != ports[2]


def test_a_slot_that_another_thread_has_closed_has_no_oldest_and_nothing_to_flush(tmp_path: Path) -> None:
    outbox = opened(tmp_path)
    outbox.append(observation("a"))
    slot = outbox.slot
    assert slot is not None
    assert slot.oldest() is not None
    slot.close()
    slot._changes += 1
    slot.flush()
    assert slot.oldest() is None
