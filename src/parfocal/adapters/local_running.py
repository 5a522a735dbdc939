"""The life of a service that was started: looked at several times a second, and started again when it dies."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from parfocal.adapters.local_services import Place, Service
from parfocal.adapters.processes import Child
from parfocal.core.errors import ParfocalError

LOOK = 0.2
"""Seconds between two looks at the processes."""
FIRST_PAUSE, LONGEST_PAUSE, GOOD_LIFE = 0.5, 10.0, 60.0
"""Seconds before a service that died is started again, doubled each time, and anew after a life of so many."""
Launch = Callable[[Service], tuple[Child, float]]
"""Starts a service's process; gives it, and when that was, of `time.time`."""


@dataclass
class Running:
    """A service that was started.

    Attributes:
        since: when its process was, of `time.time`.
        state: ``starting``, then ``up``; when it has died ``restarting`` until it is launched again, then ``coming``
            until it is up; ``stopped`` when it was told to.
        pause: seconds before the next restart.
        again: of the monotonic clock, when that is due.
    """

    service: Service
    child: Child
    since: float
    state: str = "starting"
    restarts: int = 0
    pause: float = FIRST_PAUSE
    again: float = 0.0

    def entry(self, port: int | None, address: str | None) -> dict[str, Any]:
        """What the record in the state folder says of it."""
        return {
            "state": self.state,
            "pid": self.child.pid if self.child.alive() else None,
            "port": port,
            "address": address,
            "log": str(self.child.log),
            "started": datetime.fromtimestamp(self.since, UTC).isoformat(timespec="seconds"),
            "restarts": self.restarts,
        }

    def died(self, now: float) -> str:
        """It is to be started again, later each time it dies soon; what a person should know of it."""
        if time.time() - self.since > GOOD_LIFE:
            self.pause = FIRST_PAUSE
        self.state, self.again = "restarting", now + self.pause
        said = f"{self.service.name} ended with code {self.child.returncode}; starting it again in {self.pause:g} s"
        self.pause = min(2 * self.pause, LONGEST_PAUSE)
        return said

    def relaunch(self, launch: Launch, now: float) -> bool:
        """Start it again; False while its workers are still being ended, and may hold the port."""
        if not self.service.keep and not self.child.gone():
            return False
        self.again = now + self.pause  # in case the launch fails
        self.child, self.since = launch(self.service)
        self.restarts += 1
        self.state = "coming"
        return True


class Watcher:
    """A thread that starts again what dies.

    Args:
        running: services by name; others add to it under `lock`.
        place: where they are.
        launch: starts one.
        changed: is called after a service's life has taken a step.
        note: hears of it in words.
    """

    def __init__(
        self,
        running: Mapping[str, Running],
        lock: threading.RLock,
        place: Place,
        launch: Launch,
        *,
        changed: Callable[[], None],
        note: Callable[[str], None],
    ) -> None:
        self._running, self._lock, self._place, self._launch = running, lock, place, launch
        self._changed, self._note = changed, note
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="watcher", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """Nothing is started again after this."""
        self._closing.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._closing.wait(LOOK):
            for running in tuple(self._running.values()):
                try:
                    if self._step(running):
                        self._changed()
                except (ParfocalError, OSError) as error:  # such as a full disk: the next look is soon
                    self._note(f"{running.service.name}: {error}")

    def _step(self, running: Running) -> bool:
        """One step of a service's life; whether anything changed."""
        up = running.state == "coming" and running.service.is_live(self._place, running.since)
        now = time.monotonic()
        with self._lock:
            if self._running.get(running.service.name) is not running:  # stopped, or started anew, since it was listed
                return False
            if running.state in ("up", "coming") and not running.child.alive():
                self._note(running.died(now))
                return True
            if running.state == "coming" and up:
                running.state = "up"
                self._note(f"{running.service.name} is up again, process {running.child.pid}")
                return True
            return running.state == "restarting" and now >= running.again and running.relaunch(self._launch, now)
