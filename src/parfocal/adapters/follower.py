"""Keeps the champion that the registry names on this machine's disk: `python -m parfocal.adapters.follower`.

A process of its own, so that no service imports MLflow or waits for it. What services read is a file that is replaced
as a whole, and only after the bundle it names is here and verified:

serving/<task>/
  current.json     {"task", "version", "checksum", "folder", "uri", "since"}: the champion
  rejected.json    {"version", "checksum", "reason", "time"}: what should be champion and cannot be; else not there
  follower         touched whenever the registry has answered
  bundles/<checksum>/
"""

from __future__ import annotations

import json
import logging
import shutil
import signal
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from parfocal.core import bundle
from parfocal.core.errors import DataContractError, OutsideServiceError, ParfocalError
from parfocal.core.manifest import write_atomic
from parfocal.core.protocols import ModelStore, ModelVersion

logger = logging.getLogger("parfocal.follower")

ALIAS = "champion"
CURRENT, REJECTED, BEAT, BUNDLES = "current.json", "rejected.json", "follower", "bundles"
EVERY, PATIENCE, AGAIN = 1.0, 10.0, 30.0
"""Seconds: between looks; the longest between looks at a registry that is down; until a broken bundle is tried again,
since its storage may have been mended."""
KEPT = 3
"""Bundles on the disk: a worker may still load the one before, and a rollback finds it here."""


class Follower:
    """Looks at the registry and brings the folder of one task up to date."""

    def __init__(
        self,
        models: ModelStore,
        task: str,
        folder: Path,
        *,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """Follow `task` in `models`; `folder` is `Settings.serving`, `clock` gives seconds since 1970."""
        self._models, self._task, self._folder = models, task, folder
        self._clock = clock
        self._followed: ModelVersion | None = None
        self._refused: tuple[str, str, float] | None = None
        (folder / BUNDLES).mkdir(parents=True, exist_ok=True)
        for scratch in (folder / BUNDLES).glob(".fetch-*"):  # of a follower that was killed
            shutil.rmtree(scratch, ignore_errors=True)

    def check(self) -> bool:
        """Look once; whether the champion has moved and the new one is here.

        Raises:
            OutsideServiceError: the registry, or the disk, cannot be used. Nothing has changed.
        """
        version = self._models.get(self._task, ALIAS)
        moved = version is not None and self._is_new(version) and self._follow(version)
        try:
            (self._folder / BEAT).touch()
        except OSError as error:
            raise OutsideServiceError(f"cannot write: {error}", where=self._folder) from error
        return moved

    def run(self, stopping: threading.Event, every: float = EVERY) -> None:
        """Look until told to stop. A registry that is down is mentioned once, and asked less and less often."""
        down, pause = False, every
        while not stopping.is_set():
            try:
                self.check()
                if down:
                    logger.warning("the registry answers again")
                down, pause = False, every
            except OutsideServiceError as error:
                if not down:
                    logger.warning("the registry cannot be used, what is here stays: %s", error)
                down, pause = True, min(2 * pause, PATIENCE)
            stopping.wait(pause)

    def _is_new(self, version: ModelVersion) -> bool:
        if self._followed and (version.version, version.checksum) == (self._followed.version, self._followed.checksum):
            return False
        if self._refused and (version.version, version.checksum) == self._refused[:2]:
            return self._clock() - self._refused[2] >= AGAIN
        return True

    def _follow(self, version: ModelVersion) -> bool:
        try:
            folder = self._fetch(version)
        except DataContractError as error:
            self._refuse(version, str(error))
            return False
        except OSError as error:
            raise OutsideServiceError(f"the bundle cannot be kept: {error}", where=self._folder) from error
        self._publish(version, folder)
        self._prune(folder)
        return True

    def _fetch(self, version: ModelVersion) -> Path:
        if not version.checksum:
            raise DataContractError(
                f"version {version.version} was not registered by this program", next="register it with its checksum"
            )
        folder = self._models.fetch(self._task, version.version, self._folder / BUNDLES).resolve()
        found = bundle.parse(folder)  # `fetch` has verified it
        if found.task != self._task:
            raise DataContractError(f"version {version.version} is for {found.task}", expected=self._task)
        return folder

    def _publish(self, version: ModelVersion, folder: Path) -> None:
        values = {
            "task": self._task,
            "version": version.version,
            "checksum": version.checksum,
            "folder": str(folder),
            "uri": version.uri,
        }
        before = current(self._folder) or {}
        folder.touch()  # the newest, for `_prune`
        if {name: before.get(name) for name in values} != values:
            write_atomic(self._folder / CURRENT, json.dumps({**values, "since": self._now()}, indent=1) + "\n")
            logger.warning("champion of %s: version %s (%s)", self._task, version.version, version.checksum[:12])
        (self._folder / REJECTED).unlink(missing_ok=True)
        self._followed, self._refused = version, None

    def _refuse(self, version: ModelVersion, reason: str) -> None:
        """What answers goes on answering; what cannot is written down."""
        again = self._refused is not None and self._refused[:2] == (version.version, version.checksum)
        self._refused = (version.version, version.checksum, self._clock())
        if not again:
            logger.error("version %s cannot be champion here: %s", version.version, reason)
        values = {"version": version.version, "checksum": version.checksum, "reason": reason, "time": self._now()}
        write_atomic(self._folder / REJECTED, json.dumps(values, indent=1) + "\n")

    def _prune(self, current_folder: Path) -> None:
        bundles = [place for place in (self._folder / BUNDLES).iterdir() if not place.name.startswith(".")]
        oldest_last = sorted(bundles, key=lambda place: (place == current_folder, place.stat().st_mtime), reverse=True)
        for place in oldest_last[KEPT:]:
            shutil.rmtree(place, ignore_errors=True)

    def _now(self) -> str:
        return datetime.fromtimestamp(self._clock(), UTC).isoformat(timespec="milliseconds")


def current(folder: Path) -> dict[str, Any] | None:
    """What current.json of a task's folder says, None without a champion."""
    return _read(folder / CURRENT)


def rejected(folder: Path) -> dict[str, Any] | None:
    """What rejected.json says, None when the champion is the one that the registry names."""
    return _read(folder / REJECTED)


def _read(file: Path) -> dict[str, Any] | None:
    try:
        values: dict[str, Any] = json.loads(file.read_bytes())
    except (OSError, ValueError):
        return None
    return values


def main() -> int:
    """Follow the task of the environment until SIGTERM or SIGINT."""
    from parfocal.adapters import connect

    logging.basicConfig(format="%(asctime)s %(levelname)s %(message)s", level=logging.WARNING)
    stopping = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stopping.set())
    platform = connect()
    settings = platform.settings
    try:
        Follower(platform.models, settings.task, settings.serving).run(stopping)
    except ParfocalError as error:
        logger.error("%s", error)
        return error.exit_code
    return 0


if __name__ == "__main__":
    import sys

    sys.exit(main())
