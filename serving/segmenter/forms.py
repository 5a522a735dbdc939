"""A multipart form in, read in memory and bounded, and its text fields as values."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping
from dataclasses import dataclass, field

from parfocal_serving.security.caller import NOBODY, caller_of
from parfocal_serving.segmenter.pressure import paced
from parfocal_serving.segmenter.problems import RequestError
from pydantic import BaseModel, ConfigDict, Field, StrictBool, StrictInt, TypeAdapter, ValidationError
from starlette.datastructures import UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser
from starlette.requests import Request

from parfocal.augmentation.clicks import Click
from parfocal.core.observations import LONGEST
from parfocal.core.volumes import Plane
from parfocal.evaluation.glaucoma import Eye

FIELD = 4096
"""Bytes of the longest text field that is read at all; of clicks `CLICK_FIELD`."""
CLICK_FIELD = 65536
MOST_CLICKS = 500
TEXTS = {
    "instrument",
    "patient",
    "structure",
    "clicks",
    "case",
    "masks",
    "spacing",
    "eye",
    "slice",
    "plane",
    "task",
    "observe",
}
MASKS = ("png", "rle", "none")
"""How masks may be written."""
DICOM_SEG = "dicom-seg"
"""How /segment may write them too, for a DICOM picture."""
MOST_PICTURES = 16
"""In one request; its body is as large as that of one picture at most."""
PLANES: tuple[Plane, ...] = ("acquired", "axial", "coronal", "sagittal")
EYES: tuple[Eye, ...] = ("left", "right")


class OneClick(BaseModel):
    """A click on a pixel of the picture as a person sees it, turned as its EXIF tag says."""

    model_config = ConfigDict(extra="forbid")

    row: StrictInt = Field(ge=0, description="from the top")
    column: StrictInt = Field(ge=0, description="from the left")
    object: StrictBool = Field(default=True, description="true: this belongs to it; false: this is background")


_CLICKS = TypeAdapter(list[OneClick])


@dataclass(frozen=True, slots=True)
class Cut:
    """Which slice of a volume: the plane, and the slice's number in it, from 0; None where the volume is one slice."""

    plane: Plane = "acquired"
    number: int | None = None


@dataclass(frozen=True, slots=True)
class More:
    """What else a caller of /segment says; `alone`: the DICOM object in place of the JSON; not `observe`: it is no
    patient's request, the champion answers, and nothing of it is kept or told to the monitor."""

    eye: Eye | None = None
    cut: Cut = field(default_factory=Cut)
    alone: bool = False
    observe: bool = True


@dataclass(frozen=True, slots=True)
class Form:
    """Files and texts of a form by name; `images` are the fields `image` in their order."""

    files: Mapping[str, bytes]
    texts: Mapping[str, str]
    images: tuple[bytes, ...] = ()

    def text(self, field: str) -> str:
        """A text without space round it, empty where there is none."""
        return self.texts.get(field, "").strip()


async def read(request: Request, most: int, files: tuple[str, ...], longest: int = FIELD, pictures: int = 1) -> Form:
    """Read a form of which no part ever touches the disk.

    Args:
        most: bytes of the largest body.
        files: names of the fields that may be files, each once.
        longest: bytes of the longest text.
        pictures: how often there may be an `image`.

    Raises:
        RequestError: 415 no form, 413 too large, 408 too slow, 400 everything else.
    """
    if not request.headers.get("content-type", "").lower().startswith("multipart/form-data"):
        raise RequestError(415, "the request is no form", expected="multipart/form-data with the file field `image`")
    length = request.headers.get("content-length", "")
    if length.isdigit() and int(length) > most:
        raise _too_large(most)
    stream = _limited(request, most)
    parser = MultiPartParser(
        request.headers, stream, max_files=len(files) - 1 + pictures, max_fields=12, max_part_size=longest
    )
    parser.spool_max_size = most + 1  # a patient's photograph is never written to a temporary file
    try:
        form = await parser.parse()
    except MultiPartException as error:
        expected = f"at most {pictures} pictures" if pictures > 1 else "multipart/form-data with one file"
        if len(files) > 1:
            expected = f"one file each of {', '.join(files)}"
        raise RequestError(400, error.message, expected=expected) from None
    found: dict[str, bytes] = {}
    images: list[bytes] = []
    texts: dict[str, str] = {}
    for name, value in form.multi_items():
        if isinstance(value, UploadFile):
            if name in found and (name != "image" or len(images) == pictures):
                expected = "one file" if pictures == 1 or name != "image" else f"at most {pictures} pictures"
                raise RequestError(400, "the same field twice", where=name, expected=expected)
            data = await value.read()
            found.setdefault(name, data)
            images += [data] if name == "image" else []
        else:
            texts[name] = value
    for name in (found.keys() - set(files)) & TEXTS:
        raise RequestError(400, "a file where a text belongs", where=name)
    for name in texts.keys() & set(files):
        what = "the photograph is missing" if name == "image" else "a text where a file belongs"
        raise RequestError(400, what, where=name, expected="a file with a file name")
    return Form(found, texts, tuple(images))


