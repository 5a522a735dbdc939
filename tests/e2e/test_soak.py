"""Thousands of requests with swaps in the middle: none fails, none is lost or counted twice, and no memory is kept."""

import threading
import time
from collections import Counter
from pathlib import Path

import httpx
import pytest
import serving_kit as kit

CLIENTS = 4
PHOTO = kit.jpeg(kit.picture(1, 64, 64))
GROWTH = 40e6
"""Bytes that a worker may grow by between the first third and the end; a leak of a picture a request is four times so
much in two thousand requests, and forty times in twenty thousand."""


class Caller(threading.Thread):
    """Sends its share, one after another over one connection."""

    def __init__(self, url: str, number: int, patient: str) -> None:
        super().__init__()
        self._url, self._number, self._patient = url, number, patient
        self.answers: Counter[tuple[int, str]] = Counter()
        self.ids: set[str] = set()
        self.failed: Exception | None = None

    def run(self) -> None:
        try:
            with httpx.Client(base_url=self._url, timeout=60) as client:
                for _ in range(self._number):
                    form = {"masks": "none", "instrument": "A", "patient": self._patient}
                    answer = client.post("/segment", files={"image": ("a.jpg", PHOTO)}, data=form)
                    found = answer.json()
                    self.answers[answer.status_code, found.get("model", {}).get("version", "")] += 1
                    self.ids.add(found.get("request_id", ""))
        except Exception as error:
            self.failed = error


def soak(number: int, swaps: int, folder: Path) -> None:
    bundles = [kit.bundle(folder / str(i), i) for i in range(2)]
    kit.promote(folder / "state", bundles[0], "1")
    receiver = kit.Receiver().start()
    started = kit.segmenter(folder, folder / "state", PARFOCAL_MONITOR_URL=receiver.url, PARFOCAL_SEGMENTER_THREADS="2")
    with started as service:
        (worker,) = service.workers()
        callers = [Caller(service.url, number // CLIENTS, f"p{i}") for i in range(CLIENTS)]
        for caller in callers:
            caller.start()

        def done() -> int:
            return sum(caller.answers.total() for caller in callers)

        early = 0
        for i in range(swaps):
            kit.wait_for(lambda i=i: done() >= number * (i + 1) // (swaps + 1) or not _alive(callers), 3600)
            if i == swaps // 3:
                early = worker.memory_info().rss
            kit.promote(folder / "state", bundles[(i + 1) % 2], str(i + 2))
            kit.wait_for(lambda i=i: service.metric("parfocal_swaps_total") == i + 1, report=service.output)
        for caller in callers:
            caller.join()
        assert [caller.failed for caller in callers] == [None] * CLIENTS
        answers = sum((caller.answers for caller in callers), Counter())
        assert {status for status, _ in answers} == {200}
        assert answers.total() == number
        assert {version for _, version in answers} == {str(i + 1) for i in range(swaps + 1)}
        assert worker.memory_info().rss - early < GROWTH, (early, worker.memory_info().rss)
        ids = set().union(*(caller.ids for caller in callers))
        assert len(ids) == number
        kit.wait_for(lambda: len(receiver.received) == number, report=service.output)
        assert receiver.received.keys() == ids
        assert set(receiver.deliveries.values()) == {1}
        assert all(one["embedding"] for one in receiver.received.values())
        versions = Counter(one["model_version"] for one in receiver.received.values())
        counted = service.metrics()
        for (_, version), count in answers.items():
            assert counted[f"parfocal_requests_total{{status=200,task=fundus,version={version}}}"] == count
            assert versions[version] == count
        assert service.metric("parfocal_request_seconds_count") == number
        assert service.metric("parfocal_outbox_dropped_total") == 0
        kit.wait_for(lambda: service.metric("parfocal_outbox_sent_total") == number)
        kit.wait_for(lambda: service.metric("parfocal_outbox_pending") == 0)
        assert service.workers() == [worker], "it is the same process"
    receiver.stop()


def _alive(callers: list[Caller]) -> bool:
    return any(caller.is_alive() for caller in callers)


def test_two_thousand_requests_with_swaps_in_the_middle(tmp_path: Path) -> None:
    began = time.monotonic()
    soak(2000, 3, tmp_path)
    print(f"{time.monotonic() - began:.0f} s")  # noqa: T201


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_twenty_thousand_requests_with_swaps_in_the_middle(tmp_path: Path) -> None:
    soak(20_000, 20, tmp_path)
