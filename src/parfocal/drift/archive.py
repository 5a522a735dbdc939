"""Arrays and one JSON header in an .npz file: no pickle, equal content gives equal bytes, damage is noticed."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from parfocal.core import manifest
from parfocal.core.errors import DataContractError

HEADER = "header"
LONG_AGO = (1980, 1, 1, 0, 0, 0)
"""The date of every member: a clock has no part in the bytes."""


def write(file: Path, header: Mapping[str, Any], arrays: Mapping[str, NDArray[np.float64]]) -> None:
    """Write atomically; `numpy.load` reads it too, and finds the header as bytes of JSON."""
    text = json.dumps(header, sort_keys=True, indent=1).encode()
    members: dict[str, NDArray[Any]] = {HEADER: np.frombuffer(text, np.uint8), **arrays}
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_STORED) as archive:
        for name, array in members.items():
            content = io.BytesIO()
            np.lib.format.write_array(content, array, version=(1, 0), allow_pickle=False)
            archive.writestr(zipfile.ZipInfo(f"{name}.npy", LONG_AGO), content.getvalue())
    manifest.write_atomic(Path(file), packed.getvalue())


def read(file: Path) -> tuple[dict[str, Any], dict[str, NDArray[np.float64]]]:
    """The header and the arrays of a file that `write` made.

    Raises:
        DataContractError: it is missing or not whole.
    """
    try:
        with np.load(Path(file), allow_pickle=False) as members:
            arrays = {name: members[name] for name in members.files}
        header = json.loads(arrays.pop(HEADER).tobytes())
    except (OSError, ValueError, KeyError, AttributeError, EOFError, zipfile.BadZipFile) as error:
        raise DataContractError(
            f"a drift reference cannot be read: {error}", where=file, next="train or retrain makes a new one"
        ) from None
    if not isinstance(header, dict):
        raise DataContractError("the header of a drift reference is not a JSON object", where=file)
    return header, arrays
