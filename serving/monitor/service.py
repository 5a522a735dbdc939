"""The monitor's parts, put together, and the three threads that work while nobody asks."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any

from parfocal_serving.monitor import candidates, detectors
from parfocal_serving.monitor.annotate.build import build as annotation
from parfocal_serving.monitor.candidates import Kept
from parfocal_serving.monitor.candidates_acts import Acts
from parfocal_serving.monitor.candidates_pass import Grouping
from parfocal_serving.monitor.cases import CaseStore, NewCase
from parfocal_serving.monitor.database import connect
from parfocal_serving.monitor.history import Past
from parfocal_serving.monitor.lead import Lead
from parfocal_serving.monitor.metrics import MonitorCollector
from parfocal_serving.monitor.plan import Plan
from parfocal_serving.monitor.references import References
from parfocal_serving.monitor.settings import MonitorSettings
from parfocal_serving.monitor.standing import shown
from parfocal_serving.monitor.state import StateView
from parfocal_serving.monitor.store import Received, Store
from parfocal_serving.monitor.trigger import Trigger
from parfocal_serving.monitor.worth import Quality
from sqlalchemy import text

from parfocal.adapters.database import SqlLedger
from parfocal.core.clock import DAY, Steady

LOOK_SECONDS = 0.25
"""Between two looks at current.json."""
LEAD_SECONDS = 1.0
"""Between two looks at who leads."""
PRUNE_SECONDS = 3600.0
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
        self._lead, self._term, self._steady = Lead(self._database, task), 0, Steady()
        ledger = SqlLedger(settings.ledger_url)
        self._trigger = Trigger(self._database, self._references, self._cases, plan, leads=self._leads, ledger=ledger)
        self._grouping = Grouping(self._database, self._references, plan, leads=self._leads, alarmed=self._alarmed)
        self.annotation = annotation(
            settings, self._database, self._references, self._cases, self._lead, plan, self.hand_in
        )
        self._watcher = threading.Thread(target=self._watch, name="watcher", daemon=True)
        self._stopped = threading.Event()
        self.past = Past(ledger, self._database, task)
        quality = Quality(task)
        self.collector = MonitorCollector(self._database, self._references, task, quality, self._lead)
        self.view = StateView(
            self._database, self._references, self._cases, self._lead, quality, task, settings.trigger_path, plan.config
        )

    def start(self) -> None:
        """Look once at what is there, so that the first answer is right, then begin to work."""
        self._references.refresh()
        self._steady.credit(self._store.newest)
        if self._lead.look():
            self._term = self._lead.terms
            self._store.follow()
            self._store.catch_up()
        else:
            logger.warning("another monitor leads: this one shows, and waits")
        self._watcher.start()
        self._trigger.start()
        self._grouping.start()

    def stop(self) -> None:
        self._stopped.set()
        self._trigger.stop()
        self._grouping.stop()
        for thread in (self._trigger, self._grouping, self._watcher):
            if thread.is_alive():
                thread.join(10)
        self._lead.leave()
        self.annotation.close()
        self._database.close()

    def _leads(self) -> bool:
        """Whether this monitor leads; one that ends takes no lead any more."""
        return not self._stopped.is_set() and self._lead.look()

    @property
    def alive(self) -> bool:
        return all(thread.is_alive() for thread in (self._trigger, self._grouping, self._watcher))

    def check(self) -> None:
        """Whether the database answers and this monitor leads; an OutsideServiceError otherwise."""
        with self._database.read() as connection:
            connection.execute(text("SELECT 1"))
        self._lead.demand()

    def receive(self, items: Sequence[Any]) -> Received:
        """Store observations; an alarm among them wakes the trigger where nobody else will."""
        self._lead.demand()
        received = self._store.receive(items)
        self._alarmed(received.alarms)
        return received

    def alerted(self) -> None:
        """Alertmanager says that something is wrong. What, is read from the database."""
        self._lead.demand()
        self._store.note("alerts")
        self._trigger.wake(alert=True)

    def hand_in(self, instrument: str, case: NewCase) -> tuple[bool, int]:
        """Keep a labelled case: whether it is new, and how many the instrument has now."""
        self._lead.demand()
        new, labelled = self._cases.add(instrument, case), self._cases.labelled(instrument)
        if new:  # who is woken may close the experience at once, and then the instrument has none
            self._trigger.wake()
        return new, labelled

    def reset(self, instrument: str, by: str, reason: str) -> int:
        """A person ends an instrument's alarm; how many detectors start anew."""
        self._lead.demand()
        with self._database.write() as connection:
            reference_id = shown(connection, self._references, self.settings.task)
            return detectors.reset(
                connection, self.settings.task, instrument, reference_id, by.strip(), reason.strip(), time.time()
            )

    def candidates(self) -> dict[str, Any]:
        """Cases that look like no known instrument, grouped, and what people did with such groups."""
        task = self.settings.task
        with self._database.read() as connection:
            reference_id = shown(connection, self._references, task)
            return {
                "reference_id": reference_id,
                "candidates": candidates.listing(connection, task, reference_id),
                "actions": candidates.actions(connection, task),
            }

    def act(self, act: Callable[[Acts], Kept], by: str, reason: str) -> dict[str, Any]:
        """A person names, merges or dismisses a candidate; the one that it is or is part of now."""
        self._lead.demand()
        task, now = self.settings.task, time.time()
        with self._database.write() as connection:
            reference_id = shown(connection, self._references, task)
            acts = Acts(connection, task, reference_id, by=by.strip(), reason=reason.strip(), now=now)
            done = candidates.as_json(act(acts))
        self._grouping.wake()
        return done

    def again(self, key: str, by: str, reason: str) -> None:
        """A person has a failed run carried through once more."""
        self._lead.demand()
        self._trigger.again(key, by.strip(), reason.strip())

    def abandon(self, key: str, by: str, reason: str) -> None:
        """A person has a run followed no longer."""
        self._lead.demand()
        self._trigger.abandon(key, by.strip(), reason.strip())

    def _watch(self) -> None:
        looked = pruned = float("-inf")
        while not self._stopped.wait(LOOK_SECONDS):
            try:
                self._references.refresh()
                now = time.monotonic()
                if now - looked > LEAD_SECONDS:
                    looked = now
                    self._look_who_leads()
                if not self._lead.held:
                    continue
                self._follow()
                believed = self._steady.now()
                if believed is not None and now - pruned > PRUNE_SECONDS:
                    self._store.prune(believed - self.settings.retention_days * DAY)
                    pruned = now
            except Exception:  # the next look may succeed, and without this thread no champion would be seen
                logger.exception("the watcher goes on after an error")
                self._stopped.wait(5)

    def _look_who_leads(self) -> None:
        if self._lead.look() and self._lead.terms != self._term:
            self._term = self._lead.terms
            self._store.forget_champion()  # whoever led meanwhile may have followed another
            self._trigger.wake()

    def _follow(self) -> None:
        if self._store.follow():
            champion = self._references.champion
            logger.info("the champion is version %s", champion and champion.version)
            self._alarmed(self._store.catch_up())
            self._trigger.wake()

    def _alarmed(self, alarms: Sequence[detectors.Alarm]) -> None:
        for alarm in alarms:
            logger.warning("alarm: %s of %s", alarm.stream, alarm.instrument or "undeclared requests")
        if alarms and self.settings.trigger_path == "monitor":
            self._trigger.wake()
