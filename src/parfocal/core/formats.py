"""Reading what an earlier program wrote into a folder, and refusing in words what a later one did.

A new key has a default that says what was true before it, and is left out while it has it: so every earlier folder is
read, and an earlier program reads a later folder that uses nothing new. A key whose meaning changes raises the class's
``schema_version``, and the reader turns the earlier form into the later. `tests/contract/test_formats.py` holds a
folder of every form there has been.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TypeVar

from pydantic import ValidationError

from parfocal import __version__
from parfocal.core.config import Config
from parfocal.core.errors import DataContractError
from parfocal.core.manifest import MANIFEST

Stored = TypeVar("Stored", bound=Config)


def read(kind: type[Stored], file: Path) -> Stored:
    """Read a file of this class, which has a field ``schema_version``.

    Raises:
        DataContractError: a later program wrote it.
        OSError, ValueError: it cannot be read.
    """
    text = file.read_text()
    values = json.loads(text)
    newest = kind.model_fields["schema_version"].default
    said = values.get("schema_version", 1) if isinstance(values, dict) else 1
    if isinstance(said, int) and said > newest:
        raise _later(f"it is of format {said}", file, f"format {newest} or earlier")
    try:
        return kind.model_validate_json(text)
    except ValidationError as error:
        unknown = [".".join(map(str, one["loc"])) for one in error.errors() if one["type"] == "extra_forbidden"]
        if unknown:
            raise _later(f"nothing here knows '{unknown[0]}'", file, "the keys of this version") from None
        raise


def _later(what: str, file: Path, expected: str) -> DataContractError:
    try:
        wrote = f"=={json.loads((file.parent / MANIFEST).read_text())['code_version']}"
    except (OSError, ValueError, KeyError, TypeError):
        wrote = ""
    return DataContractError(
        f"{file.name} was written by a later program: {what}",
        where=file,
        expected=f"{expected} (this is parfocal {__version__})",
        next=f"install the program that wrote it: parfocal{wrote}",
    )
