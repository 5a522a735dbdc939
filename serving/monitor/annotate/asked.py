"""What the page sends, as JSON in a body."""

from __future__ import annotations

import json
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, Field, StrictBool, StrictInt, ValidationError

from parfocal.core.errors import DataContractError

MOST_CLICKS = 500
"""Of one structure; the segmenter takes no more."""
DRAFT_BYTES = 2_000_000
BODY_BYTES = 20_000_000
"""Of everything else: run lengths of all structures of a large photograph."""
DEEPEST = 32
"""Lists and objects of a draft inside one another: whoever writes the answer that has it must not run out of stack."""
_SHOWN = 100
"""Characters of a field's name that an error says again."""


class Asked(BaseModel):
    """A body has these fields and no others."""

    model_config = ConfigDict(extra="forbid")


class Next(Asked):
    """Whoever asks for a case. The annotator's name counts only where no token says who it is."""

    instrument: str | None = Field(default=None, max_length=250)
    annotator: str = Field(default="", max_length=250)


class Clicked(Asked):
    """A click on a pixel, from the top left; `object` False says that this is background."""

    row: StrictInt = Field(ge=0)
    column: StrictInt = Field(ge=0)
    object: StrictBool = True


class Refine(Asked):
    """Every click so far on a structure, its mask so far, and that of the structure round it."""

    structure: str = Field(max_length=250)
    clicks: list[Clicked] = Field(max_length=MOST_CLICKS)
    previous: dict[str, Any] | None = None
    outer: dict[str, Any] | None = None


class Reason(Asked):
    """Why a case is given back."""

    reason: str = Field(default="", max_length=250)


A = TypeVar("A", bound=BaseModel)


def read(kind: type[A], body: bytes) -> A:
    """A body as a value.

    Raises:
        DataContractError: it is another thing.
    """
    try:
        return kind.model_validate_json(body or b"{}")
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False, include_context=False)[0]
        raise DataContractError(first["msg"], where=".".join(map(str, first["loc"]))[:_SHOWN]) from None


def draft(body: bytes) -> str:
    """A draft as it is kept: JSON that can be given back, without the characters that no database takes.

    Raises:
        DataContractError: it is no JSON, or has what Python reads and no answer can have: NaN, half a surrogate, lists
            inside lists without end.
    """
    try:
        found = json.loads(body)
        if not _shallow(found):
            raise DataContractError("the draft is nested too deeply", expected=f"at most {DEEPEST} levels")
        json.dumps(found, allow_nan=False, ensure_ascii=False).encode()
    except (ValueError, RecursionError):
        raise DataContractError("the draft is no JSON", expected="JSON (RFC 8259) in UTF-8") from None
    return json.dumps(found, separators=(",", ":"))


def _shallow(value: Any) -> bool:
    """Whether no list or object is inside more than `DEEPEST` others."""
    level = [value]
    for _ in range(DEEPEST + 1):
        level = [
            child
            for one in level
            if isinstance(one, (list, dict))
            for child in (one.values() if isinstance(one, dict) else one)
        ]
    return not level


def reason(body: bytes, *, needed: bool) -> str:
    """Why a case is given back.

    Raises:
        DataContractError: it is missing where it is needed, or cannot be kept.
    """
    found = " ".join(read(Reason, body).reason.split())
    if (needed and not found) or not found.isprintable():
        raise DataContractError("a person explains this", where="reason", expected="1 to 250 printable characters")
    return found


def annotator(caller: str, said: str) -> str:
    """Whose label it is.

    Raises:
        DataContractError: nobody says.
    """
    name = caller or " ".join(said.split())
    if not name or not name.isprintable() or len(name) > 250:
        raise DataContractError("nobody signs the labels", where="annotator", expected="a name of 1 to 250 characters")
    return name
