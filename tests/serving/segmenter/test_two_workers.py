"""Two processes behind one port: metrics are of both, and both change the model without losing a request."""

import re
import threading
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
import serving_kit as kit

PHOTO = kit.jpeg(kit.picture(1))


@pytest.fixture(scope="module")
def work(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("two")
    kit.promote(folder / "state", kit.bundle(folder / "one", 1), "1")
    kit.bundle(folder / "two", 2)
    return folder


@pytest.fixture(scope="module")
def service(work: Path) -> Iterator[kit.Service]:
    with kit.segmenter(work, work / "state", PARFOCAL_SEGMENTER_WORKERS="2") as running:
        kit.wait_for(lambda: both_are_ready(running), kit.READY, running.output)
        yield running


def both_are_ready(service: kit.Service) -> bool:
    """Each worker has said so in the log: one port does not tell them apart."""
    return len(re.findall("champion 1 answers", service.log.read_text())) == 2


def ask(service: kit.Service) -> httpx.Response:
    """Over a connection of its own, so that either worker may get it."""
    with httpx.Client(timeout=30) as client:
        return client.post(f"{service.url}/segment", files={"image": ("a.jpg", PHOTO)})


def test_requests_to_both_workers_are_counted_once(service: kit.Service) -> None:
    assert len(service.workers()) == 2
    before = service.metric("parfocal_requests_total{status=200")
    threads = [threading.Thread(target=lambda: [ask(service) for _ in range(10)]) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert service.metric("parfocal_requests_total{status=200") == before + 40
    assert service.metric("parfocal_request_seconds_count") == before + 40
    kit.wait_for(lambda: service.metric("parfocal_outbox_pending") == before + 40)
    slots = {file.stem for file in (service.log.parent / "state" / "outbox" / "fundus").glob("*.db")}
    assert slots == {"0", "1"}
    assert [v for k, v in service.metrics().items() if k.startswith("parfocal_model_info")] == [1]


def test_a_new_champion_takes_over_in_both_workers_in_a_burst_without_a_failed_request(
    service: kit.Service, work: Path
) -> None:
    answers: list[tuple[int, str, str]] = []
    late: list[str] = []  # versions that answered what was asked after both had changed
    changed, stop = threading.Event(), threading.Event()

    def caller() -> None:
        while not stop.is_set():
            after = changed.is_set()
            response = ask(service)
            body = response.json() if response.status_code == 200 else {}
            disc = body.get("structures", {}).get("disc", {}).get("mask", "")
            version = body.get("model", {}).get("version", "")
            answers.append((response.status_code, version, disc))
            if after:
                late.append(version)

    threads = [threading.Thread(target=caller) for _ in range(3)]
    for thread in threads:
        thread.start()
    kit.wait_for(lambda: len(answers) > 20, report=service.output)
    kit.promote(work / "state", work / "two", "2")
    kit.wait_for(lambda: service.metric("parfocal_swaps_total") == 2, report=service.output)
    changed.set()
    kit.wait_for(lambda: len(late) > 20, report=service.output)
    stop.set()
    for thread in threads:
        thread.join()
    assert Counter(status for status, _, _ in answers) == {200: len(answers)}
    assert {version for _, version, _ in answers[:20]} == {"1"}
    assert set(late) == {"2"}
    masks = {version: {mask for _, one, mask in answers if one == version} for version in ("1", "2")}
    assert [len(found) for found in masks.values()] == [1, 1], "the version that is named is the one that answered"
    assert masks["1"] != masks["2"]
    info = {k: v for k, v in service.metrics().items() if k.startswith("parfocal_model_info")}
    assert sorted(("version=2" in name, value) for name, value in info.items()) == [(False, 0), (True, 1)]


def test_a_killed_worker_is_replaced_and_its_observations_are_counted_once(service: kit.Service) -> None:
    waiting = service.metric("parfocal_requests_total{status=200")
    assert waiting > 0
    kit.wait_for(lambda: service.metric("parfocal_outbox_pending") == waiting)
    before = service.workers()
    before[0].kill()
    kit.wait_for(
        lambda: len(now := service.workers()) == 2 and before[0].pid not in {one.pid for one in now},
        kit.READY,
        service.output,
    )
    kit.wait_for(lambda: service.log.read_text().count("Service segmenter initialized") == 3, report=service.output)
    time.sleep(1)  # two counts of the outbox
    # The dead worker's own count is left out, and the new one has counted what it found.
    kit.wait_for(lambda: service.metric("parfocal_outbox_pending") == waiting, report=service.output)
    assert {file.stem for file in (service.log.parent / "state" / "outbox" / "fundus").glob("*.db")} == {"0", "1"}
