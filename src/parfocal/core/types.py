"""The values that pass between parts. All frozen: a stage makes new ones, it never edits what it was given."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import NamedTuple


class Split(StrEnum):
    """Which side of the frozen split a patient is on."""

    TRAIN = "train"
    VALIDATION = "validation"
    TEST = "test"


class Outcome(StrEnum):
    """What the gate can say."""

    PROMOTE = "promote"
    REFUSE = "refuse"
    INCONCLUSIVE = "inconclusive"


class Slice(NamedTuple):
    """Where a picture lies in a volume: the volume's name, unique within a task, and the picture's number in it.

    A volume without a name is none: such a picture has no neighbours.
    """

    volume: str = ""
    number: int = 0


NO_SLICE = Slice()


@dataclass(frozen=True, slots=True)
class Case:
    """One image with whatever labels it has.

    Attributes:
        id: unique within a task; stable over re-ingestion of the same image.
        task: name of the task, such as ``fundus``.
        instrument: device and site that acquired the image.
        patient: key of the patient; two cases of a patient are never on two sides of the split.
        image: path of the image file, 8-bit grey or colour.
        masks: path of the mask by structure; a structure that nobody labelled is absent.
        points: named points in source pixels (x, y); a disc centre is enough for localisation.
        spacing: (row, column) size of a pixel in millimetres, where known.
        grader: who or what drew the masks (an expert's name, ``average``, ``phantom``).
        assisted: the grader saw a model's mask; such labels go to training only.
        checksum: SHA-256 of the image file.
        slice: where it lies in a volume; neighbours have neighbouring numbers.
    """

    id: str
    task: str
    instrument: str
    patient: str
    image: Path
    masks: Mapping[str, Path]
    checksum: str
    points: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    spacing: tuple[float, float] | None = None
    grader: str = ""
    assisted: bool = False
    slice: Slice = NO_SLICE


@dataclass(frozen=True, slots=True)
class Problem:
    """Why one file could not become part of a case."""

    file: Path
    reason: str
    next: str = ""


@dataclass(frozen=True, slots=True)
class Instrument:
    """The device and site that acquired a case."""

    name: str
    vendor: str = ""
    site: str = ""


@dataclass(frozen=True, slots=True)
class Experience:
    """One arriving batch of labelled cases from an instrument, closed and immutable."""

    task: str
    instrument: str
    number: int
    cases: tuple[Case, ...]


@dataclass(frozen=True, slots=True)
class Observation:
    """What the segmenter tells the monitor about one answered request. Carries no image and no name.

    Attributes:
        embedding: pooled encoder features, float32.
        shape: areas, circularity, components and the like, by name.
        acquisition: size of the image, field of view and camera tags.
        patient_hmac: HMAC of the patient's key under the installation's secret.
        case_ref: where the case store kept the image, if capture was on.
    """

    id: str
    task: str
    instrument: str | None
    model_version: str
    reference_id: str
    seq: int
    time: float
    embedding: tuple[float, ...]
    shape: Mapping[str, float]
    acquisition: Mapping[str, float | str]
    patient_hmac: str | None = None
    case_ref: str | None = None


@dataclass(frozen=True, slots=True)
class Interval:
    """A two-sided confidence interval around an estimate, in the unit of the estimate."""

    estimate: float
    low: float
    high: float
    level: float = 0.90


@dataclass(frozen=True, slots=True)
class Check:
    """One condition of the gate on one cell.

    Attributes:
        name: ``gain``, ``floor``, ``no-loss``, ``creep``, ``rrp10``, ``failures``, ``latency``, ``constant-mask``,
            ``size``, ``agreement``.
        instrument, structure: the cell; empty strings for a condition on the whole bundle.
        outcome: promote when met, refuse when broken, inconclusive when it cannot be said.
        value: what was measured; ``limit``: what it was held against, in the same unit.
        interval: of the value, where one was computed.
        reason: a sentence for a person.
    """

    name: str
    instrument: str
    structure: str
    outcome: Outcome
    value: float
    limit: float
    reason: str
    interval: Interval | None = None


@dataclass(frozen=True, slots=True)
class Decision:
    """What the gate decided and everything it decided on."""

    outcome: Outcome
    checks: tuple[Check, ...]
    reason: str
    approved_by: str = ""
    approval_reason: str = ""
