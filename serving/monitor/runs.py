"""Carries a decided retrain through: closes its experience, launches it, follows it to its end.

Every step may be done twice: the experience's number and the run's name are in the row that was written before any of
them, so a monitor that was killed in between goes on where it was and starts nothing a second time.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from parfocal_serving.monitor import records
from parfocal_serving.monitor.cases import CaseStore
from parfocal_serving.monitor.database import Database
from parfocal_serving.monitor.outgoing import Outgoing
from parfocal_serving.monitor.records import DECIDED, ENDED, FAILED, RunRecord

from parfocal.adapters.kubeflow import LocalLauncher
from parfocal.core.errors import OutsideServiceError, ParfocalError
from parfocal.core.protocols import Launcher

RETRY_SECONDS = 30.0
"""Until a launch is tried again that failed for a reason outside."""
logger = logging.getLogger(__name__)


class Runs:
    """The retrains of one task on one launcher.

    Args:
        clock: unix seconds.
        outgoing: stores what a run reads before it is launched, where there is a storage.
    """

    def __init__(
        self,
        database: Database,
        cases: CaseStore,
        launcher: Launcher,
        task: str,
        clock: Callable[[], float] = time.time,
        outgoing: Outgoing | None = None,
    ) -> None:
        self._outgoing = outgoing
        self._database, self._cases, self._launcher = database, cases, launcher
        self._task, self._clock = task, clock
        self._later: dict[str, float] = {}

    def all(self) -> Sequence[RunRecord]:
        """Newest first."""
        with self._database.read() as connection:
            return records.runs(connection, self._task)

    def carry(self) -> tuple[bool, bool]:
        """Bring every run that has not ended one step further: (whether one ended now, whether any is still open)."""
        ended, still = False, False
        for run in reversed(self.all()):
            if run.state not in ENDED:
                over = self._launch(run) if run.state == DECIDED else self._follow(run)
                ended, still = ended or over, still or not over
        return ended, still

    def _launch(self, run: RunRecord) -> bool:
        if 0 < self._later.get(run.key, 0.0) - self._clock() <= RETRY_SECONDS:  # further off is a clock set back
            return False
        try:
            closed = self._cases.close(run.instrument, run.number)
            if self._outgoing:
                self._outgoing.put(run.arguments, closed)
            run_id = self._launcher.launch(Path(run.pipeline), run.arguments, name=run.key)
        except (OutsideServiceError, OSError) as error:
            logger.warning("%s cannot be launched yet: %s", run.key, error)
            self._later[run.key] = self._clock() + RETRY_SECONDS
            self._change(run, error=str(error))
            return False
        except ParfocalError as error:
            self._change(run, state=FAILED, ended=self._clock(), error=str(error))
            return True
        logger.info("%s is launched as %s", run.key, run_id)
        self._change(run, state=records.PENDING, run_id=run_id, launched=self._clock(), error="")
        return False

    def _follow(self, run: RunRecord) -> bool:
        try:
            state = self._launcher.state(run.run_id)
        except (OutsideServiceError, OSError) as error:
            logger.warning("%s cannot be followed now: %s", run.key, error)
            return False
        except ParfocalError as error:
            self._change(run, state=FAILED, ended=self._clock(), error=str(error))
            return True
        if state not in ENDED:
            if state != run.state:
                self._change(run, state=state)
            return False
        outcome, error_text = self._left(run, state)
        logger.info("%s has ended: %s %s", run.key, state, outcome)
        self._change(run, state=state, ended=self._clock(), outcome=outcome, error=error_text)
        return True

    def _left(self, run: RunRecord, state: str) -> tuple[str, str]:
        """The gate's word and the error of a run that has ended; a cluster's are on its own pages."""
        if not isinstance(self._launcher, LocalLauncher):
            return "", "" if state == records.SUCCEEDED else f"the run is {state}: see Kubeflow"
        result = self._launcher.result(run.run_id)
        silent = "" if state == records.SUCCEEDED else "it was ended from outside"
        return str(result.get("outputs", {}).get("outcome", "")), str(result.get("error", silent))

    def _change(self, run: RunRecord, **values: object) -> None:
        with self._database.write() as connection:
            records.change(connection, run.key, **values)
