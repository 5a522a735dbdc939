"""Bytes to pixels, in one place, so that image, mask and served photograph are read by the same rules."""

from __future__ import annotations

import hashlib
from typing import Any, TypeAlias

import cv2
import numpy as np
import numpy.typing as npt

from parfocal.core.errors import DataContractError
from parfocal.core.image_size import MOST_PIXELS, refuse_huge

__all__ = [
    "MOST_PIXELS", "Picture", "Pixels", "decode_image", "decode_mask", "encode_mask", "mask_checksum", "shown",
]  # fmt: skip

Pixels = npt.NDArray[np.uint8]
"""uint8: an image BGR [H, W, 3], or a mask {0, 1} [H, W]."""
Picture: TypeAlias = npt.NDArray[Any]
"""A decoded file: uint8 BGR [H, W, 3], or uint16 grey [H, W]."""
TURNABLE = cv2.IMREAD_ANYCOLOR | cv2.IMREAD_ANYDEPTH
"""As stored, but turned as an EXIF tag says, which IMREAD_UNCHANGED leaves out; transparency is dropped."""


def decode_image(data: bytes) -> Picture:
    """Decode a picture, turned as its EXIF tag says.

    Returns:
        uint8 BGR [H, W, 3], in which 8-bit grey is three equal channels; 16-bit grey is uint16 [H, W] with its numbers
        as they are.

    Raises:
        DataContractError: truncated, no image at all, more than `MOST_PIXELS`, or 16-bit colour or floating point.
    """
    # Without IMREAD_ANYDEPTH 16-bit greys would be divided by 256: twelve-bit cameras would come out black.
    image = _decode(data, cv2.IMREAD_COLOR | cv2.IMREAD_ANYDEPTH)
    if image.dtype == np.uint16 and _grey(image):
        return np.ascontiguousarray(image[..., 0])
    if image.dtype != np.uint8:
        raise DataContractError(f"{image.dtype} colour pixels", next="export it with 8 bits a channel")
    return image.astype(np.uint8, copy=False)


def shown(image: Picture) -> Pixels:
    """What a person is shown of a picture: BGR uint8 [H, W, 3]; of 16 bits the range of the middle 99 %."""
    if image.dtype == np.uint8:
        return image
    low, high = np.percentile(image, (0.5, 99.5))
    levels = (image.astype(np.float32) - low) * (255 / max(high - low, 1.0))
    bright: Pixels = cv2.cvtColor(np.clip(levels, 0, 255).astype(np.uint8), cv2.COLOR_GRAY2BGR)
    return bright


def decode_mask(data: bytes, *, empty: bool = False) -> Pixels:
    """Decode a mask stored as 0 and 1, as 0 and 255, or as black and one colour of a palette, to uint8 {0, 1} [H, W].

    A mask with an EXIF tag is turned as its photograph is: programs that copy the tag along have drawn on it unturned.

    Args:
        data: the file's bytes.
        empty: whether a mask without any pixel is a label (`Structure.absent`) and no mistake.

    Raises:
        DataContractError: unreadable, empty, inverted, partly transparent, or of other values, which could be several
            structures.
    """
    stored = _decode(data, cv2.IMREAD_UNCHANGED)
    if stored.ndim == 3 and stored.shape[2] == 4 and stored[..., 3].min() != stored[..., 3].max():
        raise DataContractError("a partly transparent mask", next="save it without transparency: 0 and 255")
    if b"eXIf" in data[:65536] or b"Exif" in data[:65536]:
        stored = _decode(data, TURNABLE)
    if stored.dtype != np.uint8:
        raise DataContractError(f"a mask of {stored.dtype}", next="save it with 8 bits: 0 and 255")
    mask: Pixels = stored.astype(np.uint8, copy=False)
    if mask.ndim == 3:
        mask = mask[..., 0] if _grey(mask) else _one_colour(mask[..., :3])
    levels = np.flatnonzero(np.bincount(mask.ravel(), minlength=256)).tolist()
    if levels not in ([0], [1], [255], [0, 1], [0, 255]):
        shown = ", ".join(map(str, levels[:6])) + (" and more" if len(levels) > 6 else "")
        raise DataContractError(
            f"values {shown} instead of 0 and 255 (or 0 and 1)",
            next="threshold it, or split a label map into one mask a structure; PNG, never JPEG",
        )
    found: Pixels = (mask > 0).astype(np.uint8)
    if not found.any() and not empty:
        raise DataContractError("the mask is empty", next="remove it if nobody labelled this structure")
    if found[:: max(found.shape[0] - 1, 1), :: max(found.shape[1] - 1, 1)].all():
        raise DataContractError("every corner is inside the mask: it looks inverted", next="swap 0 and 255")
    return found


def encode_mask(mask: Pixels) -> bytes:
    """PNG, 8-bit 0 and 255, of a mask {0, 1}."""
    data: bytes = cv2.imencode(".png", mask * np.uint8(255), [cv2.IMWRITE_PNG_COMPRESSION, 1])[1].tobytes()
    return data


def mask_checksum(mask: Pixels) -> str:
    """SHA-256 of a mask's size and pixels, whatever file they were stored in."""
    size = f"{mask.shape[0]}x{mask.shape[1]}:".encode()
    return hashlib.sha256(size + np.packbits(mask.astype(bool)).tobytes()).hexdigest()


def _grey(image: npt.NDArray[np.generic]) -> bool:
    return bool((image[..., 1] == image[..., 0]).all() and (image[..., 2] == image[..., 0]).all())


def _one_colour(mask: Pixels) -> Pixels:
    """0 where a mask [H, W, 3] is black and 255 where it has its one colour."""
    inside = mask.any(axis=2)
    colours = mask[inside]
    if (colours != colours[0]).any():
        raise DataContractError("a coloured mask", next="save one 8-bit grey mask a structure: 0 and 255")
    found: Pixels = np.where(inside, np.uint8(255), np.uint8(0))
    return found


def _decode(data: bytes, flags: int) -> npt.NDArray[np.generic]:
    refuse_huge(data)
    try:
        pixels: npt.NDArray[np.generic] | None = cv2.imdecode(np.frombuffer(data, np.uint8), flags)
    except cv2.error:  # an empty file
        pixels = None
    if pixels is None:
        raise DataContractError("unreadable or cut short", next="copy the file again from its origin")
    return pixels
