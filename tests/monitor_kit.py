"""A monitor's world in a folder: champions with references, observations, labelled cases, the service itself."""

import io
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple
from uuid import uuid4

import cv2
import httpx
import numpy as np
from parfocal_serving.monitor import database
from serving_kit import FRESH

from parfocal.adapters.tokens import TokenStore
from parfocal.core.manifest import sha256, write_atomic
from parfocal.core.observations import to_json
from parfocal.core.types import Observation
from parfocal.drift.reference import DriftConfig, fit

SHIPPED = database.BUSY_SECONDS
"""How long a monitor's writer waits for another."""
database.BUSY_SECONDS = 60.0  # of those in the tests' own process, on machines that may stall
WIDTH = 12
"""Of the embeddings."""
PLACES = {"A": 0.0, "C": 40.0}
"""Known instruments, by where their embeddings lie; B, a new one, is put where a test wants it."""


def retrain(folder: Path) -> Path:
    """A compiled pipeline with the arguments of `continual` that only writes down that it ran, into `ran`.

    It waits while there is a file `hold` in the state folder.
    """
    from kfp import compiler, dsl

    @dsl.component(base_image="parfocal/test", install_kfp_package=False)
    def learn(experience_uri: str, key: str) -> str:
        import os
        import time
        from pathlib import Path

        state = Path(os.environ["PARFOCAL_STATE"])
        with (state / "ran").open("a") as file:
            file.write(f"{key} {len(list(Path(experience_uri, 'images').iterdir()))}\n")
        while (state / "hold").exists():
            time.sleep(0.05)
        return "promote"

    class Outputs(NamedTuple):
        outcome: str

    @dsl.pipeline(name="retrain-kit")
    def pipeline(config: str, experience_uri: str, champion_uri: str, idempotency_key: str) -> Outputs:
        done = learn(experience_uri=experience_uri, key=idempotency_key)
        return Outputs(outcome=done.outputs["Output"])

    file = folder / "retrain-kit.yaml"
    compiler.Compiler().compile(pipeline, str(file))
    return file


def ran(state: Path) -> list[str]:
    """A line for every time the pipeline ran: key and number of cases."""
    file = state / "ran"
    return file.read_text().splitlines() if file.exists() else []


def observation(
    number: int, instrument: str | None = "A", *, at: float = 0.0, reference: str = "", **more: Any
) -> Observation:
    """Observation `number` of an instrument: the same number is the same observation."""
    rng = np.random.default_rng([number, 7])
    shape = {"disc.x": 0.5 + 0.02 * rng.normal(), "disc.y": 0.5 + 0.02 * rng.normal()}
    shape["disc.radius"] = 0.1 * float(np.exp(0.1 * rng.normal()))
    field = {name: float(np.exp(0.02 * rng.normal())) * 0.8 for name in ("field.area", "field.width", "field.height")}
    values: dict[str, Any] = {
        "id": f"{instrument}-{number}",
        "task": "fundus",
        "instrument": instrument,
        "model_version": "1",
        "reference_id": reference,
        "seq": number,
        "time": 1_700_000_000.0 + number,
        "embedding": tuple(float(v) for v in np.float32(at + rng.normal(size=WIDTH))),
        "shape": shape,
        "acquisition": field,
    }
    return Observation(**{**values, **more})


def wire(observations: list[Observation]) -> dict[str, Any]:
    return {"observations": [to_json(one) for one in observations]}


@cache
def _reference(seed: int) -> bytes:
    cases = {name: [observation(seed * 10_000 + i, name, at=at) for i in range(400)] for name, at in PLACES.items()}
    fitted = fit(cases, DriftConfig(components=4), extractor="kit", seed=seed)
    folder = Path(os.environ.get("TMPDIR", "/tmp"))
    file = folder / f".parfocal-kit-{os.getpid()}-{seed}.npz"
    try:
        fitted.write(file)
        return file.read_bytes()
    finally:
        file.unlink(missing_ok=True)


def promote(state: Path, version: int = 1, *, reference: bool = True) -> str:
    """Make a champion as the follower does; the id of its reference. Another version has another reference."""
    serving = state / "serving" / "fundus"
    folder = serving / "bundles" / f"bundle{version}"
    folder.mkdir(parents=True, exist_ok=True)
    found = ""
    if reference:
        (folder / "reference.npz").write_bytes(_reference(version))
        found = sha256(folder / "reference.npz")
    current = {
        "task": "fundus", "version": str(version), "checksum": f"{version:064x}", "folder": str(folder),
        "uri": f"models:/fundus/{version}", "since": "2026-01-01T00:00:00+00:00",
    }  # fmt: skip
    write_atomic(serving / "current.json", json.dumps(current))
    return found


def photograph(number: int, size: int = 48) -> bytes:
    """A PNG of noise; another number is another photograph."""
    pixels = np.random.default_rng([number, 3]).integers(0, 255, (size, size, 3), dtype=np.uint8)
    return cv2.imencode(".png", pixels)[1].tobytes()


