"""Clients that send slowly, by halves or too many at once: each hears so, and nobody else waits for them."""

import contextlib
import socket
import threading
import time
from collections.abc import Iterator
from types import SimpleNamespace

import httpx
import pytest
import serving_kit as kit
from parfocal_serving.segmenter import pressure
from parfocal_serving.segmenter.pressure import Pressure

PHOTO = kit.jpeg(kit.picture(1))
HEAD = b'--x\r\nContent-Disposition: form-data; name="image"; filename="a"\r\n\r\n'
MOST = 4


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SimpleNamespace]:
    work = tmp_path_factory.mktemp("slow")
    kit.promote(work / "state", kit.bundle(work / "one"), "1")
    with kit.in_process(work / "state", concurrency=MOST) as running:
        yield running


def begun(service: SimpleNamespace, size: int) -> socket.socket:
    """A request of a body of so many bytes, of which its head has been sent."""
    caller = socket.create_connection(("127.0.0.1", service.port), timeout=60)
    caller.sendall(
        f"POST /segment HTTP/1.1\r\nHost: x\r\nContent-Length: {size}\r\n".encode()
        + b"Content-Type: multipart/form-data; boundary=x\r\n\r\n"
        + HEAD
    )
    return caller


def segment(service: SimpleNamespace) -> int:
    return service.http.post("/segment", files={"image": ("a.jpg", PHOTO)}).status_code


def counts(service: SimpleNamespace) -> tuple[int, int]:
    found = service.worker.pools.segmenting
    return found.uploads, found.held


def test_who_sends_a_byte_now_and_then_keeps_nobody_waiting_and_is_sent_away(
    service: SimpleNamespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pressure, "GRACE", 8.0)
    stop = threading.Event()
    slow = [begun(service, 100_000) for _ in range(MOST - 1)]

    def drip() -> None:
        while not stop.wait(0.05):
            for caller in slow:
                with contextlib.suppress(OSError):
                    caller.sendall(b"x")

    thread = threading.Thread(target=drip)
    thread.start()
    try:
        kit.wait_for(lambda: counts(service)[0] == MOST - 1)
        assert {segment(service) for _ in range(5)} == {200}
        answers = [caller.recv(65536) for caller in slow]
    finally:
        stop.set()
        thread.join()
    for caller, answer in zip(slow, answers, strict=True):
        assert answer.startswith(b"HTTP/1.1 408 ")
        assert b"too slowly" in answer or b"too slowly" in caller.recv(65536)
        assert b"connection: close" in answer.lower(), "or it would go on for ever"
        caller.close()
    assert counts(service) == (0, 0)


def test_a_steady_upload_is_not_called_slow(service: SimpleNamespace, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pressure, "GRACE", 0.2)  # less than all of it takes
    monkeypatch.setattr(pressure, "SLOWEST", 10)  # every piece buys more time than any machine keeps the next waiting
    body = HEAD + PHOTO + b"\r\n--x--\r\n"
    with begun(service, len(body)) as caller:
        rest = body[len(HEAD) :]
        for at in range(0, len(rest), 1000):
            caller.sendall(rest[at : at + 1000])
            time.sleep(0.05)
        assert caller.recv(65536).startswith(b"HTTP/1.1 200 ")


def test_an_upload_that_is_closed_in_the_middle_leaves_its_place_to_others(service: SimpleNamespace) -> None:
    for _ in range(2 * MOST):
        with begun(service, 100_000) as caller:
            caller.shutdown(socket.SHUT_WR)
            assert caller.recv(100) == b"", "nobody is there to be told"
    kit.wait_for(lambda: counts(service) == (0, 0))
    assert segment(service) == 200


def test_a_whole_upload_that_is_closed_after_its_last_byte_is_computed_once(service: SimpleNamespace) -> None:
    before = service.worker.outbox.slot.pending
    body = HEAD + PHOTO + b"\r\n--x--\r\n"
    with begun(service, len(body)) as caller:
        caller.sendall(body[len(HEAD) :])
        caller.shutdown(socket.SHUT_WR)
        caller.recv(65536)
    kit.wait_for(lambda: counts(service) == (0, 0))
    assert service.worker.outbox.slot.pending - before in (0, 1), "the server may see the end before the picture"
    assert segment(service) == 200


def test_as_many_as_there_is_room_for_are_answered_and_one_more_hears_when_to_come_back(
    service: SimpleNamespace,
) -> None:
    found, release = service.worker.pools.segmenting, threading.Event()
    blockers = [service.worker.pool.submit(release.wait) for _ in range(2)]
    statuses: list[int] = []
    threads = [threading.Thread(target=lambda: statuses.append(fresh(service))) for _ in range(MOST)]
    try:
        for thread in threads:
            thread.start()
        kit.wait_for(lambda: counts(service) == (0, MOST))
        found.seconds = 3.0
        refused = service.http.post("/segment", files={"image": ("a.jpg", PHOTO)})
        assert refused.status_code == 429
        assert refused.headers["retry-after"] == "6", "four that take 3 s each, on two threads"
    finally:
        release.set()
        for thread in threads:
            thread.join()
        for blocker in blockers:
            blocker.result()
    assert statuses == [200] * MOST
    assert segment(service) == 200


def fresh(service: SimpleNamespace) -> int:
    return httpx.post(f"{service.url}/segment", files={"image": ("a.jpg", PHOTO)}, timeout=30).status_code


def test_the_time_to_come_back_is_bounded_and_of_what_is_here() -> None:
    found = Pressure(10, 2)
    assert found.retry_after() == 1, "nothing is known yet"
    found.timed(lambda: None)
    found.seconds, found.held = 0.5, 9
    assert found.retry_after() == 3  # 9 * 0.5 / 2 = 2.25
    found.seconds = 1000.0
    assert found.retry_after() == 60
