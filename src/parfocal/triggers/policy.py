"""The policy of the trigger: what to do about an instrument now, and why, in a sentence for a person.

Nothing is read or started here. Whoever asks records the decision, also a "not now", and acts on `start` alone.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal

from pydantic import Field

from parfocal.core.config import Config

Action = Literal["start", "wait", "label", "none"]
Mode = Literal["drift", "quality", "either"]

TEST_SHARE = 0.5
"""Of a new instrument's first experience, as the split deals it: the frozen test cases that the gate will judge on."""
HOUR = 3600.0
WEEK = 7 * 24 * HOUR


class TriggerConfig(Config):
    """When a retrain may start."""

    mode: Mode = Field(
        default="drift",
        description="what calls for a retrain: an alarm of a drift detector, a predicted Dice below quality_floor, or "
        "either of them",
    )
    quality_floor: float = Field(
        default=0.8, ge=0, le=1, description="predicted mean Dice below which quality calls for a retrain"
    )
    minimum_cases: int = Field(default=30, ge=1, description="labelled cases of the instrument, at least")
    minimum_test: int = Field(default=15, ge=1, description="of them test cases, at least; half of the cases are")
    cooldown_hours: float = Field(default=24.0, ge=0, description="hours from one retrain of an instrument to the next")
    max_runs_a_week: int = Field(default=3, ge=1, description="retrains of an instrument in any seven days")
    dry_run: bool = Field(default=False, description="decide and record, but start nothing")

    @property
    def labels_needed(self) -> int:
        """Labelled cases with which a retrain may start."""
        return max(self.minimum_cases, math.ceil(self.minimum_test / TEST_SHARE))


@dataclass(frozen=True, slots=True)
class Facts:
    """What is known when the question is asked. Times are seconds since 1970.

    Attributes:
        task: registered model.
        instrument: the one asked about; empty for traffic that declares none.
        champion: version that answers; empty when there is none.
        epoch: life of its detectors: the id of their reference, and `-` and more after a restart by hand.
        alarm: whether any stream of the instrument stands in alarm.
        alarm_time: when the first of them did.
        quality: predicted mean Dice of its newest cases, of the structure for which it is lowest; None when nothing
            predicts it.
        labelled: labelled cases of the instrument that no retrain has used.
        running: retrains of the task that have not ended, by key or run id. The champion is one for all instruments,
            and a challenger that was judged against one that has been replaced is refused.
        promoted: key of a retrain whose model has replaced the champion and is not here yet; empty without one.
        launches: when the instrument's retrains were launched, in any order; future ones count as now.
        used_keys: idempotency keys of every launch there was.
        streams: those that stand in alarm: `stream`, `statistic` and `threshold`, `alarm_at` (observation of this
            epoch, from 1) and `alarm_time`. Nothing is decided by them; they are for whoever asks later why.
        now: the present.
    """

    task: str
    instrument: str
    champion: str
    epoch: str
    alarm: bool
    now: float
    labelled: int = 0
    alarm_time: float | None = None
    quality: float | None = None
    running: tuple[str, ...] = ()
    promoted: str = ""
    launches: tuple[float, ...] = ()
    used_keys: frozenset[str] = frozenset()
    streams: tuple[Mapping[str, Any], ...] = ()


@dataclass(frozen=True, slots=True)
class TriggerDecision:
    """What to do.

    Attributes:
        action: `start` a retrain; `wait`, it will be time later; `label` more cases first; `none`, nothing to do.
        reason: a sentence for a person.
        key: idempotency key of the retrain that this is about; a launch records it first, so that none happens twice.
        needed: labelled cases that are missing; 0 when there are enough.
    """

    action: Action
    reason: str
    key: str
    needed: int = 0


def key(task: str, instrument: str, champion: str, epoch: str) -> str:
    """The same for every alert about one alarm: task, instrument, champion and detector epoch name the retrain.

    Of the reference's id in the epoch twelve digits are kept; what follows a dash (a restart by hand) is kept whole.
    """
    reference, dash, restart = epoch.partition("-")
    return f"{task}-{instrument}-v{champion}-{reference[:12]}{dash}{restart}"


