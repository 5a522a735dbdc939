"""Rotation, shift, zoom and flips in one affine warp of image and mask together, and brightness and contrast."""

from __future__ import annotations

from dataclasses import dataclass
from math import cos, radians, sin
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from parfocal.core.config import Config


class AugmentConfig(Config):
    """Ranges that the parameters are drawn from, uniformly; papers 000 and 001 give the geometric ones."""

    rotation: float = Field(default=50.0, ge=0, description="degrees, to either side")
    shift: float = Field(default=0.15, ge=0, description="part of the side, along each axis, to either side")
    zoom: tuple[float, float] = Field(default=(0.7, 1.3), description="scale, least and most; above 1 enlarges")
    flip_horizontal: bool = Field(default=True, description="mirror left to right, half of the time")
    flip_vertical: bool = Field(default=True, description="mirror top to bottom, half of the time")
    brightness: float = Field(default=10.0, ge=0, description="grey levels of 255 added, to either side")
    contrast: float = Field(default=0.1, ge=0, lt=1, description="relative change of distances from mid-grey")


@dataclass(frozen=True, slots=True)
class Change:
    """What happens to one picture.

    Attributes:
        rotation: degrees, counter-clockwise.
        shift: (right, down) as parts of width and height.
        zoom: scale; above 1 enlarges.
        mirror, upend: flip left to right, top to bottom.
        brightness: grey levels added.
        contrast: factor of the distance from grey level 128.
    """

    rotation: float = 0.0
    shift: tuple[float, float] = (0.0, 0.0)
    zoom: float = 1.0
    mirror: bool = False
    upend: bool = False
    brightness: float = 0.0
    contrast: float = 1.0


def draw(config: AugmentConfig, rng: np.random.Generator, n: int) -> tuple[Change, ...]:
    """Draw the changes of `n` pictures; each takes the same amount of randomness, whatever is switched off."""
    u = rng.uniform(-1.0, 1.0, (n, 5))
    zooms = rng.uniform(*config.zoom, n)
    flips = rng.random((n, 2)) < 0.5
    return tuple(
        Change(
            rotation=config.rotation * float(u[i, 0]),
            shift=(config.shift * float(u[i, 1]), config.shift * float(u[i, 2])),
            zoom=float(zooms[i]),
            mirror=config.flip_horizontal and bool(flips[i, 0]),
            upend=config.flip_vertical and bool(flips[i, 1]),
            brightness=config.brightness * float(u[i, 3]),
            contrast=1.0 + config.contrast * float(u[i, 4]),
        )
        for i in range(n)
    )


def apply(
    image: NDArray[np.uint8], mask: NDArray[np.uint8], change: Change
) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Apply a change to a picture and its mask, as one four-channel warp; what comes from outside is 0.

    Args:
        image: uint8 [H, W, 3].
        mask: uint8 class index [H, W]. One of 0 and 1 is interpolated linearly and cut at one half, as a smooth
            outline asks; one with other classes takes the nearest. One that is 255 (unknown) all over stays so.
        change: from `draw`.

    Returns:
        New arrays of the same shapes and types.
    """
    height, width = mask.shape
    toned = image if _plain(change) else cv2.LUT(image, _table(change))
    # cv2's own channel shuffles: the strided copies of NumPy would take longer than the warp.
    stacked = cv2.cvtColor(toned, cv2.COLOR_BGR2BGRA)
    cv2.insertChannel(mask * np.uint8(255), stacked, 3)
    affine = matrix(change, height, width)
    warped = cv2.warpAffine(stacked, affine, (width, height), flags=cv2.INTER_LINEAR)
    cut: Any = cv2.threshold(cv2.extractChannel(warped, 3), 127, 1, cv2.THRESH_BINARY)[1]
    if mask.max(initial=0) > 1:
        outside = 255 if mask.min() == 255 else 0  # where nobody labelled anything, nothing is known outside either
        cut = cv2.warpAffine(mask, affine, (width, height), flags=cv2.INTER_NEAREST, borderValue=outside)
    picture: Any = cv2.cvtColor(warped, cv2.COLOR_BGRA2BGR)
    return picture, cut


def move(point: NDArray[np.float32], change: Change, height: int, width: int) -> NDArray[np.float32]:
    """Where a change takes a point.

    Args:
        point: float32 [2], (x, y) as parts of width and height, pixel centres at (i + 0.5) / side; NaN stays NaN.
        change: from `draw`.
        height, width: of the picture in pixels.

    Returns:
        float32 [2], the same kind; it may lie outside the picture.
    """
    size = np.array([width, height])
    at = matrix(change, height, width) @ np.append(point * size - 0.5, 1.0)
    moved: NDArray[np.float32] = ((at + 0.5) / size).astype(np.float32)
    return moved


def matrix(change: Change, height: int, width: int) -> NDArray[np.float64]:
    """Source pixel to result pixel, [2, 3] for (x, y, 1): flip, turn and scale about the centre, then shift."""
    a = change.zoom * cos(radians(change.rotation))
    b = change.zoom * sin(radians(change.rotation))
    flip = (-1.0 if change.mirror else 1.0, -1.0 if change.upend else 1.0)
    linear = np.array([[a * flip[0], b * flip[1]], [-b * flip[0], a * flip[1]]])
    centre = np.array([(width - 1) / 2, (height - 1) / 2])
    moved = centre - linear @ centre + np.array([change.shift[0] * width, change.shift[1] * height])
    return np.column_stack([linear, moved])


def _plain(change: Change) -> bool:
    return change.brightness == 0.0 and change.contrast == 1.0


def _table(change: Change) -> NDArray[np.uint8]:
    levels = (np.arange(256) - 128.0) * change.contrast + 128.0 + change.brightness
    table: NDArray[np.uint8] = np.clip(np.rint(levels), 0, 255).astype(np.uint8)
    return table
