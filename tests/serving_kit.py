"""A real segmenter as a child process, small bundles for it, and a receiver that stands where the monitor will."""

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import count, islice
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import cv2
import httpx
import numpy as np
import psutil
from prometheus_client.parser import text_string_to_metric_families

from parfocal.core import manifest
from parfocal.core.bundle import BUNDLE, Bundle, Clicked, Exported, StructureModel
from parfocal.preprocessing.fundus import FundusRecipe

READY = 90.0
"""Seconds a service may take to start on a busy machine."""
PATIENCE = 60.0
"""Seconds that anything else is waited for: it costs nothing where it comes at once."""
FRESH = httpx.Limits(max_keepalive_connections=0)
"""A connection for each request: a server closes a kept one after five idle seconds, perhaps just as it is used."""
PORTS = 10_300, 16_000
"""Below those that systems give to whoever asks for any port, or a port chosen here could be somebody's by then."""
_ports = count(os.getpid())


def bundle(folder: Path, seed: int = 0, *, shift: float = 0.0) -> Path:
    """A sealed bundle of two tiny networks of random weights, exported; every seed draws other masks.

    About half of a picture is in; `shift` is added to the logits.
    """
    structures = {
        name: StructureModel(folder=name, inside=inside, runtimes=_exported())
        for name, inside in (("disc", None), ("cup", "disc"))
    }
    return _sealed(folder, structures, [10 * seed + i for i in range(2)], channels=3, shift=shift, seed=seed)


def clickable(folder: Path) -> Path:
    """A sealed bundle of two tiny networks of random weights that answer clicks, exported."""
    structures = {
        name: StructureModel(
            folder=name,
            inside=inside,
            runtimes=_exported(),
            objective="interact",
            clicks=Clicked(),
            threshold=level,
        )
        for name, inside, level in (("disc", None, 0.5), ("cup", "disc", 0.45))
    }
    return _sealed(folder, structures, range(2), channels=6)


def _exported() -> dict[str, Exported]:
    from parfocal.inference.runtimes.openvino import OpenVINORuntime

    return {"openvino": Exported(file=OpenVINORuntime.file, agreement=1.0)}


def _sealed(
    folder: Path,
    structures: dict[str, StructureModel],
    seeds: Iterable[int],
    *,
    channels: int,
    shift: float = 0.0,
    seed: int = 0,
) -> Path:
    import torch

    from parfocal import models
    from parfocal.inference.runtimes.openvino import export

    spec = models.ModelConfig(depth=2, width=4, increment=1.1).spec(in_channels=channels)
    recipe = FundusRecipe(size=64)
    made = Bundle(task="fundus", structures=structures, recipe=recipe.model_dump(), instruments=("A",), datasets=())
    with manifest.new_folder(folder, "bundle", seed=seed) as scratch:
        for name, drawn in zip(structures, seeds, strict=True):
            model = models.build(spec.name, spec.parameters, seed=drawn)
            noise = torch.from_numpy(np.random.default_rng(0).random((4, channels, 64, 64), np.float32))
            with torch.no_grad():
                model.eval().head.bias += shift - model(noise).median()  # about half of a picture is in
            (scratch / name).mkdir()
            models.save(model, spec, scratch / name)
            export(model, scratch / name, 64, channels=channels)
        (scratch / BUNDLE).write_text(made.model_dump_json())
    return folder


def promote(state: Path, folder: Path, version: str, task: str = "fundus") -> None:
    """Say that a bundle is the champion, as the follower does once it has fetched it."""
    values = {
        "task": task,
        "version": version,
        "checksum": manifest.read(folder).checksum,
        "folder": str(folder),
        "uri": f"models:/{task}/{version}",
        "since": "2026-11-21T00:00:00+00:00",
    }
    place = state / "serving" / task
    place.mkdir(parents=True, exist_ok=True)
    manifest.write_atomic(place / "current.json", json.dumps(values))


