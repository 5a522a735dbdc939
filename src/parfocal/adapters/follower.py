"""Keeps the champion that the registry names on this machine's disk: `python -m parfocal.adapters.follower`.

A process of its own, so that no service imports MLflow or waits for it. What services read is a file that is replaced
as a whole, and only after the bundle it names is here and verified:

serving/<task>/
  current.json     {"task", "version", "checksum", "folder", "uri", "since"}: the champion; "unserved", where it is
                   there, is why the segmenter does not answer with it
  rejected.json    {"version", "checksum", "reason", "time"}: what should be champion and cannot be; else not there
  challenger.json  as current.json, of the alias `challenger`; not there while nothing has that alias
  challenger-rejected.json
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
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from parfocal.adapters import nudge
from parfocal.core import bundle
from parfocal.core.errors import DataContractError, OutsideServiceError, ParfocalError
from parfocal.core.manifest import write_atomic
from parfocal.core.protocols import ModelStore, ModelVersion

logger = logging.getLogger("parfocal.follower")

ALIAS, RIVAL = "champion", "challenger"
CURRENT, REJECTED, BEAT, BUNDLES = "current.json", "rejected.json", "follower", "bundles"
FILES = {ALIAS: (CURRENT, REJECTED), RIVAL: ("challenger.json", "challenger-rejected.json")}
"""What is written of an alias, and of a version under it that cannot be used."""
EVERY, PATIENCE, AGAIN = 1.0, 10.0, 30.0
"""Seconds: between looks; the longest between looks at a registry that is down; until a broken bundle is tried again,
since its storage may have been mended."""
KEPT = 3
"""Bundles on the disk: a worker may still load the one before, and a rollback finds it here."""


class Follower:
    """Looks at one alias in the registry and brings the folder of one task up to date."""

    def __init__(
        self,
        models: ModelStore,
        task: str,
        folder: Path,
        *,
        alias: str = ALIAS,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """Follow `task` in `models`; `folder` is `Settings.serving`, `clock` gives seconds since 1970."""
        self._models, self._task, self._folder = models, task, folder
        self._alias, self._clock = alias, clock
        self._file, self._rejected = (folder / name for name in FILES[alias])
        self._followed: ModelVersion | None = None
        self._refused: tuple[str, str, float] | None = None
        (folder / BUNDLES).mkdir(parents=True, exist_ok=True)
        for scratch in (folder / BUNDLES).glob(".fetch-*"):  # of a follower that was killed
            shutil.rmtree(scratch, ignore_errors=True)

    def check(self) -> bool:
        """Look once; whether the alias has moved and what it names is here.

        A challenger whose alias was taken away is forgotten; a champion stays until there is another.

        Raises:
            OutsideServiceError: the registry, or the disk, cannot be used. Nothing has changed.
        """
        version = self._models.get(self._task, self._alias)
        moved = version is not None and self._is_new(version) and self._follow(version)
        try:
            if version is None and self._alias == RIVAL:
                self._forget()
            (self._folder / BEAT).touch()
        except OSError as error:
            raise OutsideServiceError(f"cannot write: {error}", where=self._folder) from error
        return moved

    def run(self, stopping: threading.Event, every: float = EVERY) -> None:
        """Look until told to stop."""
        run([self], stopping, every)

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
        reason = bundle.parse(folder).unserved
        values = {
            "task": self._task,
            "version": version.version,
            "checksum": version.checksum,
            "folder": str(folder),
            "uri": version.uri,
            **({"unserved": reason} if reason else {}),
        }
        before = _read(self._file) or {}
        folder.touch()  # the newest, for `_prune`
        if {name: before.get(name) for name in values} != values:
            write_atomic(self._file, json.dumps({**values, "since": self._now()}, indent=1) + "\n")
            logger.warning("%s of %s: version %s (%s)", self._alias, self._task, version.version, version.checksum[:12])
            if reason:
                logger.warning("version %s is not served by the segmenter: %s", version.version, reason)
        self._rejected.unlink(missing_ok=True)
        self._followed, self._refused = version, None

    def _refuse(self, version: ModelVersion, reason: str) -> None:
        """What answers goes on answering; what cannot is written down."""
        again = self._refused is not None and self._refused[:2] == (version.version, version.checksum)
        self._refused = (version.version, version.checksum, self._clock())
        if not again:
            logger.error("version %s cannot be %s here: %s", version.version, self._alias, reason)
        values = {"version": version.version, "checksum": version.checksum, "reason": reason, "time": self._now()}
        write_atomic(self._rejected, json.dumps(values, indent=1) + "\n")

    def _forget(self) -> None:
        if self._followed is not None or self._file.exists():
            logger.warning("there is no %s of %s any more", self._alias, self._task)
        self._followed = self._refused = None
        self._file.unlink(missing_ok=True)
        self._rejected.unlink(missing_ok=True)

    def _prune(self, followed: Path) -> None:
        """Keep the newest few, and whatever an alias names."""
        named = {Path(str(found["folder"])) for file, _ in FILES.values() if (found := _read(self._folder / file))}
        bundles = [place for place in (self._folder / BUNDLES).iterdir() if not place.name.startswith(".")]
        oldest_last = sorted(
            bundles, key=lambda place: (place in {followed, *named}, place.stat().st_mtime), reverse=True
        )
        for place in oldest_last[KEPT:]:
            shutil.rmtree(place, ignore_errors=True)

    def _now(self) -> str:
        return datetime.fromtimestamp(self._clock(), UTC).isoformat(timespec="milliseconds")


def run(followers: Sequence[Follower], stopping: threading.Event, every: float = EVERY) -> None:
    """Look until told to stop. A registry that is down is mentioned once, and asked less and less often."""
    down, pause = False, every
    while not stopping.is_set():
        try:
            for one in followers:
                one.check()
            if down:
                logger.warning("the registry answers again")
            down, pause = False, every
        except OutsideServiceError as error:
            if not down:
                logger.warning("the registry cannot be used, what is here stays: %s", error)
            down, pause = True, min(2 * pause, PATIENCE)
        nudge.wait(stopping, [one._folder for one in followers], pause)


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
    """Follow the tasks of the environment until SIGTERM or SIGINT."""
    from parfocal.adapters import connect

    logging.basicConfig(format="%(asctime)s %(levelname)s %(message)s", level=logging.WARNING)
    stopping = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        # By a thread: this one may be inside the event, with its lock, when the signal comes.
        signal.signal(number, lambda *_: threading.Thread(target=stopping.set, daemon=True).start())
    platform = connect()
    settings = platform.settings
    try:
        aliases = (ALIAS, RIVAL) if settings.canary or settings.shadow else (ALIAS,)
        each = [(alias, one) for one in settings.each() for alias in aliases]
        run([Follower(platform.models, one.task, one.serving, alias=alias) for alias, one in each], stopping)
    except ParfocalError as error:
        logger.error("%s", error)
        return error.exit_code
    return 0


if __name__ == "__main__":
    import sys

    sys.exit(main())
