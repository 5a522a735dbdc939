"""What the scenes of the demo have found, as values that the summary is made of."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from parfocal.core.scores import Evaluation

BY_HAND = "by hand"
"""The trigger path of a retrain that no alarm started."""


@dataclass(frozen=True, slots=True)
class Served:
    """The champion that answers when the first patient comes.

    Attributes:
        version: of the registry.
        reference: id of its drift reference; empty when it has none.
        trigger_path: how an alarm reaches the trigger, ``alertmanager`` or ``monitor``.
    """

    version: str
    reference: str
    trigger_path: str


@dataclass(frozen=True, slots=True)
class Traffic:
    """Patients at a camera that the champion knows.

    Attributes:
        cases: that were sent.
        alarms: drift streams that stand in alarm afterwards; each is a false one.
    """

    cases: int
    alarms: int


@dataclass(frozen=True, slots=True)
class Arrival:
    """Patients at the camera that nobody has seen.

    Attributes:
        cases: that were sent until the alarm, or in all.
        streams: drift stream to the case that it raised the alarm at.
        silence: why there was no alarm; empty when there was one.
        ended: seconds of the monotonic clock, when the alarm was seen.
    """

    cases: int
    streams: Mapping[str, int]
    silence: str
    ended: float

    @property
    def alarm_at(self) -> int | None:
        """Cases until the first stream raised the alarm; None without one."""
        return min(self.streams.values(), default=None)


@dataclass(frozen=True, slots=True)
class Run:
    """A retrain that has come to its end.

    Attributes:
        key: idempotency key, which names it in the ledger.
        run_id: of the launcher, which names its folder.
        launched: seconds since 1970.
        outputs: of the pipeline: folder by name, and ``outcome``.
    """

    key: str
    run_id: str
    launched: float
    outputs: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Swap:
    """The endpoint's change to the new champion.

    Attributes:
        version: that answers now.
        seconds: from the promotion to its first answer.
        moment: of that answer, in seconds of the monotonic clock.
    """

    version: str
    seconds: float
    moment: float


@dataclass(frozen=True, slots=True)
class Lesson:
    """What the new camera's labels led to.

    Attributes:
        judged: scores of champion and challenger, case by case.
        decision: the gate's, as decision.json has it.
        swap: None unless the gate promoted.
        answered, failed: requests while the pipeline ran and the endpoint swapped.
    """

    run: Run
    judged: Evaluation
    decision: Mapping[str, Any]
    swap: Swap | None
    answered: int
    failed: int


@dataclass(frozen=True, slots=True)
class Findings:
    """Everything. `after` is None where nothing was promoted, or no further patient of the new camera is there."""

    served: Served
    known: Traffic
    arrival: Arrival
    lesson: Lesson
    after: Traffic | None

    @property
    def trigger_path(self) -> str:
        """How the retrain came to be started."""
        return BY_HAND if self.arrival.silence else self.served.trigger_path

    @property
    def champion(self) -> str:
        """Version that answers at the end."""
        return self.lesson.swap.version if self.lesson.swap else self.served.version
