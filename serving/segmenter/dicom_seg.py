"""A picture's masks as one DICOM Segmentation object, for whoever sent the DICOM picture, and for nobody else.

The object has patient and study of its source, as DICOM demands. They go from the upload into the answer: into no log
line, no observation and no message.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray
from parfocal_serving.segmenter.champion import Champion
from parfocal_serving.segmenter.problems import RequestError

from parfocal.core.errors import DataContractError, UsageError

DICM = b"DICM"
MEDIA = "application/dicom"


def source(data: bytes) -> Any:
    """What a segmentation says of its picture, from the upload; before a network is asked.

    Raises:
        RequestError: 400 no DICOM, or one that nothing can refer to; 415 highdicom is missing.
    """
    if data[128:132] != DICM:
        raise RequestError(
            400, "masks=dicom-seg, and this picture is no DICOM object", where="masks", expected="a DICOM picture",
            next="ask for masks as png or rle",
        )  # fmt: skip
    try:
        from parfocal.preprocessing.exchange import dicom_seg

        found = dicom_seg.read(data)
        dicom_seg.refuse_lacking(found)
        return found
    except UsageError as error:
        raise RequestError(415, "DICOM SEG cannot be written here: highdicom is missing", next=error.next) from None
    except DataContractError as error:
        raise _refused(error) from None


def write(picture: Any, masks: Mapping[str, NDArray[np.bool_]], model: Champion) -> bytes:
    """The object.

    Args:
        picture: of `source`.
        masks: bool [H, W] by structure.
        model: that drew them.

    Raises:
        RequestError: 400 the source says something that DICOM does not allow.
    """
    from parfocal.preprocessing.exchange import dicom_seg

    author = dicom_seg.Author(model.task, model.version or model.checksum[:12], model.checksum)
    try:
        return dicom_seg.build([picture], {name: mask[None] for name, mask in masks.items()}, author)
    except DataContractError as error:
        raise _refused(error) from None


def _refused(error: DataContractError) -> RequestError:
    return RequestError(400, error.what, where="image", expected=error.expected, next=error.next)
