"""A monitor whose case store has photographs of instrument B, and an HTTP server that answers as a segmenter does."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from email.parser import BytesParser
from email.policy import HTTP
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
from monitor_kit import observation, photograph, promote, wire
from parfocal_serving.monitor.annotate import masks
from parfocal_serving.monitor.app import build
from parfocal_serving.monitor.service import Service
from parfocal_serving.monitor.settings import MonitorSettings
from starlette.testclient import TestClient

HERE = ("127.0.0.1", 50000)
SIZE = 48
TEN = {"minimum_cases": 10, "minimum_test": 5, "dry_run": True}


def disc(radius: int = 15) -> np.ndarray:
    """A disc in the middle of a photograph."""
    row, column = np.mgrid[:SIZE, :SIZE] - SIZE // 2
    return row**2 + column**2 <= radius**2


def rle(radius: int = 15) -> dict[str, Any]:
    return masks.encode(disc(radius))


DRAWN = {"disc": rle(15), "cup": rle(8)}


class World:
    """A state folder with a champion, and monitors on it one after the other."""

    def __init__(self, state: Path, database_url: str, segmenter: str) -> None:
        self.state, self.database_url, self.segmenter = state, database_url, segmenter
        self.reference = promote(state)

    def settings(self, **more: Any) -> MonitorSettings:
        values = {
            "state": self.state, "token": "", "open": True, "database_url": self.database_url,
            "segmenter_url": self.segmenter, "trigger": TEN, "trigger_path": "monitor", **more,
        }  # fmt: skip
        return MonitorSettings(**values)

    def monitor(self, service: Service | None = None, **settings: Any) -> TestClient:
        app = build(self.settings(**settings), service)
        return TestClient(app, base_url="http://127.0.0.1:8081", client=HERE)

    def capture(
        self, monitor: TestClient, count: int, first: int = 0, instrument: str | None = "B", **more: Any
    ) -> None:
        """What the segmenter does: photographs into the case store, then their observations."""
        folder = self.state / "captured" / "fundus" / "2026-11-21"
        folder.mkdir(parents=True, exist_ok=True)
        seen = []
        for number in range(first, first + count):
            name = f"{instrument}-{number}"
            (folder / f"{name}.png").write_bytes(photograph(number, SIZE))
            ref = f"captured/fundus/2026-11-21/{name}.png"
            values = {"patient_hmac": f"{number:064x}", "case_ref": ref, **more}
            seen.append(observation(number, instrument, at=20.0, reference=self.reference, **values))
        monitor.post("/observations", json=wire(seen)).raise_for_status()


def take(monitor: TestClient, annotator: str = "Ada", instrument: str | None = None) -> dict[str, Any] | None:
    answer = monitor.post("/api/annotate/next", json={"instrument": instrument, "annotator": annotator})
    assert answer.status_code in (200, 204), answer.text
    return dict(answer.json()) if answer.status_code == 200 else None


def ask(monitor: TestClient, given: dict[str, Any], method: str, what: str, body: Any = None) -> Any:
    headers = {"X-Lease": given["lease"]["token"]}
    return monitor.request(method, f"/api/annotate/cases/{given['case']}/{what}", json=body, headers=headers)


def accept(monitor: TestClient, given: dict[str, Any], **more: Any) -> Any:
    return ask(
        monitor, given, "POST", "accept", {"masks": DRAWN, "clicks": 3, "assisted": False, "seconds": 9.5, **more}
    )


class Fake(BaseHTTPRequestHandler):
    """Answers as the segmenter does; `server.asked` has the fields of every form."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        model = {"task": "fundus", "version": "7", "checksum": "c", "runtime": "kit"}
        self._answer(200, {"task": "fundus", "champion": model, "clicks": model})

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        head = f"Content-Type: {self.headers['Content-Type']}\r\n\r\n".encode()
        form = {
            part.get_param("name", header="content-disposition"): part.get_payload(decode=True)
            for part in BytesParser(policy=HTTP).parsebytes(head + body).iter_parts()
        }
        self.server.asked.append((self.path, form))  # type: ignore[attr-defined]
        if form.get("case") == b"forgotten":
            self._answer(404, {"error": {"what": "this case is not remembered here", "where": "case"}})
            return
        model = {"task": "fundus", "version": "7", "checksum": "c", "runtime": "kit"}
        one = {"contour": [], "area": 1, "radius": 1.0}
        if self.path == "/segment":
            self._answer(200, {
                "request_id": self.server.name, "instrument": "B", "model": model, "cdr": None, "vertical_cdr": None,  # type: ignore[attr-defined]
                "structures": {"disc": {**one, "rle": rle(14)}, "cup": {**one, "rle": rle(8)}}, "quality": [],
                "timing_ms": {},
            })  # fmt: skip
        else:
            self._answer(200, {
                "request_id": "r", "case": "known", "structure": form["structure"].decode(), "model": model,
                "outer": None, "timing_ms": {}, **one, "rle": rle(13),
            })  # fmt: skip

    def _answer(self, status: int, content: dict[str, Any]) -> None:
        body = json.dumps(content).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


@contextmanager
def fake_segmenter() -> Iterator[ThreadingHTTPServer]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Fake)
    server.asked, server.name = [], "known"  # type: ignore[attr-defined]
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server
    server.shutdown()
    server.server_close()
