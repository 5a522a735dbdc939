"""Masks that were written beside DICOM pictures and series, as DICOM Segmentation objects: one a picture or series."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from parfocal.core import dicom
from parfocal.core.errors import DataContractError
from parfocal.core.task import task as known_task
from parfocal.preprocessing.exchange import dicom_seg
from parfocal.preprocessing.exchange.dicom_seg import Author

NEAR = 0.05
"""Millimetres by which a slice of the labels may lie beside its DICOM file: NIfTI keeps 32-bit numbers."""


def of_picture(file: Path, masks: Mapping[str, Path], author: Author) -> bytes:
    """The object of one DICOM picture.

    Args:
        file: the picture.
        masks: PNG files by structure, as large as the picture.
        author: the model.

    Raises:
        DataContractError: as `dicom_seg.build`, or a mask that cannot be read.
    """
    found = {name: _mask(mask)[None] for name, mask in masks.items()}
    return _told(file, [file], found, author)


def of_series(folder: Path, series: str, labels: Path, numbers: Mapping[str, int], author: Author) -> bytes:
    """The object of one DICOM series.

    Args:
        folder: of the files.
        series: UID, for a folder with several.
        labels: a label volume in the series' own space.
        numbers: of the structures in it; where one lies inside another, its voxels are the other's too.
        author: the model.

    Raises:
        DataContractError: as `dicom_seg.build`, or labels that do not lie where the files do.
    """
    sitk = dicom.simpleitk()
    series_found = dicom.series(folder)
    files = series_found.get(series) or next(iter(series_found.values()), ())
    image = sitk.ReadImage(str(labels))
    array: NDArray[np.generic] = sitk.GetArrayFromImage(image)
    inside = {one.name: one.inside for one in known_task(author.task).structures}
    masks = {name: np.isin(array, [numbers[one] for one in _within(name, numbers, inside)]) for name in numbers}
    _refuse_elsewhere(image, files, folder)
    return _told(folder, list(files), masks, author)


def _mask(file: Path) -> NDArray[np.bool_]:
    stored: Any = cv2.imdecode(np.frombuffer(file.read_bytes(), np.uint8), cv2.IMREAD_GRAYSCALE)
    if stored is None:
        raise DataContractError("unreadable or cut short", where=file, next="segment the picture again")
    inside: NDArray[np.bool_] = stored > 0
    return inside


def _within(name: str, numbers: Mapping[str, int], inside: Mapping[str, str | None]) -> list[str]:
    """A structure and those inside it."""
    found = [name]
    for one in numbers:
        if inside.get(one) in found:
            found.append(one)
    return found


def _refuse_elsewhere(image: Any, files: tuple[Path, ...], folder: Path) -> None:
    if len(files) != image.GetSize()[2]:
        raise DataContractError(f"{len(files)} files, and {image.GetSize()[2]} slices of labels", where=folder)
    for number, file in enumerate(files):
        place = [float(part) for part in dicom.tags(file)[dicom.POSITION].split("\\")]
        if not np.allclose(image.TransformIndexToPhysicalPoint((0, 0, number)), place, rtol=0, atol=NEAR):
            raise DataContractError(
                "its labels do not lie where it does", where=file, next="segment the series again, and report this"
            )


def _told(where: Path, files: list[Path], masks: dicom_seg.Masks, author: Author) -> bytes:
    try:
        return dicom_seg.build([dicom_seg.read(file.read_bytes()) for file in files], masks, author)
    except DataContractError as error:
        raise DataContractError(
            error.what, where=error.where or where, expected=error.expected, next=error.next
        ) from None
