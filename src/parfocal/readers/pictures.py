"""Pixels of photographs and of label maps, for the readers that make masks of what a public set stores."""

from __future__ import annotations

import struct
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from parfocal.core.errors import DataContractError
from parfocal.core.image_size import refuse_huge

Pixels = npt.NDArray[np.uint8]


def photograph(file: Path) -> Pixels:
    """Decode to uint8 BGR [H, W, 3], turned as its EXIF tag says.

    Raises:
        DataContractError: unreadable, cut short, or more than eight bits a channel.
    """
    return _eight_bits(_decode(file, cv2.IMREAD_COLOR | cv2.IMREAD_ANYDEPTH), file)


def levels(file: Path) -> Pixels:
    """The numbers that a label map stores, uint8 [H, W].

    Equal colour channels count as grey. A palette of greys gives its greys, a palette of colours gives its indices:
    painters recolour a map and keep the numbers.

    Raises:
        DataContractError: unreadable, not eight bits, or coloured without a palette.
    """
    stored = _eight_bits(_decode(file, cv2.IMREAD_UNCHANGED), file)
    if stored.ndim == 2:
        return stored
    if stored.shape[2] == 4 and stored[..., 3].min() != stored[..., 3].max():
        raise DataContractError("a partly transparent mask", where=file, next="save it without transparency")
    if not (stored[..., :3] != stored[..., :1]).any():
        return np.ascontiguousarray(stored[..., 0])
    palette = _palette(file.read_bytes())
    if palette is None:
        raise DataContractError(
            "a coloured mask", where=file, expected="grey numbers, or a palette", next="save it as an 8-bit grey PNG"
        )
    colours, places = np.unique(stored[..., :3].reshape(-1, 3), axis=0, return_inverse=True)
    indices = [_index(palette, tuple(int(v) for v in colour[::-1]), file) for colour in colours]
    return np.asarray(indices, np.uint8)[places].reshape(stored.shape[:2])


def same_size(mask: npt.NDArray[np.generic], file: Path, image: npt.NDArray[np.generic], image_file: Path) -> None:
    """Refuse a mask that is not as large as its image.

    Raises:
        DataContractError: their heights or widths differ.
    """
    if mask.shape[:2] != image.shape[:2]:
        raise DataContractError(
            f"{mask.shape[1]} x {mask.shape[0]}, but {image_file.name} is {image.shape[1]} x {image.shape[0]}",
            where=file,
            next="copy both again from one release of the set",
        )


def save(file: Path, pixels: npt.NDArray[np.uint8] | npt.NDArray[np.uint16]) -> Path:
    """Write a PNG without loss, making its folder; a mask {0, 1} is written as 0 and 255 by its caller."""
    file.parent.mkdir(parents=True, exist_ok=True)
    data: npt.NDArray[np.uint8] = cv2.imencode(".png", pixels, [cv2.IMWRITE_PNG_COMPRESSION, 1])[1]
    file.write_bytes(data.tobytes())
    return file


def save_mask(file: Path, mask: npt.NDArray[np.bool_]) -> Path:
    """Write a mask as an 8-bit PNG, 0 and 255."""
    return save(file, mask.astype(np.uint8) * np.uint8(255))


def _decode(file: Path, flags: int) -> npt.NDArray[np.generic]:
    pixels: npt.NDArray[np.generic] | None
    try:
        data = file.read_bytes()
        refuse_huge(data)
        if flags == cv2.IMREAD_UNCHANGED and (b"eXIf" in data[:65536] or b"Exif" in data[:65536]):
            flags = cv2.IMREAD_ANYCOLOR | cv2.IMREAD_ANYDEPTH  # as stored too, but turned as the tag says
        pixels = cv2.imdecode(np.frombuffer(data, np.uint8), flags)
    except cv2.error:  # an empty file
        pixels = None
    except OSError as error:
        raise DataContractError(f"cannot be read: {error.strerror or error}", where=file) from None
    except DataContractError as error:
        raise DataContractError(error.what, where=file, expected=error.expected, next=error.next) from None
    if pixels is None:
        raise DataContractError("unreadable or cut short", where=file, next="copy the file again from its origin")
    found: npt.NDArray[np.generic] = pixels
    return found


def _eight_bits(pixels: npt.NDArray[np.generic], file: Path) -> Pixels:
    if pixels.dtype != np.uint8:
        raise DataContractError(f"{pixels.dtype} pixels", where=file, expected="8 bits a channel")
    return pixels.astype(np.uint8, copy=False)


def _palette(data: bytes) -> list[tuple[int, int, int]] | None:
    """RGB by index of a PNG with a palette. OpenCV gives the colours alone."""
    if data[:8] != b"\x89PNG\r\n\x1a\n" or data[25] != 3:
        return None
    place = 8
    while place + 8 <= len(data):
        size, kind = struct.unpack(">I4s", data[place : place + 8])
        if kind == b"PLTE":
            table = data[place + 8 : place + 8 + size]
            return [(table[i], table[i + 1], table[i + 2]) for i in range(0, size - 2, 3)]
        place += size + 12
    return None


def _index(palette: list[tuple[int, int, int]], colour: tuple[int, ...], file: Path) -> int:
    found = [index for index, entry in enumerate(palette) if entry == colour]
    if len(found) != 1:
        raise DataContractError(f"the palette has colour {colour} {len(found)} times", where=file, expected="once")
    return found[0]
