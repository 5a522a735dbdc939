"""An uploaded DICOM picture to pixels: in memory, with nothing said of whose it is.

ITK reads files, so the upload becomes one that has no place on any disk (memfd_create). Its tags stay in this module:
no message, log line or answer has one.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

from parfocal_serving.segmenter.problems import RequestError

from parfocal.core import dicom_bombs, dicom_walk
from parfocal.core.dicom import simpleitk
from parfocal.core.errors import DataContractError, UsageError
from parfocal.core.task import task as known_task
from parfocal.evaluation.glaucoma import Eye
from parfocal.inference import camera
from parfocal.preprocessing.images import Picture
from parfocal.readers import dicom_headers, dicom_pictures

ROWS, COLUMNS = "0028|0010", "0028|0011"
IMAGE_LATERALITY, LATERALITY = "0020|0062", "0020|0060"
_EYES: dict[str, Eye] = {"L": "left", "R": "right"}
_GREY = "x-ray"
"""The one modality whose DICOM pictures are grey; slices of a volume are not asked for one by one."""
_READ: dict[str, Callable[[dicom_headers.Header], Picture]] = {
    "colour fundus photograph": dicom_pictures.colour,
    _GREY: dicom_pictures.grey,
}


def decode(
    data: bytes, task: str, check: Callable[[tuple[int, int]], None]
) -> tuple[Picture, tuple[float, float] | None, Eye | None, dict[str, str]]:
    """A photograph, secondary capture or X-ray; (row, column) of a pixel in millimetres, the eye and the camera, where
    it says so.

    Args:
        data: a DICOM file.
        task: whose modality it must be of.
        check: refuses a (width, height) before a pixel is decoded.

    Raises:
        RequestError: 415 the task's pictures do not come as DICOM, or SimpleITK is missing; 400 everything else.
    """
    modality = known_task(task).modality
    if modality not in _READ:
        raise RequestError(
            415, f"DICOM of {modality} comes as series", where="image", expected="a photograph or an X-ray",
            next="parfocal segment FOLDER",
        )  # fmt: skip
    try:
        simpleitk().ProcessObject.SetGlobalWarningDisplay(False)  # GDCM's warnings show what tags hold
    except UsageError as error:
        raise RequestError(415, "DICOM cannot be read here: SimpleITK is missing", next=error.next) from None
    _honest(dicom_bombs.refuse, data, check)
    _honest(dicom_walk.refuse, data)
    handle = os.memfd_create("upload", os.MFD_CLOEXEC)
    try:
        with os.fdopen(handle, "wb", closefd=False) as file:
            file.write(data)
        return _decoded(Path(f"/proc/self/fd/{handle}"), modality, check)
    except DataContractError as error:
        raise _without_tags(error) from None
    finally:
        os.close(handle)


def _decoded(
    file: Path, modality: str, check: Callable[[tuple[int, int]], None]
) -> tuple[Picture, tuple[float, float] | None, Eye | None, dict[str, str]]:
    one = dicom_headers.told(file)
    dicom_headers.refuse_other(one, modality)
    rows, columns = one.numbers(ROWS), one.numbers(COLUMNS)
    if len(rows) != 1 or len(columns) != 1:
        raise DataContractError("it does not say how large it is", expected="Rows and Columns")
    check((int(columns[0]), int(rows[0])))
    _honest(dicom_bombs.refuse_samples, one[dicom_bombs.SAMPLES], one[dicom_bombs.BITS])
    eye = _EYES.get((one[IMAGE_LATERALITY] or one[LATERALITY]).strip())
    return _READ[modality](one), dicom_pictures.spacing(one), eye, camera.of_dicom(one.tags)


def _honest(refuse: Callable[..., None], *what: object) -> None:
    """Refuse a file that lies, in words that quote no more of it than numbers."""
    try:
        refuse(*what)
    except DataContractError as error:
        raise RequestError(400, error.what, where="image", expected=error.expected, next=error.next) from None


def _without_tags(error: DataContractError) -> RequestError:
    """The problem as the caller is told: what a reader of folders says may quote a tag, so it is not repeated."""
    unreadable = error.what.startswith(("not a readable", "unreadable", "no series"))
    return RequestError(
        400,
        "unreadable or cut short" if unreadable else "not a DICOM picture that this task takes",
        where="image",
        expected=error.expected if not unreadable and ":" not in error.expected else "one picture of the task's kind",
        next="copy the file again" if unreadable else "export it as one colour or grey picture of the task's modality",
    )
