"""The clinics of the demo: cameras that deliver, and requests that are counted."""

import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from parfocal.cli.demo.traffic import Clinic, Flow, FolderCamera, PhantomCamera, Photograph
from parfocal.phantoms import case


class Endpoint(ThreadingHTTPServer):
    """Answers in turn with what it was told; the last answer is repeated."""

    answers: list[tuple[int, bytes]]
    bodies: list[bytes]


class Handler(BaseHTTPRequestHandler):
    server: Endpoint

    def do_POST(self) -> None:
        self.server.bodies.append(self.rfile.read(int(self.headers["Content-Length"])))
        code, body = self.server.answers.pop(0) if len(self.server.answers) > 1 else self.server.answers[0]
        self.send_response(code)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None: ...


def version(number: str) -> tuple[int, bytes]:
    return 200, json.dumps({"model": {"version": number}}).encode()


@contextmanager
def endpoint(*answers: tuple[int, bytes]) -> Iterator[tuple[str, Endpoint]]:
    with Endpoint(("127.0.0.1", 0), Handler) as server:
        server.answers, server.bodies = list(answers), []
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}", server
        server.shutdown()
        thread.join()


def photographs(folder: Path, number: int) -> list[Path]:
    files = [folder / f"p{i}.jpg" for i in range(number)]
    for file in files:
        file.write_bytes(file.stem.encode())
    return files


def test_a_clinic_counts_versions_and_every_kind_of_failure(tmp_path: Path) -> None:
    bad = [(500, b"{}"), (200, b"no JSON"), (200, b"{}"), (200, b"[]")]
    with endpoint(version("1"), *bad, version("2")) as (address, _):
        clinic = Clinic(address)
        camera = FolderCamera("A", photographs(tmp_path, 7))
        answers = list(clinic.stream(camera, 100))
        clinic.close()
    assert [answer is not None for answer in answers] == [True, False, False, False, False, True, True]
    assert clinic.versions == {"1": 1, "2": 2}
    assert [line.split(":")[0] for line in clinic.failed] == ["p1.jpg", "p2.jpg", "p3.jpg", "p4.jpg"]
    assert len(clinic.seconds) == 3
    assert clinic.sent == 7


def test_an_endpoint_that_is_away_is_a_failed_request_and_nothing_is_tried_twice() -> None:
    with endpoint(version("1")) as (address, server):
        clinic = Clinic(address)
        assert clinic.send(Photograph("a.jpg", "p", b"a"), "A")
    server.server_close()
    assert clinic.send(Photograph("b.jpg", "p", b"b"), "A") is None
    assert (clinic.sent, len(clinic.failed), len(server.bodies)) == (2, 1, 1)


def test_a_clinic_declares_instrument_and_patient() -> None:
    with endpoint(version("1")) as (address, server):
        Clinic(address).send(Photograph("eye.jpg", "P0042", b"pixels"), "camera B")
    for part in (
        b'name="instrument"\r\n\r\ncamera B',
        b'name="patient"\r\n\r\nP0042',
        b'filename="eye.jpg"',
        b"pixels",
    ):
        assert part in server.bodies[0]


def test_a_flow_takes_cameras_in_turn_and_stops(tmp_path: Path) -> None:
    with endpoint(version("1"), version("1"), version("2")) as (address, server):
        clinic = Clinic(address)
        one, other = FolderCamera("A", photographs(tmp_path, 3), again=True), FolderCamera("B", [])
        with Flow(clinic, [one, other], every=0.01) as flow:
            end = time.monotonic() + 60
            while len(flow.answers) < 5 and time.monotonic() < end:
                time.sleep(0.01)
        sent = len(server.bodies)
        time.sleep(0.1)
        assert len(server.bodies) == sent == clinic.sent
    assert [answer for _, answer in flow.answers[:4]] == ["1", "1", "2", "2"]
    assert [moment for moment, _ in flow.answers] == sorted(moment for moment, _ in flow.answers)


def test_a_phantom_camera_gives_each_patient_once_and_in_order() -> None:
    camera = PhantomCamera("A", range(500, 511), seed=3)
    taken = [camera.take(1), camera.take(4), camera.take(100), camera.take(1)]
    assert [len(some) for some in taken] == [1, 4, 6, 0]
    patients = [photograph.patient for some in taken for photograph in some]
    assert patients == [f"P{number:04d}" for number in range(500, 511)]
    truth = case("A", 500, 3)
    assert (taken[0][0].name, taken[0][0].data) == (truth.name + truth.encode()[0], truth.encode()[1])


@pytest.mark.parametrize(("again", "expected"), [(False, ["p0", "p1", "p2"]), (True, ["p0", "p1", "p2", "p0", "p1"])])
def test_a_folder_camera_delivers_files_by_name_and_begins_anew_only_when_told(
    tmp_path: Path, again: bool, expected: list[str]
) -> None:
    camera = FolderCamera("x", reversed(photographs(tmp_path, 3)), again=again)
    taken = [*camera.take(2), *camera.take(3)]
    assert [photograph.patient for photograph in taken] == expected
    assert taken[1] == Photograph("p1.jpg", "p1", b"p1")
