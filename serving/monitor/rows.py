"""Observations as rows of the database, and back."""

from __future__ import annotations

import hashlib
import json
from typing import Any

import numpy as np
from parfocal_serving.monitor.schema import OBSERVATIONS
from sqlalchemy import Connection, RowMapping, select

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


def newest(
    connection: Connection, task: str, instrument: str, reference_id: str, most: int, *, scored: bool = False
) -> list[Observation]:
    """An instrument's newest observations under one reference, in the order in which they came; `scored`: only those
    that its detectors have seen."""
    here = [
        OBSERVATIONS.c.task == task,
        OBSERVATIONS.c.instrument == instrument,
        OBSERVATIONS.c.reference_id == reference_id,
        *([OBSERVATIONS.c.scored] if scored else []),
    ]
    query = select(OBSERVATIONS).where(*here).order_by(OBSERVATIONS.c.arrival.desc()).limit(most)
    return [observation(kept) for kept in reversed(connection.execute(query).mappings().all())]


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
