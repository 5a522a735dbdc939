"""The segmenter is killed, as hard as a process can be, while observations wait: each one arrives, and only once."""

import signal
import threading
from pathlib import Path

import httpx
import pytest
import serving_kit as kit

PHOTO = kit.jpeg(kit.picture(1, 120, 160))


@pytest.fixture
def work(tmp_path: Path) -> Path:
    kit.promote(tmp_path / "state", kit.bundle(tmp_path / "bundle"), "1")
    return tmp_path


def test_what_was_accepted_before_the_kill_arrives_once_after_the_restart(work: Path) -> None:
    receiver = kit.Receiver()
    limits = {"PARFOCAL_OUTBOX_ROWS": "60", "PARFOCAL_SEGMENTER_WORKERS": "2"}
    service = kit.Service(work, work / "state", PARFOCAL_MONITOR_URL=receiver.url, **limits)
    answered: list[str] = []
    stop = threading.Event()

    def caller() -> None:
        while not stop.is_set():
            try:
                response = httpx.post(f"{service.url}/segment", files={"image": ("a.jpg", PHOTO)}, timeout=20)
                answered.append(response.json().get("request_id", response.text))
            except httpx.TransportError:
                return

    try:
        service.start()
        threads = [threading.Thread(target=caller) for _ in range(3)]
        for thread in threads:
            thread.start()
        # Both workers' outboxes are full, and it is killed in the middle of the burst that goes on.
        kit.wait_for(lambda: service.metric("parfocal_outbox_pending") == 120, report=service.output)
        dropped = service.metric("parfocal_outbox_dropped_total")
        service.stop(signal.SIGKILL)
        stop.set()
        for thread in threads:
            thread.join()
        assert len(answered) >= 120 + dropped - 6, "a full outbox never failed a request"
        assert not [text for text in answered if "error" in text], "a worker that was still loading took a request"
        receiver.start()
        service.start()
        kit.wait_for(lambda: len(receiver.received) >= 120, report=service.output)
        kit.wait_for(lambda: service.metric("parfocal_outbox_pending") == 0, report=service.output)
        assert len(receiver.received) == 120
        assert set(receiver.deliveries.values()) == {1}
        assert len(receiver.received.keys() - set(answered)) <= 3, "at most the requests that the kill cut off"
        fresh = service.segment(PHOTO).json()["request_id"]
        kit.wait_for(lambda: fresh in receiver.received, report=service.output)
        assert receiver.received[fresh]["seq"] == 61, "numbers go on where they were, also over an empty outbox"
    finally:
        stop.set()
        service.stop()
        receiver.stop()


def test_every_answer_that_left_is_in_the_outbox_whenever_the_kill_comes(work: Path) -> None:
    receiver = kit.Receiver()
    service = kit.Service(work, work / "state", PARFOCAL_MONITOR_URL=receiver.url)
    answered: set[str] = set()
    try:
        service.start()
        while len(answered) < 25:
            answered.add(service.segment(PHOTO).json()["request_id"])
        service.stop(signal.SIGKILL)
        receiver.start()
        service.start()
        kit.wait_for(lambda: len(receiver.received) >= 25, report=service.output)
        assert receiver.received.keys() == answered
    finally:
        service.stop()
        receiver.stop()


def test_slots_of_workers_that_never_come_back_are_emptied_by_those_who_are_there(work: Path) -> None:
    receiver = kit.Receiver()
    service = kit.Service(work, work / "state", PARFOCAL_MONITOR_URL=receiver.url, PARFOCAL_SEGMENTER_WORKERS="2")
    alone = kit.Service(work / "alone", work / "state", PARFOCAL_MONITOR_URL=receiver.url)
    try:
        service.start()
        kit.wait_for(lambda: service.log.read_text().count("champion 1 answers") == 2, report=service.output)
        for _ in range(30):
            answer = httpx.post(f"{service.url}/segment", files={"image": ("a.jpg", PHOTO)}, timeout=30)
            assert answer.status_code == 200
        service.stop(signal.SIGKILL)
        receiver.start()
        alone.start()
        kit.wait_for(lambda: len(receiver.received) == 30, report=alone.output)
        assert len(alone.workers()) == 1
    finally:
        service.stop()
        alone.stop()
        receiver.stop()
