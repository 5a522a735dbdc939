"""The clinics of the demo: photographs, sent to the endpoint one by one as patients come."""

from __future__ import annotations

import threading
import time
from collections import Counter, deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import count, cycle, islice
from pathlib import Path
from typing import Any, Protocol

AHEAD = 8
"""Photographs that are taken before they are sent."""


@dataclass(frozen=True, slots=True)
class Photograph:
    """One picture as a camera delivers it."""

    name: str
    patient: str
    data: bytes


class Camera(Protocol):
    """A source of photographs that nobody has seen; `instrument` is what the clinic declares."""

    instrument: str

    def take(self, number: int) -> list[Photograph]:
        """The next photographs, at most so many."""
        ...


class PhantomCamera:
    """Photographs simulated patients, each of them once."""

    def __init__(self, instrument: str, patients: Iterable[int], seed: int) -> None:
        self.instrument = instrument
        self._patients, self._seed = iter(patients), seed
        self._pool = ThreadPoolExecutor(1, thread_name_prefix=f"camera-{instrument}")
        self._ready: deque[Future[Photograph]] = deque()

    def take(self, number: int) -> list[Photograph]:
        """The next photographs; those after them are being made meanwhile."""
        wanted = max(number, AHEAD) - len(self._ready)
        self._ready += [self._pool.submit(self._shoot, patient) for patient in islice(self._patients, max(wanted, 0))]
        return [self._ready.popleft().result() for _ in range(min(number, len(self._ready)))]

    def _shoot(self, patient: int) -> Photograph:
        from parfocal.phantoms.photograph import case

        phantom = case(self.instrument, patient, self._seed)
        suffix, data = phantom.encode()
        return Photograph(phantom.name + suffix, phantom.patient, data)


class FolderCamera:
    """Delivers the files of a folder, each of them once, or over and over; every file is a patient of its own."""

    def __init__(self, instrument: str, files: Iterable[Path], *, again: bool = False) -> None:
        self.instrument = instrument
        self._files = cycle(sorted(files)) if again else iter(sorted(files))

    def take(self, number: int) -> list[Photograph]:
        return [Photograph(file.name, file.stem, file.read_bytes()) for file in islice(self._files, number)]


@dataclass
class Clinic:
    """Sends photographs to the endpoint and keeps count of the answers.

    Attributes:
        failed: requests that got no good answer, with the reason; must stay empty.
        versions: answers by model version.
        seconds: of every request, as the clinic sees it.
    """

    endpoint: str
    failed: list[str] = field(default_factory=list)
    versions: Counter[str] = field(default_factory=Counter)
    seconds: list[float] = field(default_factory=list)

    def __post_init__(self) -> None:
        import httpx

        # The server closes a kept connection after five idle seconds: one that old could be closed as it is used.
        self._client = httpx.Client(timeout=30, limits=httpx.Limits(keepalive_expiry=2))
        self._lock = threading.Lock()

    @property
    def sent(self) -> int:
        return len(self.seconds) + len(self.failed)

    def send(self, photograph: Photograph, instrument: str) -> dict[str, Any] | None:
        """The endpoint's answer, or None when there was none; nothing is tried twice."""
        import httpx

        started = time.monotonic()
        try:
            reply = self._client.post(
                f"{self.endpoint}/segment",
                files={"image": (photograph.name, photograph.data)},
                data={"instrument": instrument, "patient": photograph.patient},
            )
            reply.raise_for_status()
            answer: dict[str, Any] = reply.json()
            version = str(answer["model"]["version"])
        except (httpx.HTTPError, ValueError, LookupError, TypeError) as error:
            with self._lock:
                self.failed.append(f"{photograph.name}: {error}")
            return None
        with self._lock:
            self.seconds.append(time.monotonic() - started)
            self.versions[version] += 1
        return answer

    def stream(self, camera: Camera, number: int) -> Iterator[dict[str, Any] | None]:
        """Send the camera's next photographs in turn; stops early when it has no more."""
        for _ in range(number):
            taken = camera.take(1)
            if not taken:
                return
            yield self.send(taken[0], camera.instrument)

    def close(self) -> None:
        self._client.close()


class Flow:
    """Requests that keep coming, a camera at a time in turn, while something else happens."""

    def __init__(self, clinic: Clinic, cameras: Iterable[Camera], every: float) -> None:
        self._clinic, self._cameras, self._every = clinic, list(cameras), every
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="flow", daemon=True)
        self.answers: list[tuple[float, str]] = []
        """When each answer came (monotonic seconds) and from which version."""

    def __enter__(self) -> Flow:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        for turn in count():
            if self._stop.is_set():
                return
            camera = self._cameras[turn % len(self._cameras)]
            for answer in self._clinic.stream(camera, 1):
                if answer is not None:
                    self.answers.append((time.monotonic(), str(answer["model"]["version"])))
            self._stop.wait(self._every)
