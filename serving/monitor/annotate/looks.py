"""Questions about many cases at once: whose they are, and which are free. Each is one query for what is asked.

`leases` changes one case; nothing here changes any. Times are unix seconds.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Sequence
from typing import Any

from parfocal_serving.monitor.annotate.leases import ENDED, OUT, WAITING
from parfocal_serving.monitor.schema import ANNOTATION_LOG, ANNOTATIONS
from sqlalchemy import ColumnElement, Connection, RowMapping, func, or_, select

from parfocal.core.types import Split

HERE = ANNOTATIONS.c
HEAVY = ("draft", "proposal", "masks")
"""Columns of up to megabytes, which no list of cases shows."""
LIGHT = [column for column in HERE if column.name not in HEAVY]


def taken(connection: Connection, task: str, cases: Collection[str], annotator: str, now: float) -> set[str]:
    """Of some cases, those that cannot be given to this annotator for a first reading: labelled, refused, another's."""
    theirs = or_(HERE.state.in_(ENDED), _anothers(annotator, now))
    query = select(HERE.case_id).where(HERE.task == task, HERE.reading == 0, HERE.case_id.in_(cases), theirs)
    return set(connection.execute(query).scalars())


def out(connection: Connection, task: str, instruments: Collection[str], now: float) -> Sequence[RowMapping]:
    """The cases of some instruments that somebody has, the longest given out first."""
    here = (HERE.task == task, HERE.instrument.in_(instruments), HERE.state == OUT, HERE.until > now)
    return connection.execute(select(*LIGHT).where(*here).order_by(HERE.offered)).mappings().all()


def out_by_side(connection: Connection, task: str, instrument: str, annotator: str, now: float) -> Counter[Split]:
    """How many of an instrument's cases others than this annotator have for a first reading, by side."""
    here = (HERE.task == task, HERE.instrument == instrument, HERE.reading == 0, _anothers(annotator, now))
    query = select(HERE.side, func.count()).where(*here).group_by(HERE.side)
    return Counter({Split(side): count for side, count in connection.execute(query)})


def own(connection: Connection, task: str, instruments: Collection[str], annotator: str) -> Sequence[RowMapping]:
    """What this annotator has of some instruments, lapsed or not, the longest given out first."""
    here = (HERE.task == task, HERE.instrument.in_(instruments), HERE.state == OUT, HERE.annotator == annotator)
    return connection.execute(select(*LIGHT).where(*here).order_by(HERE.offered)).mappings().all()


def second_readings(
    connection: Connection, task: str, instrument: str, annotator: str, now: float
) -> Sequence[RowMapping]:
    """An instrument's cases that wait for a second reading, by somebody else than whoever read them first."""
    first = ANNOTATIONS.alias("first")
    same = (first.c.task == HERE.task) & (first.c.case_id == HERE.case_id) & (first.c.reading == 0)
    free = HERE.state.in_((WAITING, OUT)) & or_(HERE.state == WAITING, HERE.until <= now)  # the first by the index
    query = (
        select(*LIGHT)
        .join(first, same)
        .where(HERE.task == task, HERE.instrument == instrument, HERE.reading == 1, free)
        .where(first.c.annotator != annotator)
        .order_by(HERE.offered)
    )
    return connection.execute(query).mappings().all()


def skipped(connection: Connection, task: str, annotator: str) -> dict[str, float]:
    """When this annotator last skipped a case, by case."""
    log: Any = ANNOTATION_LOG.c
    here = (log.task == task, log.annotator == annotator, log.action == "skip")
    query = select(log.case_id, func.max(log.time)).where(*here).group_by(log.case_id)
    return {row[0]: row[1] for row in connection.execute(query)}


def _anothers(annotator: str, now: float) -> ColumnElement[bool]:
    """Out, and not lapsed, with another than this annotator."""
    return (HERE.state == OUT) & (HERE.until > now) & (HERE.annotator != annotator)
