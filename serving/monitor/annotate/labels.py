"""An accepted case: from run lengths to what the case store keeps, and how well it agrees with what was there."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from parfocal_serving.monitor.annotate import masks
from parfocal_serving.monitor.annotate.sides import PURPOSE
from parfocal_serving.monitor.cases import NewCase
from pydantic import BaseModel, ConfigDict, Field

from parfocal.core.errors import DataContractError
from parfocal.core.task import Task
from parfocal.core.types import Observation, Split

SECOND = 10
"""Every so manieth case, by a hash of its id, is given to a second person too."""


class Accepted(BaseModel):
    """What the page says of a case that was drawn."""

    model_config = ConfigDict(extra="forbid")

    masks: dict[str, Any] = Field(min_length=1)
    clicks: int = Field(default=0, ge=0, le=100_000)
    assisted: bool = False
    seconds: float = Field(default=0.0, ge=0, le=1e7, allow_inf_nan=False)


@dataclass(frozen=True, slots=True)
class Drawn:
    """Who drew what, with which help.

    Attributes:
        shown: whether anything of a model was on the screen; the server's own memory, not the page's word alone.
        clicked: the clicks of each structure as the segmenter was asked, the latest.
        model: who proposed or answered clicks; empty where nobody did.
    """

    seen: Observation
    annotator: str
    side: Split
    shown: bool
    said: Accepted
    clicked: Mapping[str, Sequence[Mapping[str, Any]]]
    model: Mapping[str, Any]
    time: float


def check(said: Accepted, task: Task, shape: tuple[int, int]) -> dict[str, bytes]:
    """The masks as PNG files by structure.

    Args:
        shape: (H, W) of the photograph.

    Raises:
        DataContractError: a structure that the task does not have, run lengths of another picture, or an empty mask
            where the structure is always there.
    """
    files: dict[str, bytes] = {}
    for name, runs in said.masks.items():
        if name not in task.names:
            raise DataContractError(
                f"there is no structure '{name[:60]}'", where="masks", expected=" or ".join(task.names)
            )
        mask = masks.decode(runs, shape, f"masks.{name}")
        if not mask.any() and not task.structure(name).absent:
            raise DataContractError(
                f"nothing is drawn of {name}", where=f"masks.{name}",
                next="draw it or leave the structure out; mark a photograph that does not show it as unreadable",
            )  # fmt: skip
        files[name] = masks.png(mask)
    return files


def refuse_help(side: Split, *, assisted: bool) -> None:
    """Assisted labels are for training alone.

    Raises:
        DataContractError: a label that is for something else was drawn with help.
    """
    if assisted and PURPOSE[side] == "test":
        raise DataContractError(
            f"a case of the side {side} was drawn with a model's help", where="assisted", expected="drawn by hand",
            next="skip it: who has seen a model's mask of a case cannot draw it for the test",
        )  # fmt: skip


def twice(case: str) -> bool:
    """Whether a second person labels it too."""
    return int(hashlib.sha256(case.encode()).hexdigest()[:8], 16) % SECOND == 0


def new_case(image: bytes, files: Mapping[str, bytes], drawn: Drawn) -> NewCase:
    """For the case store."""
    seen = drawn.seen
    notes = {
        "case": seen.id,
        "annotator": drawn.annotator,
        "time": drawn.time,
        "purpose": drawn.side,
        "assisted": drawn.shown,
        "seconds": drawn.said.seconds,
        "clicks": drawn.said.clicks,
        "clicked": drawn.clicked,
        "model": drawn.model,
        "answered_by": seen.model_version,
        "seen": seen.time,
    }
    return NewCase(
        image=image, masks=files, patient=seen.patient_hmac or seen.id, grader=drawn.annotator, name=seen.id,
        assisted=drawn.shown, purpose=drawn.side, notes=json.dumps(notes, sort_keys=True),
    )  # fmt: skip
