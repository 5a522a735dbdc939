"""Who has which case. A case is somebody's until its lease lapses and another asks; what nobody took is still theirs.

Every change is made in a transaction in which nobody else writes, so two people who ask at once get two cases. A token
says whose a lease is; the database keeps its SHA-256 alone.
"""

from __future__ import annotations

import hashlib
import json
import secrets
from collections.abc import Collection, Mapping
from typing import Any

from parfocal_serving.monitor.annotate.refusal import Refusal
from parfocal_serving.monitor.database import ignore, upsert
from parfocal_serving.monitor.schema import ANNOTATION_LOG, ANNOTATIONS
from sqlalchemy import Connection, RowMapping, Select, insert, select, update

SECONDS = 600.0
"""Of a lease, from when the case was given out or its draft was last stored."""
WAITING, OUT, ACCEPTED, REJECTED, UNREADABLE = "waiting", "out", "accepted", "rejected", "unreadable"
ENDED = (ACCEPTED, REJECTED, UNREADABLE)
SHOWN = ("proposal", "clicks")
"""Actions after which an annotator has seen something of a model."""


def digest(token: str) -> str:
    """What is kept of a token."""
    return hashlib.sha256(token.encode()).hexdigest()


def saw(connection: Connection, task: str, case: str, annotator: str) -> bool:
    """Whether this annotator was ever shown something of a model's on this case."""
    here = ANNOTATION_LOG.c
    mine = (here.task == task, here.annotator == annotator, here.action.in_(SHOWN), here.case_id == case)
    return connection.execute(select(here.number).where(*mine).limit(1)).first() is not None


def rename(connection: Connection, task: str, cases: Select[tuple[str]], instrument: str) -> None:
    """Say of which instrument cases are now, "" for none. A label that is kept stays where it was put."""
    here = (ANNOTATIONS.c.task == task, ANNOTATIONS.c.state != ACCEPTED, ANNOTATIONS.c.case_id.in_(cases))
    connection.execute(update(ANNOTATIONS).where(*here).values(instrument=instrument))


def refused(connection: Connection, task: str, instrument: str) -> set[str]:
    """Cases that nobody shall be asked to label again."""
    here = (ANNOTATIONS.c.task == task, ANNOTATIONS.c.instrument == instrument, ANNOTATIONS.c.reading == 0)
    ended = ANNOTATIONS.c.state.in_((REJECTED, UNREADABLE))
    return set(connection.execute(select(ANNOTATIONS.c.case_id).where(*here, ended)).scalars())


def take(
    connection: Connection, values: Mapping[str, Any], annotator: str, now: float
) -> tuple[RowMapping, str] | None:
    """Give a case out, within a write transaction: its row and the token, or None when somebody was faster.

    Args:
        values: `task`, `case_id`, `reading`, `instrument`, `patient`, `side`, `why` of a case that may be new.
    """
    found = row(connection, values["task"], values["case_id"], values["reading"])
    if found is not None:
        theirs = found["state"] == OUT and found["until"] > now and found["annotator"] != annotator
        if theirs or found["state"] in ENDED:
            return None
    token = secrets.token_urlsafe(24)
    lease = {"state": OUT, "annotator": annotator, "token": digest(token), "until": now + SECONDS, "offered": now}
    if found is None:
        kept = {
            "ended": None,
            "shown": False,
            "draft": "",
            "draft_by": "",
            "proposal": "",
            "masks": "",
            "agreement": "",
        }
        upsert(connection, ANNOTATIONS, [{**kept, **values, **lease}])
    else:  # what another saw of the model does not count for whoever comes next
        proposal = found["proposal"] if found["annotator"] == annotator else ""
        shown = saw(connection, values["task"], values["case_id"], annotator)
        now_of = {name: values[name] for name in ("instrument", "side", "why")}
        change(connection, found, **lease, **now_of, shown=shown, proposal=proposal)
    log(connection, values["task"], values["case_id"], annotator, "out", now, facts={"reading": values["reading"]})
    given = row(connection, values["task"], values["case_id"], values["reading"])
    assert given is not None
    return given, token


def row(connection: Connection, task: str, case: str, reading: int) -> RowMapping | None:
    """What is known of a case that was given out."""
    here = (ANNOTATIONS.c.task == task, ANNOTATIONS.c.case_id == case, ANNOTATIONS.c.reading == reading)
    return connection.execute(select(ANNOTATIONS).where(*here)).mappings().first()


def held(
    connection: Connection,
    task: str,
    case: str,
    token: str,
    caller: str = "",
    named: str = "",
    states: Collection[str] = (OUT,),
) -> RowMapping:
    """The row of a case for whoever has its token, also after the lease has lapsed.

    Args:
        caller: name that the guard found out; "" where it asks nobody.
        named: who it is by their own word, for the wording of the refusal alone.
        states: in which the case may be.

    Raises:
        Refusal: 409 it is not theirs, or not any more; 423 it is theirs, by a newer token that another page has.
    """
    here = (ANNOTATIONS.c.task == task, ANNOTATIONS.c.case_id == case)
    mine = digest(token)
    known = connection.execute(select(ANNOTATIONS).where(*here)).mappings().all()
    for found in known:
        fits = secrets.compare_digest(found["token"].encode(), mine.encode())
        if token and fits and found["state"] in states and caller in ("", found["annotator"]):
            return found
    expected = "the header X-Lease with the token that came with the case"
    me = caller or named
    if any(me and (found["state"], found["annotator"]) == (OUT, me) for found in known):
        raise Refusal(
            423, "you have opened this case elsewhere", where=case, expected=expected,
            next="go on there, or take it back here",
        )  # fmt: skip
    raise Refusal(
        409, "this case is not yours any more: somebody else took it while you were away, or it is done", where=case,
        expected=expected, next="take the next case",
    )  # fmt: skip


def offer_again(connection: Connection, of: RowMapping) -> None:
    """Have a second person label it too; twice does nothing."""
    values = {"reading": 1, "state": WAITING, "annotator": "", "token": "", "until": 0.0, "ended": None, "shown": False}
    empty = dict.fromkeys(("draft", "draft_by", "proposal", "masks", "agreement"), "")
    ignore(connection, ANNOTATIONS, [{**of, **values, **empty}])


def change(connection: Connection, of: RowMapping, **values: Any) -> None:
    """Write down what became of a case."""
    key = [ANNOTATIONS.c[name] == of[name] for name in ("task", "case_id", "reading")]
    connection.execute(update(ANNOTATIONS).where(*key).values(**values))


def log(
    connection: Connection,
    task: str,
    case: str,
    annotator: str,
    action: str,
    now: float,
    reason: str = "",
    facts: Mapping[str, Any] | None = None,
) -> None:
    """Who did what, for ever."""
    connection.execute(
        insert(ANNOTATION_LOG).values(
            time=now, task=task, case_id=case, annotator=annotator, action=action, reason=reason,
            facts=json.dumps(dict(facts or {}), sort_keys=True),
        )
    )  # fmt: skip
