"""The thread that decides. Whatever wakes it, it reads the alarm from the database and asks the policy.

A decision to start is written down together with the run, with the exact arguments, before anything is started.
"""

from __future__ import annotations

import json
import logging
import math
import threading
import time
from collections.abc import Callable
from dataclasses import asdict
from datetime import datetime

from parfocal_serving.monitor import records, runs_acts
from parfocal_serving.monitor.cases import CaseStore
from parfocal_serving.monitor.database import Database
from parfocal_serving.monitor.outgoing import is_of
from parfocal_serving.monitor.plan import Plan
from parfocal_serving.monitor.records import ENDED, RunRecord
from parfocal_serving.monitor.references import Champion, References
from parfocal_serving.monitor.runs import Runs
from parfocal_serving.monitor.standing import Watched, shown, standing
from parfocal_serving.monitor.worth import Quality, lowest, to_label
from sqlalchemy import Connection

from parfocal.core.clock import DAY, STEP_SECONDS
from parfocal.core.protocols import Ledger
from parfocal.core.types import Outcome
from parfocal.triggers import policy
from parfocal.triggers.policy import Facts, TriggerDecision

FOLLOW_SECONDS = 0.5
"""Between two looks at a run that has not ended."""
IDLE_SECONDS = 60.0
"""Between two looks at alarms that stand, where nobody repeats them: a cooldown may have ended."""
logger = logging.getLogger(__name__)


