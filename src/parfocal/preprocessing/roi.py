"""Boxes in a photograph, and masks into and out of the square frame that a network sees."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from parfocal.preprocessing.images import Pixels


@dataclass(frozen=True, slots=True)
class Box:
    """A rectangle in source pixels, half-open: rows top..bottom - 1, columns left..right - 1."""

    top: int
    left: int
    bottom: int
    right: int

    @property
    def height(self) -> int:
        return self.bottom - self.top

    @property
    def width(self) -> int:
        return self.right - self.left

    @property
    def window(self) -> tuple[slice, slice]:
        """To index an image or a mask with."""
        return slice(self.top, self.bottom), slice(self.left, self.right)


def trim_box(height: int, width: int, border: float) -> Box:
    """The photograph without `border` (a fraction of its side) on every edge; never empty."""
    rows, columns = min(round(height * border), (height - 1) // 2), min(round(width * border), (width - 1) // 2)
    return Box(rows, columns, height - rows, width - columns)


def square_box(centre: tuple[float, float], side: float, height: int, width: int) -> Box:
    """A square about (x, y), pixel centres at whole numbers, moved inward where it would leave the picture.

    It is as large as the picture's shorter side at most, and never empty.
    """
    pixels = max(1, min(round(side), height, width))
    left = min(max(round(centre[0] + 0.5 - pixels / 2), 0), width - pixels)
    top = min(max(round(centre[1] + 0.5 - pixels / 2), 0), height - pixels)
    return Box(top, left, top + pixels, left + pixels)


def structure_box(mask: npt.NDArray[np.generic], margin: float) -> Box | None:
    """The bounding box of a mask [H, W], grown on each side by `margin` of its own side, clipped to the image.

    Returns:
        None when the mask is empty.
    """
    left, top, width, height = cv2.boundingRect(mask.astype(np.uint8, copy=False))
    if not width:
        return None
    rows, columns = round(height * margin), round(width * margin)
    return Box(
        max(top - rows, 0),
        max(left - columns, 0),
        min(top + height + rows, mask.shape[0]),
        min(left + width + columns, mask.shape[1]),
    )


def interpolation(box: Box, size: int) -> int:
    """Area averaging to shrink, or fine vessels alias; linear to enlarge."""
    return int(cv2.INTER_AREA if min(box.height, box.width) >= size else cv2.INTER_LINEAR)


def mask_to_frame(mask: Pixels, box: Box, size: int) -> Pixels:
    """Crop a mask {0, 1} [H, W] to `box` and resize it to uint8 {0, 1} [size, size]: a pixel is in if half of it is."""
    frame = cv2.resize(mask[box.window] * np.uint8(255), (size, size), interpolation=interpolation(box, size))
    inside: Pixels = (frame >= 128).astype(np.uint8)
    return inside


def mask_from_frame(frame: npt.NDArray[np.generic], box: Box, height: int, width: int) -> npt.NDArray[np.float32]:
    """Put a frame of probabilities or a mask [size, size] back into the photograph.

    Returns:
        float32 [height, width]; zero outside the box.
    """
    large = np.zeros((height, width), np.float32)
    shrinks = min(frame.shape) >= max(box.height, box.width)
    method = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
    large[box.window] = cv2.resize(frame.astype(np.float32, copy=False), (box.width, box.height), interpolation=method)
    return large


def point_to_frame(point: tuple[float, float], box: Box) -> tuple[float, float]:
    """(x, y) in source pixels, pixel centres at whole numbers, as parts of the sides of `box`; NaN outside it."""
    x, y = (point[0] + 0.5 - box.left) / box.width, (point[1] + 0.5 - box.top) / box.height
    return (x, y) if 0 <= x <= 1 and 0 <= y <= 1 else (float("nan"), float("nan"))


def point_from_frame(point: tuple[float, float], box: Box) -> tuple[float, float]:
    """Back from parts of the sides of `box` to (x, y) in source pixels."""
    return point[0] * box.width + box.left - 0.5, point[1] * box.height + box.top - 0.5