def decide(facts: Facts, config: TriggerConfig) -> TriggerDecision:
    """Decide about one instrument. The first obstacle is the answer; without one the answer is `start`.

    Obstacles that nobody can lift come first, then those a person can lift (labels), then those that time lifts.
    """
    this = key(facts.task, facts.instrument, facts.champion, facts.epoch)
    missing = max(0, config.labels_needed - facts.labelled)
    action, reason = (
        _final(facts, config, this) or _labels(facts, config, missing) or _time(facts, config) or ("start", "")
    )
    if action == "start":
        reason = f"{_trouble(facts, config)}, and {facts.labelled} labelled cases are there"
        if config.dry_run:
            action, reason = "none", f"dry run: would start a retrain of {facts.task} on {facts.instrument}; {reason}"
    return TriggerDecision(action, reason, this, missing)


def calls(*, alarm: bool, quality: float | None, config: TriggerConfig) -> bool:
    """Whether by this policy anything calls for a retrain; `alarm` and `quality` as in `Facts`."""
    return (config.mode != "quality" and alarm) or (config.mode != "drift" and _poor(quality, config))


Obstacle = tuple[Action, str] | None


def _poor(quality: float | None, config: TriggerConfig) -> bool:
    return quality is not None and quality < config.quality_floor


def _calm(facts: Facts, config: TriggerConfig) -> str:
    """Why nothing calls for a retrain."""
    who = facts.instrument or "undeclared traffic"
    if config.mode == "drift":
        return f"no alarm stands for {who}"
    if facts.quality is None:
        quality = f"nothing predicts the Dice of {who}"
    else:
        quality = f"the predicted Dice of {who}, {facts.quality:.2f}, is not below {config.quality_floor:g}"
    if config.mode == "either":
        return f"no alarm stands for {who}, and {quality}"
    return f"{_alarm(facts)}, but {quality}, and by this policy quality alone counts" if facts.alarm else quality


def _final(facts: Facts, config: TriggerConfig, this: str) -> Obstacle:
    if not calls(alarm=facts.alarm, quality=facts.quality, config=config):
        return "none", _calm(facts, config)
    if not facts.instrument:
        return "none", ("these cases declare no instrument; name the candidates among them, or send them under a name")
    if not facts.champion:
        return "none", f"no champion of {facts.task} is there to be retrained"
    if this in facts.used_keys:
        return "none", f"a retrain was started for this alarm already (key {this}); its outcome stands"
    return None


def _labels(facts: Facts, config: TriggerConfig, missing: int) -> Obstacle:
    if not missing:
        return None
    return "label", (
        f"{_trouble(facts, config)}; label {missing} more of its cases: {facts.labelled} of {config.labels_needed} "
        f"are there, of which at least {config.minimum_test} are to be test cases"
    )


def _time(facts: Facts, config: TriggerConfig) -> Obstacle:
    if facts.running:
        return "wait", f"a retrain is running ({facts.running[0]}); one at a time"
    if facts.promoted:
        return "wait", f"version {facts.champion} is being replaced by the model of {facts.promoted}"
    past = sorted(min(launch, facts.now) for launch in facts.launches)
    free = past[-1] + config.cooldown_hours * HOUR if past else facts.now
    if facts.now < free:
        ago = _ago(facts.now - past[-1])
        return "wait", f"the last retrain on {facts.instrument} was {ago} ago; wait until {_at(free)}"
    week = [launch for launch in past if launch > facts.now - WEEK]
    if len(week) >= config.max_runs_a_week:
        free = week[-config.max_runs_a_week] + WEEK
        return "wait", f"{len(week)} retrains on {facts.instrument} in seven days; wait until {_at(free)}"
    return None


def _trouble(facts: Facts, config: TriggerConfig) -> str:
    """What calls for a retrain."""
    found = [_alarm(facts)] if config.mode != "quality" and facts.alarm else []
    if config.mode != "drift" and _poor(facts.quality, config):
        found.append(f"the predicted Dice of {facts.instrument} is {facts.quality:.2f}, below {config.quality_floor:g}")
    return " and ".join(found)


def _alarm(facts: Facts) -> str:
    since = "" if facts.alarm_time is None else f" since {_at(facts.alarm_time)}"
    return f"{facts.instrument} is in alarm{since}"


def _at(time: float) -> str:
    return f"{datetime.fromtimestamp(time, UTC):%Y-%m-%d %H:%M} UTC"


def _ago(seconds: float) -> str:
    hours = seconds / HOUR
    return f"{hours:.0f} hours" if hours >= 2 else f"{seconds / 60:.0f} minutes"
