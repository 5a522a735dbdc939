import json
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from random import Random

import httpx
import numpy as np
import pytest
import uvicorn

from parfocal.client import Click, Client, RefusedError
from parfocal.client import client as client_module
from parfocal.client.retry import Patience, retry_after
from parfocal.core.errors import DataContractError, OutsideServiceError, UsageError

ANSWER = {
    "request_id": "1",
    "instrument": None,
    "model": {"task": "fundus", "version": "7", "checksum": "c", "runtime": "openvino"},
    "structures": {
        "disc": {"rle": {"size": [2, 3], "counts": [1, 3, 2]}, "contour": [[0, 1]], "area": 3, "radius": 0.98}
    },
    "cdr": 0.5,
    "vertical_cdr": None,
    "quality": ["empty-cup"],
    "timing_ms": {"total": 3.0},
    "a field of a newer service": 1,
}
BUSY = {"error": {"what": "too many requests at once", "where": "", "expected": "at most 64", "next": "try again"}}


class Service:
    """Answers one after the other, the last one for ever, and keeps what it was asked."""

    def __init__(self, *answers: httpx.Response | Exception) -> None:
        self.answers, self.asked, self.pauses = list(answers), [], []

    def __call__(self, request: httpx.Request) -> httpx.Response:
        self.asked.append(request)
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(answer, Exception):
            raise answer
        return httpx.Response(answer.status_code, headers=answer.headers, content=answer.content)

    def client(self, **rest: object) -> Client:
        return Client("http://x/", transport=httpx.MockTransport(self), sleep=self.pauses.append, rng=Random(0), **rest)


def fine() -> httpx.Response:
    return httpx.Response(200, json=ANSWER)


def busy(status: int = 429, after: str | None = None) -> httpx.Response:
    return httpx.Response(status, json=BUSY, headers={"Retry-After": after} if after else {})


def test_an_answer_becomes_values() -> None:
    service = Service(fine())
    found = service.client(token="secret").segment(b"bytes", instrument="A", spacing=(0.01, 0.02))
    assert found.model.version == "7"
    assert (found.cdr, found.vertical_cdr, found.quality) == (0.5, None, ("empty-cup",))
    disc = found.structures["disc"]
    np.testing.assert_array_equal(disc.pixels(), [[False, True, False], [True, True, False]])
    assert disc.contour == ((0, 1),)
    assert disc.area_mm2 is None
    (request,) = service.asked
    assert request.headers["authorization"] == "Bearer secret"
    body = request.read()
    assert b'name="instrument"\r\n\r\nA\r\n' in body
    assert b'name="spacing"\r\n\r\n0.01,0.02\r\n' in body
    assert b'name="patient"' not in body


@pytest.mark.parametrize("status", [429, 503, 504])
def test_a_busy_service_is_asked_again_after_what_it_says(status: int) -> None:
    service = Service(busy(status, "3"), busy(status), fine())
    assert service.client().segment(b"x").request_id == "1"
    assert service.pauses[0] == 3
    assert 0.2 <= service.pauses[1] <= 0.4


def test_patience_ends_and_the_error_says_what_the_service_said() -> None:
    service = Service(busy(503, "99"))
    with pytest.raises(OutsideServiceError, match="too many requests at once") as error:
        service.client(patience=Patience(tries=3, longest=5)).segment(b"x")
    assert (error.value.expected, error.value.next) == ("at most 64", "try again")
    assert len(service.asked) == 3
    assert service.pauses == [5, 5], "no service makes a client wait longer than it wants to"


def test_pauses_grow_and_are_spread() -> None:
    patience, rng = Patience(first=1, longest=10), Random(1)
    for tried, most in ((1, 1), (2, 2), (3, 4), (9, 10)):
        pauses = {patience.pause(tried, None, rng) for _ in range(50)}
        assert most / 2 <= min(pauses) < max(pauses) <= most
        assert len(pauses) > 40


@pytest.mark.parametrize(
    ("header", "seconds"),
    [("7", 7), (formatdate(1030), 30), ("soon", None), (None, None), (formatdate(900), 0)],
)
def test_retry_after_is_seconds_or_a_date(header: str | None, seconds: float | None) -> None:
    assert retry_after(header, lambda: 1000.0) == seconds


def test_what_is_wrong_is_said_once_and_not_asked_again() -> None:
    told = {"error": {"what": "cut short", "where": "image", "expected": "a photograph", "next": "copy it again"}}
    service = Service(httpx.Response(400, json=told))
    with pytest.raises(RefusedError, match="cut short") as error:
        service.client().segment(b"x")
    assert (error.value.status, error.value.where, error.value.next) == (400, "image", "copy it again")
    assert isinstance(error.value, UsageError)
    assert len(service.asked) == 1


@pytest.mark.parametrize(
    ("answer", "says"),
    [
        (httpx.Response(502, text="<html>"), "HTTP 502 without a reason"),
        (httpx.Response(500, json=[]), "HTTP 500"),
        (httpx.Response(200, text="<html>"), "no JSON"),
        (httpx.Response(200, json={"request_id": 1}), "does not understand"),
        (httpx.Response(200, json=[1]), "does not understand"),
        (httpx.ReadTimeout("late"), "late"),
        (httpx.RemoteProtocolError("gone"), "gone"),
    ],
)
def test_a_service_that_is_none_is_an_outside_error_and_nothing_is_counted_twice(
    answer: httpx.Response | Exception, says: str
) -> None:
    service = Service(answer)
    with pytest.raises(OutsideServiceError, match=says):
        service.client().segment(b"x")
    assert len(service.asked) == 1


