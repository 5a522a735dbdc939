"""DICOM files that are one picture: colour photographs (also as secondary capture) and X-rays."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from parfocal.core.dicom import simpleitk
from parfocal.core.errors import DataContractError
from parfocal.core.volumes import to_uint16
from parfocal.readers.dicom_headers import DETECTOR_SPACING, PHOTOMETRIC, SPACING, Header


def colour(one: Header) -> npt.NDArray[np.uint8]:
    """A photograph, uint8 BGR [H, W, 3]. ITK gives RGB for every photometric interpretation of colour.

    Raises:
        DataContractError: unreadable, grey, or more than eight bits a channel.
    """
    image = read(one.file)
    pixels = simpleitk().GetArrayFromImage(image)
    pixels = pixels.reshape(pixels.shape[-3:]) if image.GetNumberOfComponentsPerPixel() == 3 else pixels
    if image.GetNumberOfComponentsPerPixel() != 3 or pixels.dtype != np.uint8:
        what = f"{one[PHOTOMETRIC]} with {pixels.dtype} numbers"
        raise DataContractError(what, where=one.file, expected="a colour photograph with 8 bits a channel")
    return np.ascontiguousarray(pixels[..., ::-1])


def grey(one: Header) -> npt.NDArray[np.uint16]:
    """An X-ray, uint16 [H, W], bright where little passed through: ITK turns MONOCHROME1 round, to MONOCHROME2.

    Raises:
        DataContractError: unreadable, or in colour.
    """
    image = read(one.file)
    if image.GetNumberOfComponentsPerPixel() != 1 or not one[PHOTOMETRIC].startswith("MONOCHROME"):
        raise DataContractError(f"{one[PHOTOMETRIC]} instead of grey", where=one.file, expected="MONOCHROME1 or 2")
    pixels = simpleitk().GetArrayFromImage(image)
    pixels = pixels.reshape(pixels.shape[-2:])
    try:
        return to_uint16(pixels, "x-ray")
    except DataContractError as error:
        raise DataContractError(error.what, where=one.file, next=error.next) from None


def spacing(one: Header) -> tuple[float, float] | None:
    """(row, column) in millimetres, of the patient or else of the detector; None where the file does not say."""
    for tag in (SPACING, DETECTOR_SPACING):
        numbers = one.numbers(tag)
        if len(numbers) == 2 and min(numbers) > 0:
            return numbers[0], numbers[1]
    return None


def read(file: Path) -> Any:
    """A SimpleITK image of one DICOM file.

    Raises:
        DataContractError: unreadable, or compressed in a way that GDCM does not know.
    """
    reader = simpleitk().ImageFileReader()
    reader.SetImageIO("GDCMImageIO")
    reader.SetFileName(str(file))
    try:
        return reader.Execute()
    except RuntimeError:
        raise DataContractError("unreadable or cut short", where=file, next="copy the file again") from None