def picture(seed: int = 0, height: int = 240, width: int = 320) -> np.ndarray:
    """A field of view with a bright disc on a black surround, BGR, that no other seed makes."""
    image = np.zeros((height, width, 3), np.uint8)
    centre, radius = (width // 2, height // 2), min(height, width) // 2 - 4
    cv2.circle(image, centre, radius, (30, 60, 140), -1)
    noise = np.random.default_rng(seed).integers(0, 40, image.shape, np.uint8)
    image[image.any(-1)] += noise[image.any(-1)]
    cv2.circle(image, centre, radius // 4, (90, 170, 230), -1)
    return image


def jpeg(image: np.ndarray) -> bytes:
    return cv2.imencode(".jpg", image)[1].tobytes()


def free_port() -> int:
    """A port that nobody listens on, of those that belong to this one of xdist's workers; another each time."""
    worker = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
    size = 500
    first = PORTS[0] + worker * size % (PORTS[1] - PORTS[0] - size)
    for number in islice(_ports, size):
        with socket.socket() as listener, suppress(OSError):
            listener.bind(("127.0.0.1", first + number % size))
            return first + number % size
    raise AssertionError("every port is taken")


class Service:
    """`bentoml serve` with a home of its own, so that no two of them share metrics."""

    def __init__(self, home: Path, state: Path, **environment: str) -> None:
        self.url = f"http://127.0.0.1:{free_port()}"
        self.log = home / "segmenter.log"
        home.mkdir(parents=True, exist_ok=True)
        clean = {name: value for name, value in os.environ.items() if not name.startswith(("PARFOCAL_", "BENTOML_"))}
        self._environment = {
            **clean,
            "PARFOCAL_STATE": str(state),
            "BENTOML_HOME": str(home / "bentoml"),
            "BENTOML_DO_NOT_TRACK": "True",
            "PARFOCAL_DRAIN_SECONDS": "0",
            "PARFOCAL_OPEN": "1",
            **environment,
        }
        self.client = httpx.Client(base_url=self.url, timeout=30, limits=FRESH)
        self._process: psutil.Popen | None = None

    def start(self, *, ready: bool = True) -> "Service":
        command = [sys.executable, "-m", "bentoml", "serve", "parfocal_serving.segmenter.service:Segmenter",
                   "--host", "127.0.0.1", "--port", self.url.rsplit(":", 1)[1]]  # fmt: skip
        with self.log.open("ab") as log:
            begun = log.tell()
            self._process = psutil.Popen(command, env=self._environment, stdout=log, stderr=subprocess.STDOUT)
        wanted = (200,) if ready else (200, 503)
        wait_for(lambda: self.status() in wanted and len(self.workers()) > 0, READY, self.output)
        if ready:  # /readyz is one worker's word, and the next request may reach another that still loads
            number = int(self._environment.get("PARFOCAL_SEGMENTER_WORKERS", "1"))
            wait_for(lambda: self._said(begun).count(" answers (") >= number, READY, self.output)
        return self

    def _said(self, since: int) -> str:
        return self.log.read_bytes()[since:].decode(errors="replace")

    def terminate(self) -> None:
        """Send SIGTERM and wait for nothing."""
        assert self._process is not None
        self._process.send_signal(signal.SIGTERM)

    @property
    def ended(self) -> bool:
        return self._process is None or self._process.poll() is not None

    def status(self) -> int:
        assert self._process is not None
        if self._process.poll() is not None:
            raise AssertionError(f"the segmenter ended:\n{self.output()}")
        try:
            return self.client.get("/readyz").status_code
        except httpx.TransportError:
            return 0

    def output(self) -> str:
        return self.log.read_text(errors="replace")[-6000:]

    def workers(self) -> list[psutil.Process]:
        """The processes that answer."""
        assert self._process is not None
        return [child for child in self._process.children(recursive=True) if _answers(child)]

    def segment(self, data: bytes, **fields: str) -> httpx.Response:
        return self.client.post("/segment", files={"image": ("photo.jpg", data, "image/jpeg")}, data=fields)

    def metrics(self) -> dict[str, float]:
        """Samples by name and labels, as `name{label=value,...}`."""
        found = {}
        for family in text_string_to_metric_families(self.client.get("/metrics").text):
            for sample in family.samples:
                labels = ",".join(f"{name}={value}" for name, value in sorted(sample.labels.items()))
                found[f"{sample.name}{{{labels}}}" if labels else sample.name] = sample.value
        return found

    def metric(self, start: str) -> float:
        """Sum of all samples whose name and labels begin so."""
        return sum(value for name, value in self.metrics().items() if name.startswith(start))

    def stop(self, how: signal.Signals = signal.SIGTERM) -> None:
        """End the whole tree, each process by its own id; with SIGKILL none of them has a word to say."""
        if self._process is None or self._process.poll() is not None:
            self._process = None
            return
        tree = [self._process, *self._process.children(recursive=True)]
        for process in tree if how == signal.SIGKILL else tree[:1]:
            _signal(process, how)
        _, alive = psutil.wait_procs(tree, 20)
        for process in alive:
            _signal(process, signal.SIGKILL)
        psutil.wait_procs(alive, 10)
        self._process = None


@contextmanager
def segmenter(home: Path, state: Path, *, ready: bool = True, **environment: str) -> Iterator[Service]:
    service = Service(home, state, **environment)
    try:
        yield service.start(ready=ready)
    finally:
        service.stop()
        service.client.close()


@contextmanager
def in_process(state: Path, **settings: Any) -> Iterator[SimpleNamespace]:
    """The routes in a thread of this process: `http`, `url`, `port`, and `workers`, one a task."""
    import uvicorn
    from parfocal_serving.segmenter import slot, web
    from parfocal_serving.segmenter.pools import Pools
    from parfocal_serving.segmenter.running import Running
    from parfocal_serving.segmenter.settings import SegmenterSettings
    from parfocal_serving.segmenter.worker import Worker

    slot.PATIENCE = PATIENCE  # on a machine that may stall, what is looked at is measured all the same
    told = SegmenterSettings(state=state, patient_secret="x", threads=2, **settings)
    pools = Pools(told)
    workers = [Worker(one, pools) for one in told.each()]
    Running.worker, Running.others = workers[0], {one.settings.task: one for one in workers[1:]}
    for worker in workers:
        worker.start()
    port = free_port()
    server = uvicorn.Server(uvicorn.Config(web.app, host="127.0.0.1", port=port, log_level="warning"))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    try:
        wait_for(lambda: server.started)
        url = f"http://127.0.0.1:{port}"
        with httpx.Client(base_url=url, timeout=60, limits=FRESH) as http:
            yield SimpleNamespace(http=http, url=url, port=port, workers=workers, worker=workers[0])
    finally:
        server.should_exit = True
        thread.join(10)
        Running.others = {}
        for worker in workers:
            worker.stop()


def _answers(process: psutil.Process) -> bool:
    try:
        return any("_bentoml_impl.worker" in word for word in process.cmdline())
    except (psutil.NoSuchProcess, psutil.ZombieProcess):
        return False


def _signal(process: Any, how: signal.Signals) -> None:
    try:
        process.send_signal(how)
    except psutil.NoSuchProcess:
        return


class Receiver:
    """Takes observations as the monitor does: once by id, in memory. It can be taken away and brought back.

    Attributes:
        received: observations by id.
        deliveries: how often each id came.
        bearers: the Authorization headers seen.
    """

    def __init__(self) -> None:
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.received: dict[str, dict[str, Any]] = {}
        self.deliveries: Counter[str] = Counter()
        self.batches: list[int] = []
        self.bearers: set[str] = set()
        self._server: ThreadingHTTPServer | None = None

    def answer(self, body: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        """What one POST is answered; a test may put another function here."""
        batch = body["observations"]
        self.batches.append(len(batch))
        new = 0
        for observation in batch:
            self.deliveries[observation["id"]] += 1
            new += observation["id"] not in self.received
            self.received[observation["id"]] = observation
        return 200, {"accepted": new, "duplicates": len(batch) - new, "rejected": []}

    def start(self) -> "Receiver":
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                receiver.bearers.add(self.headers.get("Authorization", ""))
                status, values = receiver.answer(body) if self.path == "/observations" else (404, {})
                content = json.dumps(values).encode()
                self.send_response(status)
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            def log_message(self, *values: object) -> None: ...

        class Server(ThreadingHTTPServer):
            daemon_threads = True
            allow_reuse_address = True

        self._server = Server(("127.0.0.1", self.port), Handler)
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()
        return self

    def stop(self) -> None:
        if self._server is not None:
            self._server.shutdown()
            self._server.server_close()
            self._server = None


def wait_for(condition: Any, seconds: float = PATIENCE, report: Any = lambda: "") -> None:
    """Until it holds; fails with what `report` says."""
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            raise AssertionError(f"not within {seconds:g} s:\n{report()}")
        time.sleep(0.05)
