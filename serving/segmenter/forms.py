"""A multipart form in, read in memory and bounded, and its text fields as values."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping
from dataclasses import dataclass

from parfocal_serving.segmenter.problems import RequestError
from pydantic import BaseModel, ConfigDict, Field, StrictBool, StrictInt, TypeAdapter, ValidationError
from starlette.datastructures import UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser
from starlette.requests import Request

from parfocal.augmentation.clicks import Click
from parfocal.core.observations import LONGEST

FIELD = 4096
"""Bytes of the longest text field that is read at all; of clicks `CLICK_FIELD`."""
CLICK_FIELD = 65536
MOST_CLICKS = 500
TEXTS = {"instrument", "patient", "structure", "clicks", "case", "masks", "spacing"}
MASKS = ("png", "rle", "none")
"""How masks may be written."""


class OneClick(BaseModel):
    """A click on a pixel of the picture as a person sees it, turned as its EXIF tag says."""

    model_config = ConfigDict(extra="forbid")

    row: StrictInt = Field(ge=0, description="from the top")
    column: StrictInt = Field(ge=0, description="from the left")
    object: StrictBool = Field(default=True, description="true: this belongs to it; false: this is background")


_CLICKS = TypeAdapter(list[OneClick])


@dataclass(frozen=True, slots=True)
class Form:
    """Files and texts of a form by name."""

    files: Mapping[str, bytes]
    texts: Mapping[str, str]

    def text(self, field: str) -> str:
        """A text without space round it, empty where there is none."""
        return self.texts.get(field, "").strip()


async def read(request: Request, most: int, files: tuple[str, ...], longest: int = FIELD) -> Form:
    """Read a form of which no part ever touches the disk.

    Args:
        most: bytes of the largest body.
        files: names of the fields that may be files, each once.
        longest: bytes of the longest text.

    Raises:
        RequestError: 415 no form, 413 too large, 400 everything else.
    """
    if not request.headers.get("content-type", "").lower().startswith("multipart/form-data"):
        raise RequestError(415, "the request is no form", expected="multipart/form-data with the file field `image`")
    length = request.headers.get("content-length", "")
    if length.isdigit() and int(length) > most:
        raise _too_large(most)
    stream = _limited(request, most)
    parser = MultiPartParser(request.headers, stream, max_files=len(files), max_fields=8, max_part_size=longest)
    parser.spool_max_size = most + 1  # a patient's photograph is never written to a temporary file
    try:
        form = await parser.parse()
    except MultiPartException as error:
        expected = "multipart/form-data with one file" if len(files) == 1 else f"one file each of {', '.join(files)}"
        raise RequestError(400, error.message, expected=expected) from None
    found: dict[str, bytes] = {}
    texts: dict[str, str] = {}
    for name, value in form.multi_items():
        if isinstance(value, UploadFile):
            if name in found:
                raise RequestError(400, "the same field twice", where=name, expected="one file")
            found[name] = await value.read()
        else:
            texts[name] = value
    for name in (found.keys() - set(files)) & TEXTS:
        raise RequestError(400, "a file where a text belongs", where=name)
    for name in texts.keys() & set(files):
        what = "the photograph is missing" if name == "image" else "a text where a file belongs"
        raise RequestError(400, what, where=name, expected="a file with a file name")
    return Form(found, texts)


def image(form: Form) -> bytes:
    """The uploaded picture.

    Raises:
        RequestError: there is none.
    """
    if "image" not in form.files:
        raise RequestError(400, "the photograph is missing", where="image", expected="a JPEG, PNG, TIFF or DICOM file")
    return form.files["image"]


def name(form: Form, field: str) -> str | None:
    """A name as it was given, without space round it; None for an empty one."""
    given = form.text(field)
    if len(given) > LONGEST or not given.isprintable():
        raise RequestError(
            400, "this name cannot be kept", where=field, expected=f"at most {LONGEST} printable characters"
        )
    return given or None


def masks(form: Form) -> str:
    """How the caller wants masks: a member of `MASKS`, by default PNG."""
    given = form.text("masks") or MASKS[0]
    if given not in MASKS:
        raise RequestError(400, f"masks as '{given[:40]}'", where="masks", expected=f"one of {', '.join(MASKS)}")
    return given


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
    async for chunk in request.stream():
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