def mask(radius: int = 9, size: int = 48) -> bytes:
    drawn = cv2.circle(np.zeros((size, size), np.uint8), (size // 2, size // 2), radius, 255, -1)
    return cv2.imencode(".png", drawn)[1].tobytes()


def files(number: int, **more: bytes) -> dict[str, tuple[str, io.BytesIO]]:
    content = {"image": photograph(number), "disc": mask(15), "cup": mask(8), **more}
    return {name: (f"{name}.png", io.BytesIO(data)) for name, data in content.items() if data}


def hand_in(client: httpx.Client, number: int, instrument: str = "B", **fields: str) -> httpx.Response:
    said = {"patient": f"p{number}", "grader": "kit", **fields}
    return client.post(f"/cases/fundus/{instrument}", files=files(number), data=said)


ALERT = {
    "version": "4",
    "status": "firing",
    "receiver": "monitor",
    "alerts": [{"status": "firing", "labels": {"alertname": "ParfocalDrift", "instrument": "B"}, "fingerprint": "f"}],
}


def instrument(state: Mapping[str, Any], name: str) -> dict[str, Any]:
    return next(found for found in state["instruments"] if found["name"] == name)


def stream(state: Mapping[str, Any], name: str, of: str = "appearance") -> dict[str, Any]:
    return next(found for found in instrument(state, name)["streams"] if found["name"] == of)


def eventually(look: Callable[[], Any], seconds: float = 90.0) -> Any:
    """What `look` returns as soon as it is true; as many seconds as a busy machine may need, and no test measures."""
    end = time.monotonic() + seconds
    while not (found := _yet(look)):
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(0.05)
    return found


def _yet(look: Callable[[], Any]) -> Any:
    try:
        return look()
    except StopIteration:  # an instrument or a stream that is not there yet
        return None


SERVE = "import sys; from parfocal_serving.monitor.__main__ import main; sys.exit(main())"


class Process:
    """The service as a process of its own, on a free port."""

    def __init__(self, state: Path, **environment: str) -> None:
        self.state = state
        self.prelude = ""
        """Python that the process runs before it serves."""
        self.word = ""
        """A token that may do everything, where one is asked for: PARFOCAL_TOKEN itself labels nothing."""
        self.environment = {**os.environ, "PARFOCAL_STATE": str(state), "OMP_NUM_THREADS": "1", **environment}
        for name in ("PARFOCAL_DATABASE_URL", "PARFOCAL_TOKEN", "PARFOCAL_OPEN", "MLFLOW_RUN_ID"):
            if name not in environment:
                self.environment.pop(name, None)
        if "PARFOCAL_TOKEN" not in environment:
            self.environment.setdefault("PARFOCAL_OPEN", "1")
        self.log = state / "monitor.log"
        self.child: Any = None

    def __enter__(self) -> "Process":
        return self

    def __exit__(self, *_: object) -> None:
        """Leave nothing behind, whatever happened."""
        (self.state / "hold").unlink(missing_ok=True)
        if self.child is not None and self.child.poll() is None:
            self.kill()

    def launch(self) -> None:
        self.state.mkdir(parents=True, exist_ok=True)
        with socket.socket() as listening, self.log.open("a") as log:
            listening.bind(("127.0.0.1", 0))
            listening.listen(64)
            self.address = f"http://127.0.0.1:{listening.getsockname()[1]}"
            self.child = subprocess.Popen(
                [sys.executable, "-c", f"{self.prelude}\n{SERVE}", "--fd", str(listening.fileno())],
                env=self.environment, pass_fds=(listening.fileno(),), stdout=log, stderr=log,
            )  # fmt: skip
        if "PARFOCAL_OPEN" not in self.environment and not self.word:
            store = TokenStore(self.state / "tokens.json")
            self.word = store.add(f"kit-{uuid4()}", ("segment", "annotate", "operate", "observe"))[1]
        said = {"Authorization": f"Bearer {self.word}"} if self.word else {}
        self.client = httpx.Client(base_url=self.address, timeout=30, headers=said, limits=FRESH)

    def start(self) -> None:
        """Launch it and wait until it answers."""
        self.launch()
        eventually(self._ready, 120)  # on a busy machine

    def kill(self) -> None:
        """As a power cut, for this process."""
        self.child.send_signal(signal.SIGKILL)
        self.child.wait(120)
        self.client.close()

    def stop(self) -> None:
        self.child.terminate()
        self.child.wait(120)
        self.client.close()

    def get(self) -> dict[str, Any]:
        return dict(self.client.get("/api/state").raise_for_status().json())

    def send(self, observations: list[Observation]) -> dict[str, Any]:
        return dict(self.client.post("/observations", json=wire(observations)).raise_for_status().json())

    def _ready(self) -> bool:
        assert self.child.poll() is None, self.log.read_text()
        try:
            return self.client.get("/readyz", timeout=5).status_code == 200
        except httpx.TransportError:
            return False


@contextmanager
def running(state: Path, **environment: str) -> Iterator[Process]:
    with Process(state, **environment) as process:
        process.start()
        yield process
        process.stop()
