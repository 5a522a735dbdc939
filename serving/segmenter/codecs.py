"""Bytes to pixels and masks to bytes, at the edge of the service: what comes in may be anything."""

from __future__ import annotations

import base64
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from parfocal_serving.segmenter.problems import RequestError

from parfocal.core.errors import DataContractError
from parfocal.core.image_size import JPEG, PNG, image_size
from parfocal.preprocessing.images import Pixels, decode_image

SMALLEST = 32
"""Pixels of the shorter side below which nothing can be seen in a photograph."""
_FAST_PNG = [
    cv2.IMWRITE_PNG_COMPRESSION, 1, cv2.IMWRITE_PNG_STRATEGY, cv2.IMWRITE_PNG_STRATEGY_RLE,
    cv2.IMWRITE_PNG_FILTER, cv2.IMWRITE_PNG_FILTER_NONE,
]  # fmt: skip
"""A mask is long runs: without filters it is written five times faster than by OpenCV's defaults, and smaller."""


def decode(data: bytes, most_pixels: int) -> Pixels:
    """Decode an uploaded photograph to BGR uint8 [H, W, 3], turned as its EXIF tag says.

    The size is read from the header first: a file of some kilobytes can claim, and would fill, gigabytes.

    Raises:
        RequestError: 415 neither JPEG nor PNG, 413 too many pixels, 400 everything else.
    """
    size = image_size(data) if data.startswith((PNG, JPEG)) else None
    if size is None:
        raise RequestError(415, "this is neither a JPEG nor a PNG file", where="image", expected="JPEG or PNG")
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
    try:
        return decode_image(data)
    except DataContractError as error:
        raise RequestError(400, error.what, where="image", expected=error.expected, next=error.next) from None


def encode(mask: NDArray[np.bool_]) -> str:
    """Base64 of a PNG, 8-bit 0 and 255, of a mask [H, W]."""
    picture = mask.view(np.uint8) * np.uint8(255)
    return base64.b64encode(cv2.imencode(".png", picture, _FAST_PNG)[1].tobytes()).decode()


def contour(mask: NDArray[np.bool_]) -> list[list[int]]:
    """Corners [x, y] in pixels of the largest outline of a mask [H, W]; straight runs keep their ends alone."""
    outlines: Any = cv2.findContours(mask.view(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)[0]
    if not outlines:
        return []
    corners: list[list[int]] = max(outlines, key=cv2.contourArea)[:, 0].tolist()
    return corners
