"""Bytes to pixels, in one place, so that image, mask and served photograph are read by the same rules."""

from __future__ import annotations

import hashlib

import cv2
import numpy as np
import numpy.typing as npt

from parfocal.core.errors import DataContractError

Pixels = npt.NDArray[np.uint8]
"""uint8: an image BGR [H, W, 3], or a mask {0, 1} [H, W]."""


def decode_image(data: bytes) -> Pixels:
    """Decode a photograph to BGR uint8 [H, W, 3], turned as its EXIF tag says; grey becomes three equal channels.

    Raises:
        DataContractError: truncated, no image at all, or more than eight bits a channel.
    """
    # Without IMREAD_ANYDEPTH 16-bit greys would be divided by 256: twelve-bit cameras would come out black.
    image = _decode(data, cv2.IMREAD_COLOR | cv2.IMREAD_ANYDEPTH)
    if image.dtype != np.uint8:
        raise DataContractError(f"{image.dtype} pixels", next="export it with 8 bits a channel")
    return image.astype(np.uint8, copy=False)


def decode_mask(data: bytes) -> Pixels:
    """Decode a mask stored as 0 and 1 or as 0 and 255 to uint8 {0, 1} [H, W]; equal colour channels count as grey.

    Raises:
        DataContractError: unreadable, empty, inverted, or of other values, which could be several structures.
    """
    stored = _decode(data, cv2.IMREAD_UNCHANGED)
    if stored.dtype != np.uint8:
        raise DataContractError(f"a mask of {stored.dtype}", next="save it with 8 bits: 0 and 255")
    mask: Pixels = stored.astype(np.uint8, copy=False)
    if mask.ndim == 3:
        if (mask[..., :3] != mask[..., :1]).any():
            raise DataContractError("a coloured mask", next="save one 8-bit grey mask a structure: 0 and 255")
        mask = mask[..., 0]
    levels = np.flatnonzero(np.bincount(mask.ravel(), minlength=256)).tolist()
    if levels not in ([0], [1], [255], [0, 1], [0, 255]):
        shown = ", ".join(map(str, levels[:6])) + (" and more" if len(levels) > 6 else "")
        raise DataContractError(
            f"values {shown} instead of 0 and 255 (or 0 and 1)",
            next="threshold it, or split a label map into one mask a structure; PNG, never JPEG",
        )
    found: Pixels = (mask > 0).astype(np.uint8)
    if not found.any():
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


def _decode(data: bytes, flags: int) -> npt.NDArray[np.generic]:
    try:
        pixels: npt.NDArray[np.generic] | None = cv2.imdecode(np.frombuffer(data, np.uint8), flags)
    except cv2.error:  # an empty file
        pixels = None
    if pixels is None:
        raise DataContractError("unreadable or cut short", next="copy the file again from its origin")
    return pixels