def test_a_service_that_does_not_listen_yet_is_tried_again() -> None:
    service = Service(httpx.ConnectError("refused"), fine())
    assert service.client().segment(b"x").request_id == "1"


def test_a_click_is_sent_without_the_picture_until_the_case_is_gone() -> None:
    values = ANSWER | ANSWER["structures"]["disc"] | {"case": "new", "structure": "disc", "outer": None}
    gone = httpx.Response(404, json={"error": {"what": "not remembered"}})
    service = Service(gone, httpx.Response(200, json=values))
    found = service.client().refine("disc", [Click(1, 2, object=False)], case="old", image=b"PICTURE", previous=b"PNG")
    assert found.case == "new"
    first, second = (request.read() for request in service.asked)
    assert b"PICTURE" not in first
    assert b'name="case"\r\n\r\nold' in first
    assert b"PICTURE" in second
    assert b'name="case"' not in second
    for body in (first, second):
        assert json.dumps([{"row": 1, "column": 2, "object": False}]).encode() in body
        assert b"PNG" in body
    with pytest.raises(UsageError, match="neither"):
        service.client().refine("disc", [])


class Slow:
    """Counts how many pictures are asked for at once; the second is refused."""

    def __init__(self) -> None:
        self.lock, self.now, self.most, self.seen = threading.Lock(), 0, 0, 0

    def __call__(self, request: httpx.Request) -> httpx.Response:
        with self.lock:
            self.now += 1
            self.seen += 1
            self.most = max(self.most, self.now)
        time.sleep(0.02)
        with self.lock:
            self.now -= 1
        if b"picture 1" in request.read():
            return httpx.Response(415, json={"error": {"what": "no photograph"}})
        return fine()


def many(service: Callable[[httpx.Request], httpx.Response]) -> Client:
    return Client("http://x", transport=httpx.MockTransport(service))


def test_many_pictures_come_back_in_order_a_few_at_once_and_a_bad_one_stops_no_other(tmp_path: Path) -> None:
    service, done = Slow(), []
    missing = tmp_path / "missing.jpg"
    pictures = [*(f"picture {i}".encode() for i in range(9)), missing]
    found = list(many(service).segment_many(pictures, in_flight=3, progress=done.append))
    assert [one.picture for one in found] == pictures
    assert [one.number for one in found] == list(range(10))
    assert [one.answer is not None for one in found] == [True, False, *[True] * 7, False]
    assert isinstance(found[1].error, RefusedError)
    assert isinstance(found[9].error, DataContractError)
    assert done == list(range(1, 11))
    assert 1 < service.most <= 3


def test_nobody_is_asked_for_what_nobody_fetches() -> None:
    service, taken = Slow(), []

    def endless():
        while True:
            taken.append(1)
            yield b"x"

    outcomes = many(service).segment_many(endless(), in_flight=2)
    next(outcomes)
    time.sleep(0.2)
    assert len(taken) == 3
    outcomes.close()
    assert service.seen <= 3
    with pytest.raises(UsageError, match="0 requests"):
        next(many(service).segment_many([], in_flight=0))


def test_the_client_loads_nothing_heavy() -> None:
    program = (
        "import sys, parfocal.client; print([n for n in ('torch', 'cv2', 'numpy', 'openvino') if n in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_a_task_goes_with_every_request_that_can_have_one() -> None:
    clicked = ANSWER | ANSWER["structures"]["disc"] | {"case": "new", "structure": "disc", "outer": None}
    knows = {"task": "lung", "version": "3", "instruments": []}
    service = Service(*(httpx.Response(200, json=one) for one in (ANSWER, ANSWER, clicked, clicked, knows, knows)))
    with service.client() as client:
        client.segment(b"x", task="lung")
        list(client.segment_many([b"x"], task="lung"))
        client.refine("disc", [], case="old", task="lung")
        client.refine("disc", [], image=b"x", task="lung")
        assert client.instruments("CR 1", task="lung").task == "lung"
        client.instruments()
    forms, (named, plain) = service.asked[:4], service.asked[4:]
    assert all(b'name="task"\r\n\r\nlung\r\n' in form.read() for form in forms)
    assert dict(named.url.params) == {"name": "CR 1", "task": "lung"}
    assert not plain.url.params


def test_models_and_instruments_of_the_other_tasks_are_told() -> None:
    lung = {"task": "lung", "champion": ANSWER["model"], "clicks": None}
    found = Service(httpx.Response(200, json={**lung, "task": "eye", "others": [lung]})).client().models()
    assert [(one.task, one.champion and one.champion.version) for one in (found, *found.others)] == [
        ("eye", "7"), ("lung", "7"),
    ]  # fmt: skip
    knows = {"task": "lung", "version": "3", "instruments": []}
    known = Service(httpx.Response(200, json={**knows, "task": "eye", "others": [knows]})).client().instruments()
    assert [one.task for one in (known, *known.others)] == ["eye", "lung"]


def test_a_connection_is_used_again_while_it_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    class Answers(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        connections = 0

        def setup(self) -> None:
            type(self).connections += 1
            super().setup()

        def do_GET(self) -> None:
            body = json.dumps({"tasks": []}).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None: ...

    with ThreadingHTTPServer(("127.0.0.1", 0), Answers) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        for kept, connections in ((60.0, 1), (0.0, 1 + 3)):
            monkeypatch.setattr(client_module, "KEPT", kept)
            with Client(f"http://127.0.0.1:{server.server_port}") as client:
                for _ in range(3):
                    client._send("GET", "/models")
            assert Answers.connections == connections
        server.shutdown()


def test_an_idle_connection_is_let_go_before_the_service_does() -> None:
    assert 0.5 * uvicorn.Config("x").timeout_keep_alive > client_module.KEPT
