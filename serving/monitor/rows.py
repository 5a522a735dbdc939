"""Observations as rows of the database, and back."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from typing import Any

import numpy as np
from parfocal_serving.monitor.schema import ASSIGNMENTS, CANDIDATES, OBSERVATIONS
from sqlalchemy import Connection, RowMapping, Select, select

from parfocal.core.observations import FLOAT, LONGEST
from parfocal.core.types import Observation

KEPT_OF_REJECTED = 20_000
"""Characters kept of something that is no observation, for the person who wonders what sent it."""
Rejection = dict[str, str]


def row(observation: Observation, now: float, scored: bool) -> dict[str, Any]:
    """What the database keeps of an observation that came `now` (unix seconds)."""
    return {
        "id": observation.id,
        "task": observation.task,
        "instrument": observation.instrument or "",
        "model_version": observation.model_version,
        "reference_id": observation.reference_id,
        "seq": observation.seq,
        "time": observation.time,
        "received": now,
        "embedding": np.asarray(observation.embedding, FLOAT).tobytes(),
        "shape": json.dumps(observation.shape),
        "acquisition": json.dumps(observation.acquisition),
        "patient_hmac": observation.patient_hmac,
        "case_ref": observation.case_ref,
        "scored": scored,
    }


def observation(kept: RowMapping) -> Observation:
    """The observation of a row."""
    return Observation(
        id=kept["id"],
        task=kept["task"],
        instrument=kept["instrument"] or None,
        model_version=kept["model_version"],
        reference_id=kept["reference_id"],
        seq=kept["seq"],
        time=kept["time"],
        embedding=tuple(np.frombuffer(kept["embedding"], FLOAT).tolist()),
        shape=json.loads(kept["shape"]),
        acquisition=json.loads(kept["acquisition"]),
        patient_hmac=kept["patient_hmac"],
        case_ref=kept["case_ref"],
    )


def newest(connection: Connection, task: str, instrument: str, reference_id: str, most: int) -> list[Observation]:
    """An instrument's newest observations under one reference, in the order in which they came: those that declared it,
    and those that came undeclared and are in a candidate that a person said it is."""
    here = (OBSERVATIONS.c.task == task, OBSERVATIONS.c.reference_id == reference_id)
    found = [
        *_last(connection, select(OBSERVATIONS).where(*here, OBSERVATIONS.c.instrument == instrument), most),
        *(_assigned(connection, task, instrument, reference_id, most) if instrument else ()),
    ]
    return [observation(kept) for kept in sorted(found, key=lambda kept: int(kept["arrival"]))[-most:]]


def declared(connection: Connection, task: str, instrument: str, reference_id: str, most: int) -> list[Observation]:
    """The newest observations under one reference that declared an instrument and that its detectors have seen, in the
    order in which they came."""
    here = (
        OBSERVATIONS.c.task == task,
        OBSERVATIONS.c.instrument == instrument,
        OBSERVATIONS.c.reference_id == reference_id,
        OBSERVATIONS.c.scored,
    )
    found = _last(connection, select(OBSERVATIONS).where(*here), most)
    return [observation(kept) for kept in reversed(found)]


def _assigned(connection: Connection, task: str, instrument: str, reference_id: str, most: int) -> Sequence[RowMapping]:
    named = (CANDIDATES.c.task == task, CANDIDATES.c.reference_id == reference_id)
    ids = select(CANDIDATES.c.id).where(*named, CANDIDATES.c.instrument == instrument)
    candidates = connection.execute(ids).scalars().all()
    if not candidates:
        return ()
    query = (
        select(OBSERVATIONS)
        .join(ASSIGNMENTS, ASSIGNMENTS.c.arrival == OBSERVATIONS.c.arrival)
        .where(ASSIGNMENTS.c.task == task, ASSIGNMENTS.c.candidate.in_(candidates))
    )
    return _last(connection, query, most)


def _last(connection: Connection, query: Select[Any], most: int) -> Sequence[RowMapping]:
    """The newest first."""
    return connection.execute(query.order_by(OBSERVATIONS.c.arrival.desc()).limit(most)).mappings().all()


def refused(item: Any, reason: str) -> Rejection:
    """What is kept of an item that is no observation."""
    content = json.dumps(item, sort_keys=True)
    name = item.get("id") if isinstance(item, dict) else None
    return {
        "digest": hashlib.sha256(content.encode()).hexdigest(),
        "id": name[:LONGEST].encode("ascii", "replace").decode().replace("\0", "?") if isinstance(name, str) else "",
        "reason": reason[:1000],
        "content": content[:KEPT_OF_REJECTED],
    }
