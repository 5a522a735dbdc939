"""A segmenter that is told to end: who had begun is answered, who comes later is sent elsewhere, nothing is lost."""

import http.client
import json
import sqlite3
import threading
import time
from pathlib import Path

import httpx
import serving_kit as kit

PHOTO = kit.jpeg(kit.picture(1))
LARGE = kit.jpeg(kit.picture(1, 960, 1280))
"""Most of it buys a slow upload many seconds."""
DRAIN = 8.0


class Caller(threading.Thread):
    """Sends one photograph after another over a kept connection, until it is told that this one is its last."""

    def __init__(self, url: str, answers: list[httpx.Response]) -> None:
        super().__init__()
        self._url, self._answers = url, answers
        self.failed: Exception | None = None

    def run(self) -> None:
        try:
            with httpx.Client(base_url=self._url, timeout=30) as client:
                last = False
                while not last:
                    answer = client.post("/segment", files={"image": ("a.jpg", PHOTO)}, data={"patient": "one"})
                    self._answers.append(answer)
                    last = answer.headers.get("connection") == "close"
        except Exception as error:
            self.failed = error


class Balancer(threading.Thread):
    """Asks whether it is ready before each of its requests, each over a connection of its own."""

    def __init__(self, url: str, answers: list[httpx.Response]) -> None:
        super().__init__()
        self._url, self._answers = url, answers
        self.ended = 0.0
        self.failed: Exception | None = None

    def run(self) -> None:
        try:
            while httpx.get(f"{self._url}/readyz", timeout=30).status_code == 200:
                self._answers.append(httpx.post(f"{self._url}/segment", files={"image": ("a.jpg", PHOTO)}, timeout=30))
            self.ended = time.monotonic()
        except Exception as error:
            self.failed = error


def form(data: bytes) -> bytes:
    return b'--x\r\nContent-Disposition: form-data; name="image"; filename="a"\r\n\r\n' + data + b"\r\n--x--\r\n"


def test_sigterm_under_load_costs_no_request_and_no_observation(tmp_path: Path) -> None:
    kit.promote(tmp_path / "state", kit.bundle(tmp_path / "one"), "1")
    with kit.segmenter(tmp_path, tmp_path / "state", PARFOCAL_DRAIN_SECONDS=str(DRAIN)) as service:
        answers: list[httpx.Response] = []
        callers = [*(Caller(service.url, answers) for _ in range(3)), balancer := Balancer(service.url, answers)]
        for caller in callers:
            caller.start()
        kit.wait_for(lambda: len(answers) > 30, report=service.output)

        body = form(LARGE)
        slow = http.client.HTTPConnection("127.0.0.1", int(service.url.rsplit(":", 1)[1]), timeout=30)
        slow.putrequest("POST", "/segment")
        slow.putheader("Content-Type", "multipart/form-data; boundary=x")
        slow.putheader("Content-Length", str(len(body)))
        slow.endheaders(body[:-1000])
        before = len(answers)
        kit.wait_for(lambda: len(answers) > before + 10, report=service.output)  # and so the slow one is being read

        told = time.monotonic()
        service.terminate()
        for caller in callers:
            caller.join(60)
        assert not any(caller.is_alive() for caller in callers)
        assert [caller.failed for caller in callers] == [None] * 4
        assert balancer.ended - told < DRAIN, "it is not ready from the start"

        def come_late() -> httpx.Response:
            return httpx.post(f"{service.url}/segment", files={"image": ("a.jpg", PHOTO)}, timeout=30)

        time.sleep(max(0.0, told + DRAIN - time.monotonic()))
        while (late := come_late()).status_code == 200:
            answers.append(late)
        assert (late.status_code, late.headers["retry-after"], late.headers["connection"]) == (503, "1", "close")
        assert "stopped" in late.json()["error"]["what"]
        slow.send(body[-1000:])
        last = slow.getresponse()
        assert last.status == 200, "its upload began before the end did"
        ids = {answer.json()["request_id"] for answer in answers} | {json.loads(last.read())["request_id"]}
        assert {answer.status_code for answer in answers} == {200}
        kit.wait_for(lambda: service.ended, report=service.output)
        assert "Traceback" not in service.log.read_text()

    assert len(ids) == len(answers) + 1
    database = sqlite3.connect(tmp_path / "state" / "outbox" / "fundus" / "0.db")
    kept = [json.loads(text) for (text,) in database.execute("SELECT body FROM waiting")]
    database.close()
    assert {one["id"] for one in kept} == ids
    assert all(one["embedding"] for one in kept), "what was seen was measured to the last one"
