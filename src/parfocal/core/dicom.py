"""DICOM series as volumes: which files belong together, and whether they stand where they say."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np

from parfocal.core import dicom_bombs, dicom_walk
from parfocal.core.errors import DataContractError, UsageError
from parfocal.core.image_size import refuse_size

POSITION, ORIENTATION = "0020|0032", "0020|0037"
CLASS = "0008|0016"
SPACINGS = ("0028|0030", "0018|1164")
_ROWS, _COLUMNS, _FRAMES = "0028|0010", "0028|0011", "0028|0008"
_DICM = b"DICM"
_UNEVEN = 0.02
"""Part of the distance between slices by which one may differ from the others."""
_TILT = 0.01
"""Millimetres sideways for a millimetre ahead, above which the slices do not stack straight."""


def simpleitk() -> Any:
    """The package, or a UsageError that says how to install it."""
    try:
        return import_module("SimpleITK")
    except ModuleNotFoundError:
        raise UsageError("volumes need SimpleITK", next="pip install 'parfocal[volume]'") from None


def series(folder: Path) -> dict[str, tuple[Path, ...]]:
    """Files of a folder (not of those inside it) by DICOM series, slices in their order.

    Raises:
        DataContractError: a DICOM file there lies about its size, which GDCM would believe while it looks for series,
            or is such that GDCM cannot look for them.
    """
    reader = simpleitk().ImageSeriesReader
    files = [file for file in sorted(folder.iterdir()) if is_dicom(file)] if folder.is_dir() else []
    for file in files:
        refuse_lying(file)
    try:
        names = reader.GetGDCMSeriesIDs(str(folder)) or ()
    except RuntimeError:
        for file in files:
            tags(file)  # names the one
        raise DataContractError("its series cannot be listed", where=folder, expected="DICOM files",
                                next="move what is no slice elsewhere") from None  # fmt: skip
    return {name: tuple(map(Path, reader.GetGDCMSeriesFileNames(str(folder), name))) for name in names}


def refuse_lying(file: Path) -> None:
    """Refuse a file whose elements are longer than itself, or that hides a picture of more than `MOST_PIXELS`.

    For whatever comes before a library opens it: GDCM makes room for what a file says, not for what it has.

    Raises:
        DataContractError: it is.
    """
    try:
        known = file.stat()
        _refuse_lying(file, known.st_size, known.st_mtime_ns)
    except OSError as error:
        raise DataContractError(f"cannot be read: {error.strerror or error}", where=file) from None
    except DataContractError as error:
        raise DataContractError(error.what, where=file, expected=error.expected, next=error.next) from None


@lru_cache(maxsize=8192)
def _refuse_lying(file: Path, size: int, changed: int) -> None:  # noqa: ARG001  a file that changed is read again
    """Several functions look at each file of a series, which is read for this once."""
    data = file.read_bytes()
    dicom_bombs.refuse(data, refuse_size)
    if data[128:132] == _DICM:  # without it GDCM guesses, and takes what has no lengths to hold it to
        dicom_walk.refuse(data)


def refuse_claims(told: Mapping[str, str], file: Path) -> None:
    """Refuse a picture, by its `tags`, of more than `MOST_PIXELS` in all its frames, or of more numbers a pixel than
    colours.

    Raises:
        DataContractError: it is.
    """
    sides = [_whole(told.get(tag, "")) for tag in (_COLUMNS, _ROWS)]
    try:
        refuse_size((sides[0] * max(1, _whole(told.get(_FRAMES, ""))), sides[1]))
        dicom_bombs.refuse_samples(told.get(dicom_bombs.SAMPLES, "1"), told.get(dicom_bombs.BITS, ""))
    except DataContractError as error:
        raise DataContractError(error.what, where=file, expected=error.expected, next=error.next) from None


def _whole(text: str) -> int:
    """A whole number that a tag says; 0 where it says none."""
    return int(text) if text.strip().isdecimal() else 0


def tags(file: Path) -> dict[str, str]:
    """Public tags of a file by ``group|element``, in lower case hexadecimal, as ITK names them.

    Raises:
        DataContractError: not a readable DICOM file.
    """
    reader = simpleitk().ImageFileReader()
    reader.SetFileName(str(file))
    try:
        reader.ReadImageInformation()
    except RuntimeError:
        raise DataContractError(
            "not a readable DICOM file", where=file, expected="a whole DICOM file", next="copy the file again"
        ) from None
    return {key: reader.GetMetaData(key).strip() for key in reader.GetMetaDataKeys()}


def read(folder: Path, name: str = "") -> Any:
    """A series as a SimpleITK image.

    Raises:
        DataContractError: no series or several, slices without a place, in two places, or with gaps between them.
    """
    found = series(folder)
    if name not in found and (name or len(found) != 1):
        what = f"no DICOM series {name}".strip() if name or not found else f"{len(found)} DICOM series"
        raise DataContractError(what, where=folder, expected="one, or a name", next=", ".join(sorted(found)))
    files = found[name or next(iter(found))]
    known = [tags(file) for file in files]
    for file, told in zip(files, known, strict=True):
        refuse_claims(told, file)
    if len(files) > 1:
        _evenly_placed(files, known, folder)
    reader = simpleitk().ImageSeriesReader()
    reader.SetFileNames([str(file) for file in files])
    return reader.Execute()


def is_dicom(file: Path) -> bool:
    """Whether a file starts as DICOM files do (PS3.10, 7.1), whatever it is called; a folder does not."""
    try:
        with file.open("rb") as stream:
            return stream.read(132)[128:] == b"DICM"
    except OSError:
        return False


def has_spacing(folder: Path, name: str = "") -> bool:
    """Whether the first file of a series, or of a folder's first one, says how large a pixel is."""
    found = series(folder)
    files = found.get(name) or next(iter(found.values()), ())
    return bool(files) and any(key in tags(files[0]) for key in SPACINGS)


