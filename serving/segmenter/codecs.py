"""Bytes to pixels and masks to bytes, at the edge of the service: what comes in may be anything."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray
from parfocal_serving.segmenter.forms import Cut
from parfocal_serving.segmenter.problems import RequestError

from parfocal.core.errors import DataContractError
from parfocal.core.image_size import JPEG, PNG, TIFF, image_size, whole_png
from parfocal.evaluation.glaucoma import Eye
from parfocal.inference import camera
from parfocal.preprocessing.images import Picture, decode_image

SMALLEST = 32
"""Pixels of the shorter side below which nothing can be seen in a photograph."""
DICM = b"DICM"
"""At byte 128 of a DICOM file (PS3.10, 7.1)."""
GZIP, NIFTI = b"\x1f\x8b", (b"n+1\0", b"n+2\0")
"""The beginning of a compressed file; what stands at byte 344 of NIfTI-1, and at byte 4 of NIfTI-2."""
_FAST_PNG = [
    cv2.IMWRITE_PNG_COMPRESSION, 1, cv2.IMWRITE_PNG_STRATEGY, cv2.IMWRITE_PNG_STRATEGY_RLE,
    cv2.IMWRITE_PNG_FILTER, cv2.IMWRITE_PNG_FILTER_NONE,
]  # fmt: skip
"""A mask is long runs: without filters it is written five times faster than by OpenCV's defaults, and smaller."""


class Decoded(NamedTuple):
    """A picture, uint8 BGR [H, W, 3] or uint16 grey [H, W].

    Attributes:
        spacing: (row, column) in millimetres where its file says.
        eye: which one a DICOM file says that it shows.
        place: of a slice in its volume (`nifti_upload.place`).
        camera: what took it, where its file says (`parfocal.inference.camera`).
    """

    image: Picture
    spacing: tuple[float, float] | None
    eye: Eye | None = None
    place: Mapping[str, Any] | None = None
    camera: Mapping[str, str] = MappingProxyType({})


def decode(data: bytes, most_pixels: int, task: str = "fundus", cut: Cut = Cut()) -> Decoded:  # noqa: B008
    """Decode an uploaded picture, turned as its EXIF tag says.

    The size is read from the header first: a file of some kilobytes can claim, and would fill, gigabytes.

    Args:
        data: the file.
        most_pixels: of a picture, or of a slice.
        task: whose modality it must be of.
        cut: which slice of a NIfTI volume.

    Raises:
        RequestError: 415 neither JPEG, PNG, TIFF, DICOM nor NIfTI, 413 too many pixels, 400 everything else.
    """
    if data.startswith(GZIP) or data[344:348] == NIFTI[0] or data[4:8] == NIFTI[1]:
        from parfocal_serving.segmenter import nifti_upload  # no other picture pays for SimpleITK

        return Decoded(*nifti_upload.decode(data, task, cut, lambda size: refuse_size(size, most_pixels)))
    if cut != Cut():
        raise RequestError(400, "`slice` and `plane` belong to a NIfTI volume", where="slice")
    if data[128:132] == DICM:
        from parfocal_serving.segmenter import dicom_upload

        image, spacing, eye, taken = dicom_upload.decode(data, task, lambda size: refuse_size(size, most_pixels))
        return Decoded(image, spacing, eye, camera=taken)
    size = image_size(data) if data.startswith((PNG, JPEG, *TIFF)) else None
    if size is None:
        raise RequestError(
            415, "this is neither a JPEG, PNG or TIFF file nor DICOM or NIfTI", where="image",
            expected="JPEG, PNG, TIFF, DICOM or NIfTI",
        )  # fmt: skip
    refuse_size(size, most_pixels)
    if data.startswith(PNG) and not whole_png(data):
        raise RequestError(400, "unreadable or cut short", where="image", next="copy the file again")
    try:
        return Decoded(decode_image(data), None, camera=camera.of_file(data))
    except DataContractError as error:
        raise RequestError(400, error.what, where="image", expected=error.expected, next=error.next) from None


def refuse_size(size: tuple[int, int], most_pixels: int) -> None:
    """Refuse a picture by the (width, height) that it claims.

    Raises:
        RequestError: 413 too many pixels, 400 too few.
    """
    width, height = size
    if width * height > most_pixels:
        raise RequestError(
            413,
            f"{width} x {height} pixels are too many",
            where="image",
            expected=f"at most {most_pixels / 1e6:g} megapixels",
            next="send the photograph in the size the camera gave it, or raise PARFOCAL_SEGMENTER_MEGAPIXELS",
        )
    if min(width, height) < SMALLEST:
        raise RequestError(
            400, f"{width} x {height} pixels are too few", where="image", expected=f"at least {SMALLEST} a side"
        )


def decode_mask(data: bytes, shape: tuple[int, int], field: str) -> NDArray[np.bool_]:
    """Decode an uploaded mask, a PNG of 8 bits in which everything but 0 is in, to bool [H, W].

    Args:
        data: the file; its EXIF tag is not looked at, because the masks that are answered have none.
        shape: (H, W) of its picture.
        field: of the form, for the message.

    Raises:
        RequestError: 415 no PNG, 400 of another size, cut short, or of more than 8 bits.
    """
    size = image_size(data) if data.startswith(PNG) else None
    if size is None:
        raise RequestError(415, "this mask is no PNG file", where=field, expected="PNG, 0 and 255")
    if size != (shape[1], shape[0]):
        raise RequestError(
            400, f"a mask of {size[0]} x {size[1]} pixels", where=field, expected=f"{shape[1]} x {shape[0]}"
        )
    found: Any = None
    if whole_png(data):
        found = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_GRAYSCALE | cv2.IMREAD_ANYDEPTH)
    if found is None or found.dtype != np.uint8:
        what = "unreadable or cut short" if found is None else "a mask of more than 8 bits"
        raise RequestError(400, what, where=field, expected="a grey PNG of 8 bits, 0 and 255")
    inside: NDArray[np.bool_] = found > 0
    return inside


def encode(mask: NDArray[np.bool_]) -> str:
    """Base64 of a PNG, 8-bit 0 and 255, of a mask [H, W]."""
    picture = mask.view(np.uint8) * np.uint8(255)
    return base64.b64encode(cv2.imencode(".png", picture, _FAST_PNG)[1].tobytes()).decode()


def rle(mask: NDArray[np.bool_]) -> dict[str, list[int]]:
    """COCO's run lengths, not compressed, of a mask [H, W]: `size` [H, W], and `counts` down one column after another.

    The first count is of pixels outside, and 0 where the first pixel is inside (cocoapi, common/maskApi.h, rleEncode).
    """
    # A transposed copy by OpenCV is several times faster than ravel("F") of a large picture.
    flat = cv2.transpose(mask.view(np.uint8)).ravel()
    changes = np.flatnonzero(flat[1:] != flat[:-1]) + 1
    runs = np.diff(changes, prepend=0, append=flat.size).tolist()
    return {"size": list(mask.shape), "counts": [0, *runs] if flat[0] else runs}


def contour(mask: NDArray[np.bool_]) -> list[list[int]]:
    """Corners [x, y] in pixels of the largest outline of a mask [H, W]; straight runs keep their ends alone."""
    outlines: Any = cv2.findContours(mask.view(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)[0]
    if not outlines:
        return []
    corners: list[list[int]] = max(outlines, key=cv2.contourArea)[:, 0].tolist()
    return corners
