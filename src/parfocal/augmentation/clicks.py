"""Clicks that guide a segmentation: where a person would click, simulated from the truth, and the maps of the clicks.

After Sakinis and others, Interactive segmentation of medical images through fully convolutional neural networks, 2019,
which paper 003 follows: the first click at the innermost point of the object, each later one in the largest error.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

SIGMA = 2.0
"""Pixels of the network's frame, of the Gaussian that a click becomes."""
STRETCH, MOVED = 1.7, 0.4
"""How wrong a mask is that a dialogue begins with (`wrong`)."""


@dataclass(frozen=True, slots=True)
class Click:
    """One click on a pixel.

    Attributes:
        row, column: of the pixel, from the top left.
        object: True says "this belongs to it", False "this is background".
    """

    row: int
    column: int
    object: bool = True


def encode(clicks: Iterable[Click], height: int, width: int, sigma: float = SIGMA) -> NDArray[np.float32]:
    """Maps of object clicks and background clicks, float32 [2, height, width] in [0, 1]; zero where nobody clicked.

    Each click is a Gaussian of `sigma` pixels whose peak, on its pixel, is 1. Where clicks of a kind come near each
    other the larger value stands, so that every click keeps its peak, and clicking twice on a pixel is clicking once.

    Raises:
        ValueError: a click outside the picture, or a `sigma` that is not above 0.
    """
    if not sigma > 0:
        raise ValueError(f"a Gaussian of {sigma} pixels")
    maps = np.zeros((2, height, width), np.float32)
    rows, columns = np.arange(height, dtype=np.float32), np.arange(width, dtype=np.float32)
    for click in clicks:
        if not (0 <= click.row < height and 0 <= click.column < width):
            raise ValueError(f"a click at row {click.row}, column {click.column} of a picture of {height} x {width}")
        down, across = (
            np.exp(-((at - place) ** 2) / np.float32(2 * sigma**2))
            for at, place in ((rows, np.float32(click.row)), (columns, np.float32(click.column)))
        )
        channel = maps[0 if click.object else 1]
        np.maximum(channel, np.outer(down, across), out=channel)
    return maps


def first(mask: NDArray[np.generic], rng: np.random.Generator | None = None) -> Click:
    """The first click for a truth [H, W], uint8 or bool: the object's innermost point.

    A truth without an object gets a background click: on a pixel drawn from `rng`, since there every place says the
    same, or without `rng` on the innermost point, the picture's centre. An object is never left to chance.

    Raises:
        ValueError: a picture without pixels.
    """
    inside = mask.astype(np.bool_)
    if not inside.size:
        raise ValueError("a click on a picture without pixels")
    if inside.any():
        return Click(*_innermost(inside), object=True)
    if rng is not None:
        return Click(int(rng.integers(mask.shape[0])), int(rng.integers(mask.shape[1])), object=False)
    return Click(*_innermost(~inside), object=False)


def following(mask: NDArray[np.generic], predicted: NDArray[np.generic]) -> Click | None:
    """The next click for a truth and an answer [H, W], uint8 or bool: the innermost point of the largest error.

    Errors are 4-connected pieces, what was missed and what was too much apart. A missed piece gets an object click, a
    piece too much a background click; of pieces of one size the missed one comes first, then the first from the top.

    Returns:
        None when the answer is right everywhere.

    Raises:
        ValueError: truth and answer differ in shape.
    """
    if mask.shape != predicted.shape:
        raise ValueError(f"a truth of {mask.shape} and an answer of {predicted.shape}")
    true, found = mask.astype(np.bool_), predicted.astype(np.bool_)
    missed, missed_area = _largest(true & ~found)
    excess, excess_area = _largest(found & ~true)
    if not missed_area and not excess_area:
        return None
    if missed_area >= excess_area:
        return Click(*_innermost(missed), object=True)
    return Click(*_innermost(excess), object=False)


def wrong(mask: NDArray[np.generic], rng: np.random.Generator) -> NDArray[np.bool_]:
    """A truth [H, W] made wrong, as a network that does not know the instrument draws it: bool [H, W].

    Stretched or shrunk along each axis by up to `STRETCH`, evenly in the logarithm, and moved along each by up to
    `MOVED` of the radius of a circle that is as large. An empty truth stays empty.
    """
    inside = mask.astype(np.uint8)
    if not inside.any():
        return inside.astype(np.bool_)
    rows, columns = np.nonzero(inside)
    down, across = np.exp(rng.uniform(-np.log(STRETCH), np.log(STRETCH), 2))
    dy, dx = rng.uniform(-MOVED, MOVED, 2) * np.sqrt(len(rows) / np.pi)
    y, x = rows.mean(), columns.mean()
    change = np.array([[across, 0, x + dx - across * x], [0, down, y + dy - down * y]])
    moved: NDArray[np.uint8] = cv2.warpAffine(inside, change, inside.shape[::-1], flags=cv2.INTER_NEAREST)
    return moved.astype(np.bool_)


def _largest(wrong: NDArray[np.bool_]) -> tuple[NDArray[np.bool_], int]:
    """The largest 4-connected piece and its area in pixels."""
    window = _window(wrong)
    _, labels, stats, _ = cv2.connectedComponentsWithStats(wrong[window].astype(np.uint8), connectivity=4)
    if len(stats) < 2:
        return wrong, 0
    areas = stats[1:, cv2.CC_STAT_AREA]
    largest = int(np.argmax(areas))
    piece = np.zeros(wrong.shape, np.bool_)
    piece[window] = labels == largest + 1
    return piece, int(areas[largest])


def _innermost(region: NDArray[np.bool_]) -> tuple[int, int]:
    """Row and column of the pixel farthest from everything outside the region; the picture's edge is outside too.

    Of several, the one nearest to their mean, so that a bar is clicked in its middle; of those the first from the top.
    """
    window = _window(region)
    padded = np.pad(region[window], 1).astype(np.uint8)
    distance = cv2.distanceTransform(padded, cv2.DIST_L2, cv2.DIST_MASK_PRECISE)[1:-1, 1:-1]
    squared = np.rint(distance * distance)  # whole numbers, or float32 would tell equal distances apart
    rows, columns = np.nonzero(squared == squared.max())
    rows, columns = rows + window[0].start, columns + window[1].start
    best = int(np.argmin((rows - rows.mean()) ** 2 + (columns - columns.mean()) ** 2))
    return int(rows[best]), int(columns[best])


def _window(region: NDArray[np.bool_]) -> tuple[slice, slice]:
    """Rows and columns of a region; what is beyond is outside of it, and a large photograph need not be searched."""
    left, top, width, height = cv2.boundingRect(region.view(np.uint8))
    return slice(top, top + height), slice(left, left + width)
