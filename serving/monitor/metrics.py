"""What Prometheus sees, read from the database when it asks: nothing here can disagree with the page."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator

from parfocal_serving.monitor import records
from parfocal_serving.monitor.database import Database
from parfocal_serving.monitor.lead import Lead
from parfocal_serving.monitor.references import References
from parfocal_serving.monitor.schema import DECISIONS, RUNS
from parfocal_serving.monitor.standing import Watched, shown, standing
from parfocal_serving.monitor.store import counters
from parfocal_serving.monitor.worth import Quality
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector
from sqlalchemy import func, select

UNDECLARED = "undeclared"
"""Label of the requests that declared no instrument: Prometheus takes an empty label for none."""
COUNTED = {
    "accepted": ("parfocal_observations", "Observations stored, each once."),
    "duplicates": ("parfocal_observations_duplicate", "Observations that were sent again and stored before."),
    "rejected": ("parfocal_observations_rejected", "Items that were no observation and were kept aside."),
    "unscored": ("parfocal_observations_unscored", "Observations whose reference was not here when they came."),
}


class MonitorCollector(Collector):
    """Counters are kept in the database, so a restart does not set them back."""

    def __init__(
        self,
        database: Database,
        references: References,
        task: str,
        quality: Quality | None = None,
        lead: Lead | None = None,
    ) -> None:
        self._database, self._references, self._task = database, references, task
        self._quality, self._lead = quality or Quality(task), lead

    def collect(self) -> Iterator[Metric]:
        with self._database.read() as connection:
            watched = standing(connection, self._references, self._task)
            reference_id = shown(connection, self._references, self._task)
            judge = self._references.judge(reference_id)
            dice = {
                one.name: self._quality.of(connection, judge, reference_id, one.name, one.observations)
                for one in watched
            }
            counted = counters(connection, self._task)
            runs = connection.execute(
                select(RUNS.c.state, func.count()).where(RUNS.c.task == self._task).group_by(RUNS.c.state)
            ).all()
            newest = {run.instrument: run for run in reversed(records.runs(connection, self._task))}
            decisions = connection.execute(
                select(DECISIONS.c.action, func.sum(DECISIONS.c.times))
                .where(DECISIONS.c.task == self._task)
                .group_by(DECISIONS.c.action)
            ).all()
        yield from self._streams(watched)
        yield from self._instruments(watched)
        yield _filled(
            GaugeMetricFamily(
                "parfocal_predicted_dice",
                "Predicted mean Dice of an instrument's newest answers.",
                labels=["task", "instrument", "structure"],
            ),
            (
                ([self._task, label(name), structure], found.estimate)
                for name, structures in dice.items()
                for structure, found in structures.items()
            ),
        )
        if self._lead is not None:
            yield GaugeMetricFamily(
                "parfocal_monitor_leads", "1 in the monitor that decides; 0 in one that waits.", value=self._lead.held
            )
        yield _filled(
            GaugeMetricFamily("parfocal_runs", "Retrains by state.", labels=["task", "state"]),
            (([self._task, state], number) for state, number in runs),
        )
        yield _filled(
            GaugeMetricFamily(
                "parfocal_retrain_failed", "1 where the newest retrain has failed.", labels=["task", "instrument"]
            ),
            (([self._task, label(run.instrument)], run.state == records.FAILED) for run in newest.values()),
        )
        for name, (metric, text) in COUNTED.items():
            family = CounterMetricFamily(metric, text, labels=["task"])
            yield _filled(family, [([self._task], counted.get(name, 0))])
        yield CounterMetricFamily(
            "parfocal_alerts_received", "Calls of Alertmanager's webhook.", value=counted.get("alerts", 0)
        )
        yield _filled(
            CounterMetricFamily(
                "parfocal_trigger_decisions", "Decisions of the trigger, repeated ones too.", labels=["task", "action"]
            ),
            (([self._task, action], number) for action, number in decisions),
        )

    def _streams(self, watched: Iterable[Watched]) -> Iterator[Metric]:
        labels = ["task", "instrument", "stream"]
        statistic = GaugeMetricFamily("parfocal_drift_statistic", "CUSUM statistic.", labels=labels)
        threshold = GaugeMetricFamily("parfocal_drift_threshold", "Statistic at which an alarm begins.", labels=labels)
        alarm = GaugeMetricFamily("parfocal_drift_alarm", "1 from the alarm to the next reference.", labels=labels)
        seen = GaugeMetricFamily("parfocal_drift_observations", "Observations of this epoch.", labels=labels)
        for instrument in watched:
            for stream in instrument.streams:
                here = [self._task, label(instrument.name), stream.name]
                statistic.add_metric(here, stream.statistic)
                threshold.add_metric(here, stream.limit.threshold if stream.limit else math.nan)
                alarm.add_metric(here, stream.alarm)
                seen.add_metric(here, stream.observations)
        yield from (statistic, threshold, alarm, seen)

    def _instruments(self, watched: Iterable[Watched]) -> Iterator[Metric]:
        labels = ["task", "instrument"]
        last = GaugeMetricFamily(
            "parfocal_drift_last_observation_timestamp_seconds", "Time of the newest observation.", labels=labels
        )
        missing = GaugeMetricFamily(
            "parfocal_reference_missing",
            "1 where no reference is here to judge by.",
            labels=labels,
        )
        judged = self._references.current() is not None
        for instrument in watched:
            here = [self._task, label(instrument.name)]
            missing.add_metric(here, not judged)
            if instrument.last_seen is not None:
                last.add_metric(here, instrument.last_seen)
        yield from (last, missing)


def label(instrument: str) -> str:
    """An instrument as Prometheus knows it; no two are alike, or it would refuse all of them."""
    return f"{instrument} (by name)" if instrument.startswith(UNDECLARED) else instrument or UNDECLARED


def exposition(collector: Collector) -> bytes:
    """The text that Prometheus scrapes."""
    registry = CollectorRegistry()
    registry.register(collector)
    return generate_latest(registry)


def _filled(
    family: GaugeMetricFamily | CounterMetricFamily, samples: Iterable[tuple[list[str], float]]
) -> GaugeMetricFamily | CounterMetricFamily:
    for labels, value in samples:
        family.add_metric(labels, float(value))
    return family
