"""What the monitor's database knows that others ask: which model answered a patient, and which alarm began a run.

Read only, and of an installation that may have no monitor: nothing is made or changed by looking.
"""

from __future__ import annotations

import hashlib
import hmac
import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import Field
from sqlalchemy import Connection, column, create_engine, inspect, select, table
from sqlalchemy.engine import make_url
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.pool import NullPool

from parfocal.adapters.settings import Settings
from parfocal.core.errors import OutsideServiceError, UsageError
from parfocal.promotion.evidence import Origin

SECRET = "patient.secret"  # noqa: S105  a file's name
OBSERVATIONS = table(
    "monitor_observations",
    *map(column, ("id", "task", "instrument", "model_version", "reference_id", "time", "patient_hmac")),
)
DECISIONS = table("monitor_decisions", *map(column, ("number", "task", "instrument", "action", "key", "facts", "time")))
DETECTORS = table(
    "monitor_detectors",
    *map(column, ("task", "instrument", "stream", "reference_id", "resets", "alarm_at", "alarm_time", "history")),
)
RUNS = table("monitor_runs", *map(column, ("task", "instrument", "number", "launched")))
ANNOTATIONS = table("monitor_annotations", *map(column, ("task", "instrument", "case_id", "reading", "state")))
"""The columns that are read here, of the tables in `parfocal_serving.monitor.schema`."""


class MonitoredSettings(Settings):
    """What the segmenter, the monitor and the container are told too."""

    patient_secret: str = Field(
        default="", validation_alias="PARFOCAL_PATIENT_SECRET", description="key of the patients' HMAC"
    )
    image: str = Field(
        default="",
        validation_alias="PARFOCAL_IMAGE",
        description="image of this container, best by digest; set in the container's own specification",
    )

    @property
    def monitor_database(self) -> str:
        """As the monitor finds it."""
        return self.database_url or f"sqlite:///{self.state.resolve() / 'monitor.db'}"


@dataclass(frozen=True, slots=True)
class Answer:
    """One answered request. `time` is unix seconds; `instrument` is empty where none was declared."""

    id: str
    time: float
    task: str
    instrument: str
    version: str


@dataclass(frozen=True, slots=True)
class HandedIn:
    """Experiences as (task, instrument, number), and cases labelled on the page as (task, instrument, case)."""

    experiences: tuple[tuple[str, str, int], ...] = ()
    cases: tuple[tuple[str, str, str], ...] = ()


def pseudonym(settings: MonitoredSettings, patient: str) -> str:
    """The HMAC under which the segmenter reports this patient.

    Raises:
        UsageError: there is no secret here, so nobody can be recognised.
    """
    secret = settings.patient_secret.encode() or _kept(settings.state.resolve() / SECRET)
    if not secret:
        raise UsageError(
            "the patients' secret is not here",
            where=settings.state.resolve() / SECRET,
            next="run this where the segmenter answers, or set PARFOCAL_PATIENT_SECRET (or PARFOCAL_STATE) as there",
        )
    return hmac.new(secret, patient.encode(), hashlib.sha256).hexdigest()


def answers(settings: MonitoredSettings, task: str, patient: str, start: float, end: float) -> tuple[Answer, ...]:
    """Every answer to a patient in a period that the monitor still has, oldest first.

    Args:
        patient: the HMAC, not the name.
        start, end: unix seconds; `end` itself is outside.

    Raises:
        UsageError: there is no monitor's database here.
        OutsideServiceError: it cannot be reached.
    """
    here = OBSERVATIONS.c
    query = select(here.id, here.time, here.task, here.instrument, here.model_version).where(
        here.patient_hmac == patient, here.task == task, here.time >= start, here.time < end
    )
    with _reading(settings.monitor_database, OBSERVATIONS.name) as connection:
        if connection is None:
            raise UsageError(
                "no monitor has kept observations here",
                where=make_url(settings.monitor_database).render_as_string(hide_password=True),
                next="set PARFOCAL_STATE or PARFOCAL_DATABASE_URL as for the monitor",
            )
        return tuple(Answer(*row) for row in connection.execute(query.order_by(here.time, here.id)))


