"""Who runs what on one state folder: a lock a service, and a file that says where everything is."""

from __future__ import annotations

import fcntl
import json
import os
import signal
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import IO, Any

from parfocal.core.errors import OutsideServiceError, UsageError
from parfocal.core.manifest import write_atomic

RECORDS = ("platform", "serve", "monitor")
"""`parfocal up` or the demo, `parfocal serve`, `parfocal monitor`: each has written ``<state>/<name>.json``."""


class Locks:
    """One process runs a service on a state folder. The locks go with the process, however it ends."""

    def __init__(self, state: Path, names: Sequence[str]) -> None:
        """Take the locks of these services.

        Raises:
            UsageError: another process has one.
        """
        self._files: list[IO[str]] = []
        folder = state / "locks"
        folder.mkdir(parents=True, exist_ok=True)
        for name in names:
            file = (folder / name).open("a+")
            self._files.append(file)
            if not _taken(file):
                other = _content(file)
                self.release()
                raise UsageError(
                    f"{name} runs already on this state, under process {other}",
                    where=state,
                    next="`parfocal status` shows it, `parfocal down` stops it; or set another PARFOCAL_STATE",
                )
            file.truncate(0)
            file.write(str(os.getpid()))
            file.flush()

    def release(self) -> None:
        for file in self._files:
            file.close()
        self._files = []


def holder(state: Path, name: str) -> int | None:
    """The process that runs a service on this state folder, None when nobody does."""
    try:
        file = (state / "locks" / name).open("r+")
    except OSError:
        return None
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)  # shared: who only looks is no holder to another
        except BlockingIOError:
            return int(_content(file) or 0) or None
    return None


def write(state: Path, name: str, values: dict[str, Any]) -> None:
    """Replace a record in one step."""
    write_atomic(state / f"{name}.json", json.dumps(values, indent=1) + "\n")


def read(state: Path, name: str) -> dict[str, Any] | None:
    """A record whose writer still lives; None for one that was left behind, or none."""
    try:
        values: dict[str, Any] = json.loads((state / f"{name}.json").read_bytes())
    except (OSError, ValueError):
        return None
    held = [holder(state, service) for service in values["manages"]]
    return values if values["supervisor"] in held else None


def running(state: Path) -> list[dict[str, Any]]:
    """The records of all that runs on this state folder."""
    return [found for name in RECORDS if (found := read(state, name)) is not None]


def stop(state: Path, seconds: float = 60) -> list[str]:
    """Have everything that runs on this state folder stopped, and wait until it is; the names of what was.

    Raises:
        OutsideServiceError: something is still there after so many seconds.
    """
    records = running(state)
    processes = [(service["pid"], _born(service["pid"])) for record in records for service in _services(record)]
    for record in records:
        with suppress(ProcessLookupError):
            os.kill(record["supervisor"], signal.SIGTERM)
    until = time.monotonic() + seconds
    names = [name for record in records for name in record["manages"]]
    while any(holder(state, name) for name in names) or any(born and _born(pid) == born for pid, born in processes):
        if time.monotonic() > until:
            raise OutsideServiceError(
                f"not everything ended within {seconds:.0f} s", where=state / "logs", next="`parfocal status`"
            )
        time.sleep(0.05)
    return [name for record in records for name in record["services"]]


def _services(record: dict[str, Any]) -> list[dict[str, Any]]:
    return [service for service in record["services"].values() if service["pid"]]


def _born(pid: int) -> float | None:
    """When a process was started, which tells it from another that was given its number later."""
    import psutil

    try:
        process = psutil.Process(pid)
        return None if process.status() == psutil.STATUS_ZOMBIE else float(process.create_time())
    except psutil.Error:
        return None


def _taken(file: IO[str]) -> bool:
    """Take a lock, within a second, because `holder` has it for a moment when it looks."""
    until = time.monotonic() + 1.0
    while True:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return True
        except BlockingIOError:
            if time.monotonic() >= until:
                return False
            time.sleep(0.02)


def _content(file: IO[str]) -> str:
    file.seek(0)
    return file.read().strip()
