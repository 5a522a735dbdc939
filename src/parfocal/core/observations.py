"""How an observation travels from the segmenter to the monitor: plain JSON, the embedding as base64 of its bytes.

A hundred thousand a minute pass here, so the embedding is not a list of numbers, and nothing is validated twice.
"""

from __future__ import annotations

import base64
import binascii
import math
from collections.abc import Mapping
from typing import Any, TypeGuard

import numpy as np

from parfocal.core.errors import DataContractError
from parfocal.core.types import Observation

FLOAT = np.dtype("<f4")
"""Of the embedding on the wire: little-endian, whatever the machines at both ends are."""
LONGEST = 250
"""Characters of an id or a name: what the narrowest database column takes."""
END_OF_TIME = 253_402_300_800
"""Seconds from 1970 to the year 10000: what a calendar can show."""

TEXTS = ("id", "task", "model_version", "reference_id")
OPTIONAL_TEXTS = ("instrument", "patient_hmac", "case_ref")


def to_json(observation: Observation) -> dict[str, Any]:
    """An observation as a JSON object; `embedding` becomes base64 of little-endian float32."""
    embedding = np.asarray(observation.embedding, FLOAT).tobytes()
    return {
        "id": observation.id,
        "task": observation.task,
        "instrument": observation.instrument,
        "model_version": observation.model_version,
        "reference_id": observation.reference_id,
        "seq": observation.seq,
        "time": observation.time,
        "embedding": base64.b64encode(embedding).decode(),
        "shape": dict(observation.shape),
        "acquisition": dict(observation.acquisition),
        "patient_hmac": observation.patient_hmac,
        "case_ref": observation.case_ref,
    }


def from_json(values: Any) -> Observation:
    """Read what `to_json` wrote; unknown keys are left alone, so that an older monitor reads a newer segmenter.

    Raises:
        DataContractError: a key is missing, of another type, not finite, or longer than 250 characters.
    """
    if not isinstance(values, Mapping):
        raise DataContractError(f"an observation is a JSON object, not {type(values).__name__}")
    for name in TEXTS:
        if not _text(values.get(name)) or (name in ("id", "task") and not values[name]):
            raise _wrong(name, values.get(name), "text of at most 250 characters")
    for name in OPTIONAL_TEXTS:
        if values.get(name) is not None and not _text(values[name]):
            raise _wrong(name, values[name], "text of at most 250 characters, or null")
    seq, time = values.get("seq"), values.get("time")
    if isinstance(seq, bool) or not isinstance(seq, int) or not -(2**63) <= seq < 2**63:
        raise _wrong("seq", seq, "a whole number of 64 bits")
    if not _number(time) or not 0 <= time < END_OF_TIME:
        raise _wrong("time", time, "seconds since 1970")
    shape, acquisition = values.get("shape"), values.get("acquisition")
    if not isinstance(shape, Mapping) or not all(_number(value) for value in shape.values()):
        raise _wrong("shape", shape, "finite numbers by name")
    if not isinstance(acquisition, Mapping) or not all(_number(v) or _text(v) for v in acquisition.values()):
        raise _wrong("acquisition", acquisition, "finite numbers or texts by name")
    return Observation(
        id=values["id"],
        task=values["task"],
        instrument=values.get("instrument") or None,
        model_version=values["model_version"],
        reference_id=values["reference_id"],
        seq=seq,
        time=float(time),
        embedding=_embedding(values.get("embedding")),
        shape=shape,
        acquisition=acquisition,
        patient_hmac=values.get("patient_hmac"),
        case_ref=values.get("case_ref"),
    )


def _embedding(text: Any) -> tuple[float, ...]:
    try:
        data = np.frombuffer(base64.b64decode(text, validate=True), FLOAT)
    except (TypeError, ValueError, binascii.Error):
        raise _wrong("embedding", text, "base64 of little-endian float32") from None
    if not np.isfinite(data).all():
        raise _wrong("embedding", "a number that is not finite", "finite numbers")
    return tuple(data.tolist())


def _text(value: Any) -> TypeGuard[str]:
    return isinstance(value, str) and len(value) <= LONGEST


def _number(value: Any) -> TypeGuard[float]:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _wrong(name: str, value: Any, expected: str) -> DataContractError:
    return DataContractError(f"'{name}' of an observation cannot be {str(value)[:60]!r}", expected=expected)