def handed_in(settings: MonitoredSettings) -> HandedIn:
    """What the monitor says it was given to learn from: experiences that a run was started with, and accepted cases.

    Raises:
        OutsideServiceError: the monitor's database cannot be reached.
    """
    with _reading(settings.monitor_database, RUNS.name) as connection:
        if connection is None:
            return HandedIn()
        run, case = RUNS.c, ANNOTATIONS.c
        runs = select(run.task, run.instrument, run.number).where(run.launched.is_not(None))
        cases = select(case.task, case.instrument, case.case_id).where(case.state == "accepted", case.reading == 0)
        labelled = inspect(connection).has_table(ANNOTATIONS.name)  # of a monitor that has annotation
        return HandedIn(
            tuple((row[0], row[1], row[2]) for row in connection.execute(runs.order_by(*run))),
            tuple((row[0], row[1], row[2]) for row in (connection.execute(cases.order_by(*case)) if labelled else ())),
        )


def origin(key: str, settings: MonitoredSettings | None = None) -> Origin:
    """What began the work of this idempotency key, and the image that does it, as far as this place knows.

    Raises:
        OutsideServiceError: the monitor's database cannot be reached.
    """
    settings = settings or MonitoredSettings()
    with _reading(settings.monitor_database, DECISIONS.name) as connection:
        return Origin(alarm=_alarm(connection, key) if connection is not None else None, image=settings.image)


def _alarm(connection: Connection, key: str) -> dict[str, Any] | None:
    """The alarm behind the decision to start this run; None when it was not the monitor that started it."""
    started = select(DECISIONS).where(DECISIONS.c.key == key, DECISIONS.c.action == "start")
    row = connection.execute(started.order_by(DECISIONS.c.number).limit(1)).mappings().first()
    facts = json.loads(row["facts"]) if row else {}
    if row is None or not facts:
        return None
    streams = facts.get("streams") or list(_detectors(connection, dict(row), facts["epoch"]))
    return {
        "task": row["task"],
        "instrument": row["instrument"],
        "reference": facts["epoch"],
        "champion": facts["champion"],
        "time": facts["alarm_time"],
        "decided": row["time"],
        "labelled": facts["labelled"],
        "streams": streams,
    }


def _detectors(connection: Connection, decision: Mapping[str, Any], epoch: str) -> Iterator[dict[str, Any]]:
    """The streams that stand in alarm, for decisions that did not write them down; they name no threshold."""
    here = DETECTORS.c
    query = select(DETECTORS).where(
        here.task == decision["task"], here.instrument == decision["instrument"], here.alarm_at.is_not(None)
    )
    for row in connection.execute(query).mappings():
        if row["reference_id"].startswith(epoch.partition("-")[0]):
            path = dict(json.loads(row["history"]))
            yield {
                "stream": row["stream"],
                "statistic": path.get(row["alarm_at"]),
                "threshold": None,
                "alarm_at": row["alarm_at"],
                "alarm_time": row["alarm_time"],
            }


@contextmanager
def _reading(url: str, needed: str) -> Iterator[Connection | None]:
    """A connection, or None where there is no such database or it is nobody's monitor."""
    parsed = make_url(url)
    if parsed.get_backend_name() == "sqlite" and not Path(parsed.database or "").is_file():
        yield None
        return
    try:
        engine = create_engine(parsed, poolclass=NullPool)
        with engine.connect() as connection:
            yield connection if inspect(connection).has_table(needed) else None
    except SQLAlchemyError as error:
        raise OutsideServiceError(
            f"the monitor's database failed: {str(getattr(error, 'orig', None) or error).splitlines()[0]}",
            where=parsed.render_as_string(hide_password=True),
            next="see that PARFOCAL_DATABASE_URL runs, then try again",
        ) from error


def _kept(file: Path) -> bytes:
    try:
        return file.read_bytes().strip()
    except OSError:
        return b""
