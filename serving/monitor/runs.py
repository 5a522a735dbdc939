"""Carries a decided retrain through: closes its experience, launches it, follows it to its end.

Every step may be done twice: the experience's number and the run's name are in the row that was written before any of
them, so a monitor that was killed in between goes on where it was and starts nothing a second time.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from parfocal_serving.monitor import records, told
from parfocal_serving.monitor.backoff import Backoff
from parfocal_serving.monitor.cases import CaseStore
from parfocal_serving.monitor.database import Database
from parfocal_serving.monitor.outgoing import Outgoing
from parfocal_serving.monitor.records import DECIDED, ENDED, FAILED, RunRecord

from parfocal.adapters.kubeflow import LocalLauncher
from parfocal.core.errors import OutsideServiceError, ParfocalError
from parfocal.core.protocols import Launcher, Ledger

RETRY_SECONDS, LONGEST_SECONDS = 30.0, 900.0
"""Until a launch is tried again that failed for a reason outside: at first, and after many."""
GIVE_UP_SECONDS = 6 * 3600.0
"""Of trying to launch a run, after which it has failed. A monitor that was started anew begins to count anew."""
LOOK_SECONDS, LONGEST_LOOK_SECONDS = 5.0, 300.0
"""Until a run is looked at again of which nothing was heard. It may well live: it is never given up but by a person."""
logger = logging.getLogger(__name__)


class Runs:
    """The retrains of one task on one launcher.

    Args:
        clock: unix seconds.
        outgoing: stores what a run reads before it is launched, where there is a storage.
        ledger: where the steps of a run on a cluster have written the gate's word, and how it ended.
    """

    def __init__(
        self,
        database: Database,
        cases: CaseStore,
        launcher: Launcher,
        task: str,
        clock: Callable[[], float] = time.time,
        outgoing: Outgoing | None = None,
        ledger: Ledger | None = None,
    ) -> None:
        self._outgoing, self._ledger = outgoing, ledger
        self._database, self._cases, self._launcher = database, cases, launcher
        self._task, self._clock = task, clock
        self._launching = Backoff(RETRY_SECONDS, LONGEST_SECONDS, clock)
        self._looking = Backoff(LOOK_SECONDS, LONGEST_LOOK_SECONDS, clock)

    def all(self) -> Sequence[RunRecord]:
        """Newest first."""
        with self._database.read() as connection:
            return records.runs(connection, self._task)

    def carry(self) -> tuple[bool, bool]:
        """Bring every run that has not ended one step further: (whether one ended now, whether any is still open)."""
        ended, still = False, False
        for run in reversed(self.all()):
            if run.state in ENDED:  # by a person too: what it failed at before counts no more if it is begun again
                self._launching.over(run.key)
                self._looking.over(run.key)
                continue
            over = self._launch(run) if run.state == DECIDED else self._follow(run)
            ended, still = ended or over, still or not over
        return ended, still

    def _launch(self, run: RunRecord) -> bool:
        if self._launching.waits(run.key):
            return False
        try:
            closed = self._cases.close(run.instrument, run.number)
            if self._outgoing:
                self._outgoing.put(run.arguments, closed)
            run_id = self._launcher.launch(Path(run.pipeline), run.arguments, name=run.key)
        except (OutsideServiceError, OSError) as error:
            return self._not_launched(run, error)
        except ParfocalError as error:
            return self._fail(run, f"it was not launched: {error}")
        logger.info("%s is launched as %s", run.key, run_id)
        self._launching.over(run.key)
        if not self._change(run, state=records.PENDING, run_id=run_id, launched=self._clock(), error=""):
            logger.warning("%s was abandoned while it was launched: run %s is followed by nobody", run.key, run_id)
        return False

    def _not_launched(self, run: RunRecord, error: Exception) -> bool:
        """Nobody said no for good: it is tried again, but not for ever."""
        seconds = self._launching.failed(run.key, getattr(error, "after", None))
        if seconds >= GIVE_UP_SECONDS:
            return self._fail(run, f"it could not be launched for {seconds / 3600:.0f} hours: {error}")
        logger.warning("%s cannot be launched yet: %s", run.key, error)
        self._change(run, error=f"it cannot be launched yet: {error}")
        return False

    def _follow(self, run: RunRecord) -> bool:
        if self._looking.waits(run.key):
            return False
        try:
            state, lost = self._state(run)
            outcome, error_text = self._left(run, state, lost) if state in ENDED else ("", "")
        except (OutsideServiceError, OSError) as error:
            logger.warning("%s cannot be followed now: %s", run.key, error)
            self._looking.failed(run.key, getattr(error, "after", None))
            self._change(run, error=f"it cannot be followed now: {error}")
            return False
        self._looking.over(run.key)
        if state not in ENDED:
            if (state, "") != (run.state, run.error):
                self._change(run, state=state, error="")
            return False
        logger.info("%s has ended: %s %s", run.key, state, outcome)
        return self._change(run, state=state, ended=self._clock(), outcome=outcome, error=error_text)

    def _state(self, run: RunRecord) -> tuple[str, str]:
        """The launcher's word, and why the run is lost: of one that it does not have any more only the ledger knows."""
        try:
            return self._launcher.state(run.run_id), ""
        except OutsideServiceError:
            raise
        except ParfocalError as error:
            return self._told(run).state or FAILED, str(error)

    def _left(self, run: RunRecord, state: str, lost: str) -> tuple[str, str]:
        """The gate's word and the error of a run that has ended."""
        if isinstance(self._launcher, LocalLauncher) and not lost:
            result = self._launcher.result(run.run_id)
            silent = "" if state == records.SUCCEEDED else "it was ended from outside"
            return str(result.get("outputs", {}).get("outcome", "")), str(result.get("error", silent))
        said = self._told(run)
        if state == records.SUCCEEDED:
            return said.outcome, ""
        return said.outcome, said.error or lost or f"the run is {state}: see Kubeflow"

    def _told(self, run: RunRecord) -> told.Told:
        return told.of(self._ledger.entries(run.task), run.key, run.launched) if self._ledger else told.Told()

    def _fail(self, run: RunRecord, why: str) -> bool:
        logger.warning("%s has failed: %s", run.key, why)
        self._launching.over(run.key)
        return self._change(run, state=FAILED, ended=self._clock(), error=why)

    def _change(self, run: RunRecord, **values: object) -> bool:
        """Whether it was still as it was read: a person may have abandoned it meanwhile, and that stands."""
        with self._database.write() as connection:
            return records.change(connection, run.key, was=run.state, **values)
