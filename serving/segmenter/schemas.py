"""The answers as types: what /openapi.json says of them, and what a test holds every answer against."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

Point = tuple[float, float]
Pixel = tuple[int, int]


class Schema(BaseModel):
    """An answer has these fields and no others."""

    model_config = ConfigDict(extra="forbid")


class ErrorParts(Schema):
    """What went wrong."""

    what: str = Field(description="what failed")
    where: str = Field(description="field of the form, or task; may be empty")
    expected: str = Field(description="what would have been right; may be empty")
    next: str = Field(description="what to do now; may be empty")


class Problem(Schema):
    """Every answer that is not 200."""

    error: ErrorParts


class Model(Schema):
    """Who answered."""

    task: str
    version: str = Field(description="in the registry; empty for a bundle that is a folder")
    checksum: str = Field(description="of the bundle")
    runtime: str = Field(description="that computed it, such as openvino")
    role: Literal["challenger"] | None = Field(
        default=None, description="of an answer that a canary gave; the champion's do not have it"
    )


class RunLengths(Schema):
    """COCO's run lengths, not compressed."""

    size: Pixel = Field(description="[height, width]")
    counts: list[int] = Field(
        description="pixels outside, inside, outside, ... down one column after another; the first is 0 where the "
        "first pixel is inside"
    )


class Structure(Schema):
    """One structure in one picture, in pixels after its EXIF turn."""

    mask: str | None = Field(default=None, description="with masks=png: base64 of a PNG, 0 and 255, of its size")
    rle: RunLengths | None = Field(default=None, description="with masks=rle")
    contour: list[Pixel] = Field(description="[x, y] of the largest outline's corners")
    area: int = Field(description="pixels")
    radius: float = Field(description="pixels, of the circle that is as large")
    contour_mm: list[Point] | None = Field(default=None, description="[x, y] from the first pixel's centre")
    area_mm2: float | None = Field(default=None, description="only where the size of a pixel is known")
    radius_mm: float | None = None


class SegmentTiming(Schema):
    """Milliseconds of the parts of a request, and of all from its head on."""

    decode: float
    segment: float
    encode: float
    observe: float
    total: float


class PredictedDice(Schema):
    """What a structure's Dice will probably be, with an interval that holds it in `level` of cases."""

    dice: float
    lower: float
    upper: float
    level: float


class Isnt(Schema):
    """Mean width of the neuroretinal rim by quadrant, in pixels, and whether inferior > superior > nasal > temporal."""

    inferior: float
    superior: float
    nasal: float
    temporal: float
    follows: bool


Reading = Literal["within", "borderline", "outside", "not read"]


class Readings(Schema):
    """Where values lie in their published ranges."""

    cdr: Reading
    vertical_cdr: Reading
    isnt: Reading


class Glaucoma(Schema):
    """Indicators for a clinician; no diagnosis."""

    suspicion: Literal["raised", "some", "none", "not read"]
    readings: Readings
    warning: str


class Place(Schema):
    """Where a slice lies in its volume: millimetres of the patient (left, posterior, superior)."""

    plane: Literal["axial", "coronal", "sagittal"]
    number: int
    slices: int
    origin: tuple[float, float, float] = Field(description="centre of the first pixel")
    rows: tuple[float, float, float] = Field(description="step from a row to the next")
    columns: tuple[float, float, float] = Field(description="step from a column to the next")


class Segmentation(Schema):
    """A picture's structures."""

    request_id: str = Field(description="also the observation's id, and a case for /refine")
    instrument: str | None = Field(description="as declared")
    model: Model
    structures: dict[str, Structure]
    cdr: float | None = Field(description="ratio of mean radii; null without a disc")
    vertical_cdr: float | None = Field(description="ratio of heights; null without a disc")
    eye: Literal["left", "right"] | None = Field(description="as declared, or as a DICOM file says")
    isnt: Isnt | None = Field(description="null where the eye is not known, or without disc or cup")
    glaucoma: Glaucoma | None = Field(description="null where isnt is")
    quality: list[str] = Field(description="flags: a reason to look again, not a diagnosis")
    predicted_dice: dict[str, PredictedDice | None] = Field(
        description="by structure; null where the model has too few labelled cases, or no reference, to say. Promised "
        "for pictures that are in range: where out_of_range names something, the truth is mostly lower"
    )
    out_of_range: list[str] = Field(
        description="streams (appearance, framing, acquisition, plausibility) in which this case is stranger than "
        "99 of 100 that the model's reference knows"
    )
    spacing_mm: Point | None = Field(default=None, description="[row, column] of a pixel, where known")
    slice: Place | None = Field(default=None, description="only of a NIfTI upload")
    dicom_seg: str | None = Field(default=None, description="with masks=dicom-seg: base64 of a DICOM SEG object")
    timing_ms: SegmentTiming


class Refused(Problem):
    """One picture of several that was not answered."""

    status: int = Field(description="as it would have been alone")


class Batch(Schema):
    """Several pictures of one request, in their order."""

    answers: list[Segmentation | Refused]


class Box(Schema):
    """Where the network looked, half-open, in pixels."""

    top: int
    left: int
    bottom: int
    right: int


class RefineTiming(Schema):
    """Milliseconds of the parts of a request, and of all from its head on."""

    decode: float
    outer: float
    refine: float
    encode: float
    total: float


class Refinement(Structure):
    """The answer to every click so far."""

    request_id: str
    case: str = Field(description="names the picture while it is remembered: send it in place of the picture")
    instrument: str | None = Field(description="as declared with the picture")
    model: Model
    structure: str
    outer: Literal["given", "champion"] | None = Field(
        description="where the mask of the structure round it came from; null where there is none round it"
    )
    box: Box
    timing_ms: RefineTiming


class Instrument(Schema):
    """One instrument that the champion has learned."""

    name: str
    patients: int | None = Field(description="on the training side; null where the data set is not on this machine")
    learned: str | None = Field(
        description="when the first model of the champion's line that knows it was made, ISO 8601; null where that "
        "model is not on this machine"
    )
    network: Literal["own", "shared"]


class Otherwise(Schema):
    """How a picture is answered of which no instrument is named, or one that is not known."""

    known: bool
    network: Literal["own", "shared"]


class Named(Otherwise):
    """How a picture of the instrument asked about is answered."""

    name: str


class Instruments(Schema):
    """What the champion knows, in the order of learning."""

    task: str
    version: str
    instruments: list[Instrument]
    otherwise: Otherwise
    asked: Named | None = None
    others: list[Instruments] | None = Field(default=None, description="of the service's other tasks")


class ModelStructure(Schema):
    """A structure that a model finds."""

    name: str
    inside: str | None
    threshold: float


class ModelDetail(Model):
    """A model that answers."""

    structures: list[ModelStructure]
    instruments: list[str]
    strategy: str
    since: str | None = Field(description="ISO 8601")


class ChampionDetail(ModelDetail):
    """The champion; `since` is when it became one here."""

    drift: bool = Field(description="whether it has something that drift is measured against")


class Models(Schema):
    """Who answers in the worker that was asked."""

    task: str
    champion: ChampionDetail | None
    challenger: ChampionDetail | None = Field(description="answers as a canary, or as a shadow to nobody")
    clicks: ModelDetail | None = Field(description="answers /refine; `since` is when the worker loaded it")
    clicks_trouble: str = Field(description="why nothing answers clicks though it should; else empty")
    others: list[Models] | None = Field(default=None, description="of the service's other tasks")


ANSWERS = (Problem, Segmentation, Batch, Refinement, Instruments, Models)