def image(form: Form) -> bytes:
    """The uploaded picture.

    Raises:
        RequestError: there is none.
    """
    if "image" not in form.files:
        raise RequestError(
            400, "the photograph is missing", where="image", expected="a JPEG, PNG, TIFF, DICOM or NIfTI file"
        )
    return form.files["image"]


def name(form: Form, field: str) -> str | None:
    """A name as it was given, without space round it; None for an empty one."""
    given = form.text(field)
    if len(given) > LONGEST or not given.isprintable():
        raise RequestError(
            400, "this name cannot be kept", where=field, expected=f"at most {LONGEST} printable characters"
        )
    return given or None


def masks(form: Form, known: tuple[str, ...] = MASKS) -> str:
    """How the caller wants masks: a member of `known`, by default PNG."""
    given = form.text("masks") or MASKS[0]
    if given not in known:
        raise RequestError(400, f"masks as '{given[:40]}'", where="masks", expected=f"one of {', '.join(known)}")
    return given


def segment_masks(request: Request, form: Form) -> str:
    """The same of /segment, where a DICOM picture may be answered with a DICOM object too."""
    if not form.text("masks") and _alone(request):
        return DICOM_SEG
    return masks(form, (*MASKS, DICOM_SEG))


def more(request: Request, form: Form) -> More:
    """What else /segment is told."""
    alone = _alone(request) and segment_masks(request, form) == DICOM_SEG
    return More(eye(form), cut(form), alone, observe(request, form))


def observe(request: Request, form: Form) -> bool:
    """Whether the monitor hears of the request. A clinic's answers are all observed: only who labels may say no."""
    given = form.text("observe").lower()
    if given not in ("", "yes", "no"):
        raise RequestError(400, f"observe '{given[:40]}'", where="observe", expected="yes or no")
    caller = caller_of(request.scope)
    if given == "no" and caller != NOBODY and not caller.roles & {"annotate", "observe"}:  # `observe` is the monitor
        raise RequestError(403, "this caller's requests are observed", where="observe", expected="the role annotate")
    return given != "no"


def _alone(request: Request) -> bool:
    return "application/dicom" in request.headers.get("accept", "").lower()


def eye(form: Form) -> Eye | None:
    """Which eye it is; None where nobody says."""
    given = form.text("eye")
    found = next((one for one in EYES if one == given), None)
    if given and found is None:
        raise RequestError(400, f"the eye '{given[:40]}'", where="eye", expected=" or ".join(EYES))
    return found


def cut(form: Form) -> Cut:
    """Which slice of a volume."""
    plane, number = form.text("plane") or PLANES[0], form.text("slice")
    found = next((one for one in PLANES if one == plane), None)
    if found is None:
        raise RequestError(400, f"the plane '{plane[:40]}'", where="plane", expected=f"one of {', '.join(PLANES)}")
    if number and not (number.isascii() and number.isdigit() and len(number) < 7):
        raise RequestError(400, f"the slice '{number[:40]}'", where="slice", expected="its number, from 0")
    return Cut(found, int(number) if number else None)


def spacing(form: Form) -> tuple[float, float] | None:
    """(row, column) in millimetres, from a text such as ``0.01,0.01``."""
    given = form.text("spacing")
    if not given:
        return None
    try:
        row, column = (float(part) for part in given.split(","))
    except ValueError:
        row = column = 0.0
    if not (0 < row < 1000 and 0 < column < 1000):  # neither nan nor infinity
        raise RequestError(
            400, "this is no pixel size", where="spacing", expected="millimetres of a row and of a column: 0.01,0.01"
        )
    return row, column


def clicks(form: Form) -> tuple[Click, ...]:
    """Every click so far."""
    try:
        given = _CLICKS.validate_json(form.text("clicks") or "[]")
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        place = ".".join(map(str, ("clicks", *first["loc"])))
        raise RequestError(
            400, first["msg"], where=place, expected='a JSON list of {"row": 10, "column": 20, "object": true}'
        ) from None
    if len(given) > MOST_CLICKS:
        raise RequestError(
            400, f"{len(given)} clicks", where="clicks", expected=f"at most {MOST_CLICKS}",
            next="draw the rest with a brush and send it as `previous`",
        )  # fmt: skip
    return tuple(Click(one.row, one.column, one.object) for one in given)


async def _limited(request: Request, most: int) -> AsyncGenerator[bytes, None]:
    """The body as it comes, until it is too much: not every client says a length, and not every one says the truth."""
    read = 0
    async for chunk in paced(request.stream()):
        read += len(chunk)
        if read > most:
            raise _too_large(most)
        yield chunk


def _too_large(most: int) -> RequestError:
    return RequestError(
        413,
        "the upload is too large",
        expected=f"at most {most / 1e6:g} MB",
        next="send a JPEG, or raise PARFOCAL_SEGMENTER_UPLOAD_MB",
    )