def _evenly_placed(files: tuple[Path, ...], known: Sequence[Mapping[str, str]], folder: Path) -> None:
    """Refuse what ITK would stack all the same, with one spacing for all."""
    for file, one in zip(files, known, strict=True):
        if POSITION not in one or ORIENTATION not in one:
            raise DataContractError("a slice that does not say where it is", where=file, expected=f"{POSITION}")
    if len({one[ORIENTATION] for one in known}) > 1:
        raise DataContractError("slices that are not parallel", where=folder, next="separate the localiser")
    normal = _normal(known[0][ORIENTATION], files[0])
    places = np.array([_numbers(one[POSITION], 3, file) for file, one in zip(files, known, strict=True)])
    steps = places - places[0]
    ahead = steps @ normal
    sideways = np.linalg.norm(steps - np.outer(ahead, normal), axis=1)
    if (sideways > _TILT * np.abs(ahead) + 1e-3).any():
        raise DataContractError(
            "slices are shifted against each other: the gantry was tilted", where=folder,
            next="resample the series straight and save it as NIfTI",
        )  # fmt: skip
    gaps = np.abs(np.diff(ahead))
    usual = float(np.median(gaps))
    wrong = np.flatnonzero(np.abs(gaps - usual) > _UNEVEN * usual)
    if usual == 0 or len(wrong):
        at = files[int(wrong[0]) + 1] if len(wrong) else files[1]
        raise DataContractError(
            f"slices {usual:g} mm apart, but not all: {float(gaps.min()):g} to {float(gaps.max()):g}",
            where=at,
            next="a slice is missing, or there twice: copy the series again",
        )


def _normal(orientation: str, file: Path) -> np.ndarray:
    """The unit vector across a slice, out of the directions of its rows and columns."""
    row, column = np.reshape(_numbers(orientation, 6, file), (2, 3))
    if abs(row @ column) > _UNEVEN or not np.allclose([row @ row, column @ column], 1, atol=_UNEVEN):
        raise DataContractError("its rows and columns do not stand at right angles", where=file, expected=ORIENTATION)
    normal: np.ndarray = np.cross(row, column)
    return normal


def _numbers(text: str, count: int, file: Path) -> np.ndarray:
    try:
        numbers = np.array([float(part) for part in text.split("\\")])
    except ValueError:
        numbers = np.empty(0)
    if len(numbers) != count or not np.isfinite(numbers).all():
        raise DataContractError(f"it says that it lies at '{text}'", where=file, expected=f"{count} numbers")
    return numbers
