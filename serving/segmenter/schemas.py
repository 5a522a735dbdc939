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


class Segmentation(Schema):
    """A picture's structures."""

    request_id: str = Field(description="also the observation's id, and a case for /refine")
    instrument: str | None = Field(description="as declared")
    model: Model
    structures: dict[str, Structure]
    cdr: float | None = Field(description="ratio of mean radii; null without a disc")
    vertical_cdr: float | None = Field(description="ratio of heights; null without a disc")
    quality: list[str] = Field(description="flags: a reason to look again, not a diagnosis")
    spacing_mm: Point | None = Field(default=None, description="[row, column] of a pixel, where known")
    timing_ms: SegmentTiming


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
    clicks: ModelDetail | None = Field(description="answers /refine; `since` is when the worker loaded it")
    clicks_trouble: str = Field(description="why nothing answers clicks though it should; else empty")


ANSWERS = (Problem, Segmentation, Refinement, Instruments, Models)