class Trigger(threading.Thread):
    """Sleeps until it is woken, or a run is to be followed.

    Args:
        clock: unix seconds.
        leads: whether this monitor is the one that acts, seen anew at every step.
        ledger: where runs on a cluster leave the gate's word.
    """

    def __init__(
        self,
        database: Database,
        references: References,
        cases: CaseStore,
        plan: Plan,
        clock: Callable[[], float] = time.time,
        leads: Callable[[], bool] = lambda: True,
        ledger: Ledger | None = None,
    ) -> None:
        super().__init__(name="trigger", daemon=True)
        self._leads = leads
        self._database, self._references, self._cases = database, references, cases
        self._plan, self._clock, self._quality = plan, clock, Quality(plan.task)
        self._runs = Runs(database, cases, plan.launcher, plan.task, clock, plan.outgoing, ledger)
        self._signal, self._over, self._alert = threading.Event(), threading.Event(), threading.Event()

    def wake(self, *, alert: bool = False) -> None:
        """Have a look soon; `alert` when somebody says that there is an alarm, which will be answered in any case."""
        if alert:
            self._alert.set()
        self._signal.set()

    def stop(self) -> None:
        self._over.set()
        self._signal.set()

    def run(self) -> None:
        """Carry on what was begun, and decide when woken; an error never ends it."""
        self._signal.set()  # whoever was here before may have been killed between an alert and its decision
        pause = 0.0
        while not self._over.is_set():
            woken = self._signal.wait(pause)
            if woken:  # else one that comes just now would be cleared unseen
                self._signal.clear()
            try:
                pause = self.step(woken)
            except Exception:
                logger.exception("the trigger goes on after an error")
                self._over.wait(5)
                self._signal.set()

    def step(self, woken: bool) -> float:
        """One look at runs and, if there is a reason, at alarms; seconds until the next."""
        if not self._leads():
            return FOLLOW_SECONDS  # who takes the lead wakes it
        self._redate()
        ended, still = self._runs.carry()
        if woken or ended or (self._plan.again and not still):
            self._consider()
            still = any(run.state not in ENDED for run in self._runs.all())
        return FOLLOW_SECONDS if still else IDLE_SECONDS

    def again(self, key: str, by: str, reason: str) -> None:
        """A person has a failed run carried through once more (`runs_acts`)."""
        with self._database.write() as connection:
            runs_acts.again(connection, self._plan.task, key, by, reason, self._clock())
        self.wake()

    def abandon(self, key: str, by: str, reason: str) -> None:
        """A person has a run followed no longer (`runs_acts`)."""
        with self._database.write() as connection:
            runs_acts.abandon(connection, self._plan.task, key, by, reason, self._clock())
        self.wake()

    def _redate(self) -> None:
        """A clock that was set back would keep a cooldown going until it is where it was."""
        now = self._clock()
        for run in self._runs.all():
            if run.decided > now + STEP_SECONDS:
                days = (run.decided - now) / DAY
                said = f"the clock went back: {run.key} was decided {days:.1f} days from now and counts as of now"
                with self._database.write() as connection:
                    records.redate(connection, run, now)
                    records.decide(connection, run.task, run.instrument, "none", said, run.key, "{}", now)
                logger.warning(said)

    def _consider(self) -> None:
        if asked := self._alert.is_set():
            self._alert.clear()
        try:
            self._answer(asked)
        except BaseException:
            self.wake(alert=asked)  # it was not answered
            raise

    def _answer(self, asked: bool) -> None:
        """Decide about every alarm, and about every instrument when somebody asked and there is no alarm."""
        champion = self._references.champion
        with self._database.read() as connection:
            watched = standing(connection, self._references, self._plan.task)
            reference_id = shown(connection, self._references, self._plan.task)
            judge = self._references.judge(reference_id)
            dice = {
                one.name: lowest(self._quality.of(connection, judge, reference_id, one.name, one.observations))
                for one in watched
            }
        if self._references.champion is not champion:  # those alarms may have been another's
            self.wake(alert=asked)
            return
        config = self._plan.config
        calling = [  # an alarm by which this policy does nothing is a decision too
            one for one in watched if one.alarm or policy.calls(alarm=False, quality=dice[one.name], config=config)
        ]
        if not calling and asked:
            calling = [instrument for instrument in watched if instrument.observations]
        for instrument in calling:
            self._decide(instrument, champion, dice[instrument.name])

    def _decide(self, instrument: Watched, champion: Champion | None, dice: float | None) -> None:
        facts = self._facts(instrument, champion, dice)
        decision = policy.decide(facts, self._plan.config)
        if decision.action == "start" and champion is not None:
            self._start(facts, decision, champion)
            return
        cases = self._to_label(facts, decision) if decision.action == "label" else None
        with self._database.write() as connection:
            self._record(connection, facts, decision, cases)
        logger.info("%s: %s, %s", facts.instrument or "undeclared", decision.action, decision.reason)

    def _start(self, facts: Facts, decision: TriggerDecision, champion: Champion) -> None:
        """Write decision and run down in one transaction; then the run is carried through, by whoever lives."""
        earlier = [run.number for run in self._runs.all() if run.instrument == facts.instrument]
        number = max([self._cases.next_number(facts.instrument), *(1 + n for n in earlier)])
        experience = self._cases.experience(facts.instrument, number)
        run = RunRecord(
            key=decision.key,
            task=facts.task,
            instrument=facts.instrument,
            number=number,
            pipeline=str(self._plan.pipeline),
            arguments=self._plan.arguments(facts.instrument, champion, experience, decision.key),
            decided=facts.now,
        )
        with self._database.write() as connection:
            self._record(connection, facts, decision)
            records.begin(connection, run)
        logger.warning("%s: %s, as %s", facts.instrument, decision.reason, decision.key)
        self._runs.carry()

    def _to_label(self, facts: Facts, decision: TriggerDecision) -> dict[str, list[str]]:
        test = math.ceil(decision.needed * policy.TEST_SHARE)
        with self._database.read() as connection:
            reference_id = shown(connection, self._references, facts.task)
            judge, wanted = self._references.judge(reference_id), (decision.needed - test, test)
            key = self._plan.run.split.key
            return to_label(connection, judge, self._cases, facts.task, facts.instrument, reference_id, wanted, key)

    def _facts(self, instrument: Watched, champion: Champion | None, dice: float | None) -> Facts:
        all_runs = self._runs.all()
        runs = [run for run in all_runs if run.instrument == instrument.name]
        times = [stream.alarm_time for stream in instrument.streams if stream.alarm_time is not None]
        return Facts(
            task=self._plan.task,
            instrument=instrument.name,
            champion=champion.version if champion else "",
            epoch=instrument.epoch,
            alarm=instrument.alarm,
            now=self._clock(),
            labelled=self._cases.labelled(instrument.name),
            alarm_time=min(times, default=None),
            quality=dice,
            running=tuple(run.key for run in all_runs if run.state not in ENDED),
            promoted=next((run.key for run in all_runs if champion and _replaces(run, champion)), ""),
            launches=tuple(run.decided for run in runs),
            used_keys=frozenset(run.key for run in runs),
            streams=tuple(stream.evidence() for stream in instrument.streams if stream.alarm),
        )

    def _record(
        self,
        connection: Connection,
        facts: Facts,
        decision: TriggerDecision,
        cases: dict[str, list[str]] | None = None,
    ) -> None:
        text = json.dumps({**asdict(facts), "used_keys": sorted(facts.used_keys)}, sort_keys=True)
        records.decide(
            connection, facts.task, facts.instrument, decision.action, decision.reason, decision.key, text, facts.now,
            cases,
        )  # fmt: skip


def _replaces(run: RunRecord, champion: Champion) -> bool:
    """Whether a retrain of this champion was promoted since it took over: then it is on its way out."""
    mine = is_of(run.arguments.get("champion_uri", ""), champion)
    try:
        since = datetime.fromisoformat(champion.since).timestamp()
    except ValueError:
        return False
    return mine and run.outcome == Outcome.PROMOTE and run.ended is not None and run.ended > since
