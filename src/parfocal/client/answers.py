"""What the segmenter answers, as values. Fields that a newer service has and this client does not know are left out."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import TYPE_CHECKING, Any, TypeVar

from parfocal.core.errors import DataContractError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class Click:
    """One click on a pixel, from the top left; `object` False says "this is background"."""

    row: int
    column: int
    object: bool = True

    def json(self) -> dict[str, Any]:
        """As the service reads it."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class Model:
    """Who answered."""

    task: str
    version: str
    checksum: str
    runtime: str


@dataclass(frozen=True, slots=True)
class RunLengths:
    """COCO's run lengths, not compressed: pixels outside, inside, outside, ... down one column after another."""

    height: int
    width: int
    counts: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Found:
    """One structure.

    Attributes:
        mask: a PNG file, 0 and 255, of the picture's size; empty where it was not asked for.
        rle: the same as run lengths, where they were asked for.
        contour: [x, y] in pixels of the largest outline's corners.
        area, radius: pixels.
        contour_mm, area_mm2, radius_mm: None where the size of a pixel is not known.
    """

    mask: bytes
    rle: RunLengths | None
    contour: tuple[tuple[int, int], ...]
    area: int
    radius: float
    contour_mm: tuple[tuple[float, float], ...] | None = None
    area_mm2: float | None = None
    radius_mm: float | None = None

    def pixels(self) -> NDArray[np.bool_]:
        """The mask, bool [H, W].

        Raises:
            DataContractError: the answer came without masks.
        """
        import numpy as np

        if self.rle is not None:
            inside = np.arange(len(self.rle.counts)) % 2 == 1
            flat = np.repeat(inside, self.rle.counts)
            return flat.reshape(self.rle.width, self.rle.height).T
        if not self.mask:
            raise DataContractError("the answer came without masks", next="ask with masks='png' or masks='rle'")
        import cv2

        picture: Any = cv2.imdecode(np.frombuffer(self.mask, np.uint8), cv2.IMREAD_GRAYSCALE)
        found: NDArray[np.bool_] = picture > 0
        return found


@dataclass(frozen=True, slots=True)
class PredictedDice:
    """What a structure's Dice will probably be, with an interval that holds it in `level` of cases."""

    dice: float
    lower: float
    upper: float
    level: float


@dataclass(frozen=True, slots=True)
class Isnt:
    """Mean rim widths in pixels, and whether inferior > superior > nasal > temporal."""

    inferior: float
    superior: float
    nasal: float
    temporal: float
    follows: bool


Value = TypeVar("Value", PredictedDice, Isnt)


@dataclass(frozen=True, slots=True)
class Segmented:
    """A picture's structures; `request_id` is a case for `Client.refine`.

    Attributes:
        isnt: None where the eye is not known, or without disc or cup.
        predicted_dice: by structure; None where the model cannot say.
        out_of_range: in which ways the case is stranger than 99 of 100 that the model knows.
        dicom_seg: a DICOM object, where it was asked for; else empty.
        slice: of a NIfTI upload, where it lies (`plane`, `number`, `slices`, `origin`, `rows`, `columns`); else empty.
    """

    request_id: str
    instrument: str | None
    model: Model
    structures: Mapping[str, Found]
    cdr: float | None
    vertical_cdr: float | None
    quality: tuple[str, ...]
    spacing_mm: tuple[float, float] | None
    timing_ms: Mapping[str, float]
    eye: str | None = None
    isnt: Isnt | None = None
    predicted_dice: Mapping[str, PredictedDice | None] = field(default_factory=dict)
    out_of_range: tuple[str, ...] = ()
    dicom_seg: bytes = b""
    slice: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Refined:
    """The answer to every click so far; `case` names the picture while the service remembers it."""

    request_id: str
    case: str
    structure: str
    found: Found
    model: Model
    outer: str | None
    timing_ms: Mapping[str, float]


@dataclass(frozen=True, slots=True)
class Instrument:
    """An instrument that the champion has learned; what is not known to the service is None."""

    name: str
    patients: int | None
    learned: str | None
    network: str


@dataclass(frozen=True, slots=True)
class Instruments:
    """What the champion knows; `known` and `network` are of the instrument that was asked about, else None.

    Attributes:
        others: of the service's other tasks, where no task was asked about.
    """

    version: str
    instruments: tuple[Instrument, ...]
    known: bool | None
    network: str | None
    task: str = ""
    others: tuple[Instruments, ...] = ()


@dataclass(frozen=True, slots=True)
class Models:
    """Who answers; None where there is none.

    Attributes:
        others: of the service's other tasks.
    """

    task: str
    champion: Model | None
    clicks: Model | None
    others: tuple[Models, ...] = ()


def segmented(values: Mapping[str, Any]) -> Segmented:
    """The answer of /segment."""
    spacing = values.get("spacing_mm")
    return Segmented(
        request_id=values["request_id"],
        instrument=values["instrument"],
        model=_model(values["model"]),
        structures={name: _found(one) for name, one in values["structures"].items()},
        cdr=values["cdr"],
        vertical_cdr=values["vertical_cdr"],
        quality=tuple(values["quality"]),
        spacing_mm=None if spacing is None else (spacing[0], spacing[1]),
        timing_ms=values["timing_ms"],
        eye=values.get("eye"),
        isnt=_known(Isnt, values.get("isnt")),
        predicted_dice={name: _known(PredictedDice, one) for name, one in (values.get("predicted_dice") or {}).items()},
        out_of_range=tuple(values.get("out_of_range") or ()),
        dicom_seg=base64.b64decode(values.get("dicom_seg") or ""),
        slice=values.get("slice") or {},
    )


def refined(values: Mapping[str, Any]) -> Refined:
    """The answer of /refine."""
    return Refined(
        request_id=values["request_id"],
        case=values["case"],
        structure=values["structure"],
        found=_found(values),
        model=_model(values["model"]),
        outer=values["outer"],
        timing_ms=values["timing_ms"],
    )


def instruments(values: Mapping[str, Any]) -> Instruments:
    """The answer of /instruments."""
    every = tuple(
        Instrument(one["name"], one["patients"], one["learned"], one["network"]) for one in values["instruments"]
    )
    asked = values.get("asked") or {}
    others = tuple(instruments(one) for one in values.get("others") or ())
    return Instruments(
        values["version"], every, asked.get("known"), asked.get("network"), values.get("task", ""), others
    )


def models(values: Mapping[str, Any]) -> Models:
    """The answer of /models."""
    champion, clicks = values["champion"], values["clicks"]
    others = tuple(models(one) for one in values.get("others") or ())
    return Models(values["task"], champion and _model(champion), clicks and _model(clicks), others)


def _model(values: Mapping[str, Any]) -> Model:
    return Model(values["task"], values["version"], values["checksum"], values["runtime"])


def _known(kind: type[Value], values: Mapping[str, Any] | None) -> Value | None:
    """The fields that this client knows; None of nothing."""
    if values is None:
        return None
    return kind(**{one.name: values[one.name] for one in fields(kind)})


def _found(values: Mapping[str, Any]) -> Found:
    runs, millimetres = values.get("rle"), values.get("contour_mm")
    return Found(
        mask=base64.b64decode(values.get("mask") or ""),
        rle=RunLengths(runs["size"][0], runs["size"][1], tuple(runs["counts"])) if runs else None,
        contour=tuple((x, y) for x, y in values["contour"]),
        area=values["area"],
        radius=values["radius"],
        contour_mm=None if millimetres is None else tuple((x, y) for x, y in millimetres),
        area_mm2=values.get("area_mm2"),
        radius_mm=values.get("radius_mm"),
    )
