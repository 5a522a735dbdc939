"""The monitor's parts, put together, and the two threads that work while nobody asks."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Sequence
from typing import Any

from parfocal_serving.monitor import detectors
from parfocal_serving.monitor.cases import CaseStore, NewCase
from parfocal_serving.monitor.database import connect
from parfocal_serving.monitor.metrics import MonitorCollector
from parfocal_serving.monitor.references import References
from parfocal_serving.monitor.settings import MonitorSettings
from parfocal_serving.monitor.standing import shown
from parfocal_serving.monitor.state import StateView
from parfocal_serving.monitor.store import Received, Store
from parfocal_serving.monitor.trigger import Plan, Trigger
from sqlalchemy import text

LOOK_SECONDS = 0.25
"""Between two looks at current.json."""
PRUNE_SECONDS = 86_400.0
logger = logging.getLogger(__name__)


class Service:
    """One task's monitor.

    Raises:
        UsageError: the settings name a pipeline, a configuration or a database that is not there.
        OutsideServiceError: the database cannot be reached.
    """

    def __init__(self, settings: MonitorSettings) -> None:
        self.settings = settings
        task, state = settings.task, settings.state.resolve()
        plan = Plan.of(settings)
        self._database = connect(settings.monitor_database)
        self._references = References(settings.serving, settings.arl0)
        self._cases = CaseStore(state, task, int(settings.megapixels * 1e6))
        self._store = Store(self._database, self._references, task)
        self._trigger = Trigger(self._database, self._references, self._cases, plan)
        self._watcher = threading.Thread(target=self._watch, name="watcher", daemon=True)
        self._stopped = threading.Event()
        self.collector = MonitorCollector(self._database, self._references, task)
        self.view = StateView(self._database, self._references, self._cases, task, settings.trigger_path, plan.config)

    def start(self) -> None:
        """Look once at what is there, so that the first answer is right, then begin to work."""
        self._references.refresh()
        self._store.follow()
        self._store.catch_up()
        self._watcher.start()
        self._trigger.start()

    def stop(self) -> None:
        self._stopped.set()
        self._trigger.stop()
        for thread in (self._trigger, self._watcher):
            if thread.is_alive():
                thread.join(10)
        self._database.close()

    @property
    def alive(self) -> bool:
        return self._trigger.is_alive() and self._watcher.is_alive()

    def check(self) -> None:
        """Whether the database answers; an OutsideServiceError otherwise."""
        with self._database.read() as connection:
            connection.execute(text("SELECT 1"))

    def receive(self, items: Sequence[Any]) -> Received:
        """Store observations; an alarm among them wakes the trigger where nobody else will."""
        received = self._store.receive(items)
        self._alarmed(received.alarms)
        return received

    def alerted(self) -> None:
        """Alertmanager says that something is wrong. What, is read from the database."""
        self._store.note("alerts")
        self._trigger.wake(alert=True)

    def hand_in(self, instrument: str, case: NewCase) -> tuple[bool, int]:
        """Keep a labelled case: whether it is new, and how many the instrument has now."""
        new = self._cases.add(instrument, case)
        if new:
            self._trigger.wake()
        return new, self._cases.labelled(instrument)

    def reset(self, instrument: str, by: str, reason: str) -> int:
        """A person ends an instrument's alarm; how many detectors start anew."""
        with self._database.write() as connection:
            reference_id = shown(connection, self._references, self.settings.task)
            return detectors.reset(
                connection, self.settings.task, instrument, reference_id, by.strip(), reason.strip(), time.time()
            )

    def again(self, key: str, by: str, reason: str) -> None:
        """A person has a failed run carried through once more."""
        self._trigger.again(key, by.strip(), reason.strip())

    def _watch(self) -> None:
        pruned = float("-inf")
        while not self._stopped.wait(LOOK_SECONDS):
            try:
                self._references.refresh()
                if self._store.follow():
                    champion = self._references.champion
                    logger.info("the champion is version %s", champion and champion.version)
                    self._alarmed(self._store.catch_up())
                    self._trigger.wake()
                if time.monotonic() - pruned > PRUNE_SECONDS:
                    self._store.prune(self.settings.retention_days)
                    pruned = time.monotonic()
            except Exception:  # the next look may succeed, and without this thread no champion would be seen
                logger.exception("the watcher goes on after an error")
                self._stopped.wait(5)

    def _alarmed(self, alarms: Sequence[detectors.Alarm]) -> None:
        for alarm in alarms:
            logger.warning("alarm: %s of %s", alarm.stream, alarm.instrument or "undeclared requests")
        if alarms and self.settings.trigger_path == "monitor":
            self._trigger.wake()
