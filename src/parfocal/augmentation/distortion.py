"""Distortions of Models Genesis (Zhou and others 2019; paper 003) that a network learns to undo.

In the published order: a flip, which the picture to restore gets as well; local pixel shuffling; a non-linear change
of intensity; painting noise over blocks (in-painting) or over all but some windows (out-painting). The published loops
are replaced by tables: one of 256 levels a picture for the intensity, and pools, made once, of shuffled places and of
noise.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from parfocal.core.config import Config

Block = tuple[int, int, int, int]
"""Top, left, height and width in pixels."""

_MAPS = 128
"""Shuffles in the pool of one picture size; 4 bytes a pixel each, made when first drawn."""
_NOISE = 1 << 21
"""Places where a picture's noise can begin in the pool of noise."""
_SEED = 0x6E0F
_REPEAT = 0.95
"""Probability of each further block or window, after the published code."""
_BLOCKS = 5
"""Most blocks of an in-painting, and most windows of an out-painting, of which one is sure."""
_MARGIN = 3
"""Pixels between a block and the picture's edge."""


_T = np.linspace(0.0, 1.0, 1000)
_INNER, _LAST = 3 * np.stack([(1 - _T) ** 2 * _T, (1 - _T) * _T**2]), _T**3
"""What the inner control points of a cubic Bezier curve from 0 to 1 and its end weigh along the curve."""
_LEVELS = np.arange(256) / 255


class DistortionConfig(Config):
    """How often what is done; the rates are those of the published code of Models Genesis."""

    non_linear: float = Field(default=0.9, ge=0, le=1, description="part of the pictures whose intensity is changed")
    paint: float = Field(default=0.9, ge=0, le=1, description="part of the pictures that are painted over")
    outpaint: float = Field(default=0.8, ge=0, le=1, description="part of these that are painted from outside")
    shuffle: float = Field(default=0.5, ge=0, le=1, description="part of the pictures whose pixels are shuffled")
    windows: int = Field(
        default=750,
        ge=1,
        description="windows that are shuffled, each 1 px to a tenth of the side; 750 cover a picture 1.9 times, "
        "as the published 10,000 do a volume",
    )
    flip: float = Field(
        default=0.4, ge=0, le=1, description="probability of a flip, and of a second and third after it"
    )


@dataclass(frozen=True, slots=True)
class Curve:
    """Intensity to intensity, both in [0, 1]: a cubic Bezier curve from (0, 0) to (1, 1), or falling from (0, 1).

    Attributes:
        x, y: coordinates of the two inner control points, in [0, 1]; so x never falls along the curve.
        falling: mirrored, so that dark becomes bright.
    """

    x: tuple[float, float]
    y: tuple[float, float]
    falling: bool = False


@dataclass(frozen=True, slots=True)
class Distortion:
    """What happens to one picture.

    Attributes:
        mirror, upend: flip left to right, top to bottom.
        shuffle: number of the shuffle in the pool and of its windows, or None.
        curve: change of intensity, or None.
        blocks: painted over with noise; or, with `outside`, the windows that alone are left.
        outside: everything but `blocks` is painted over.
        noise: where in the pool the noise begins.
    """

    mirror: bool = False
    upend: bool = False
    shuffle: tuple[int, int] | None = None
    curve: Curve | None = None
    blocks: tuple[Block, ...] = ()
    outside: bool = False
    noise: int = 0


def draw(config: DistortionConfig, rng: np.random.Generator, n: int, size: int) -> tuple[Distortion, ...]:
    """Draw the distortions of `n` pictures of `size` pixels a side.

    Each takes the same amount of randomness, whatever is switched off.

    Raises:
        ValueError: a picture with no room for the windows, below 14 pixels.
    """
    if size < 14:
        raise ValueError(f"a picture of {size} pixels a side has no room for a distortion")
    u = rng.random((n, 5))
    flips, axes = rng.random((n, 3)), rng.integers(0, 2, (n, 3))
    curves = rng.random((n, 4))
    maps, starts = rng.integers(0, _MAPS, n), rng.integers(0, _NOISE, n)
    more, places = rng.random((n, _BLOCKS)), rng.random((n, _BLOCKS, 4))
    turned = np.cumprod(flips < config.flip, axis=1)
    upends, mirrors = ((turned * (axes == axis)).sum(1) % 2 == 1 for axis in (1, 0))
    drawn = []
    for i in range(n):
        a, b, c, d = curves[i].tolist()
        outside = bool(u[i, 2] < config.outpaint)
        drawn.append(
            Distortion(
                mirror=bool(mirrors[i]),
                upend=bool(upends[i]),
                shuffle=(int(maps[i]), config.windows) if u[i, 0] < config.shuffle else None,
                curve=Curve((a, b), (c, d), bool(u[i, 4] < 0.5)) if u[i, 3] < config.non_linear else None,
                blocks=_blocks(more[i], places[i], size, outside) if u[i, 1] < config.paint else (),
                outside=outside and bool(u[i, 1] < config.paint),
                noise=int(starts[i]),
            )
        )
    return tuple(drawn)


def apply(image: NDArray[np.uint8], distortion: Distortion) -> NDArray[np.uint8]:
    """The distorted picture, a new array; uint8 [S, S, 3] both, all channels shuffled and changed alike."""
    result: Any = flipped(image, distortion)
    if distortion.shuffle is not None:
        places = shuffled_places(len(image), *distortion.shuffle)
        result = cv2.remap(result, places, None, cv2.INTER_NEAREST)
    if distortion.curve is not None:
        result = cv2.LUT(result, table(distortion.curve))
    if distortion.blocks:
        noise = _noise(image.size)[distortion.noise : distortion.noise + image.size].reshape(image.shape)
        below, above = (noise, result) if distortion.outside else (result, noise)
        result = below.copy()
        for top, left, height, width in distortion.blocks:
            window = slice(top, top + height), slice(left, left + width)
            result[window] = above[window]
    return result  # type: ignore[no-any-return]


def flipped(image: NDArray[np.uint8], distortion: Distortion) -> NDArray[np.uint8]:
    """What the network is to restore: the picture with its flip alone; a new array."""
    if not (distortion.mirror or distortion.upend):
        return image.copy()
    code = -1 if distortion.mirror and distortion.upend else 1 if distortion.mirror else 0
    return cv2.flip(image, code)  # type: ignore[no-any-return]


def table(curve: Curve) -> NDArray[np.uint8]:
    """The curve at each of the 256 levels, interpolated linearly between 1,000 of its points, rounded."""
    x, y = np.array([curve.x, curve.y]) @ _INNER + _LAST
    levels = np.interp(_LEVELS, x, y[::-1] if curve.falling else y)
    rounded: NDArray[np.uint8] = np.rint(255 * levels).astype(np.uint8)
    return rounded


@lru_cache(maxsize=_MAPS)
def shuffled_places(size: int, number: int, windows: int) -> NDArray[np.int16]:
    """Where each pixel comes from, (x, y), int16 [size, size, 2]: shuffle `number` of the pool.

    Windows of 1 to size // 10 pixels a side are drawn anywhere and one after another filled with their own pixels of
    the original in another order; a later window covers what an earlier one wrote. So no pixel moves farther than
    size // 10 - 1 along an axis.
    """
    rng = np.random.default_rng([_SEED, size, number])
    places = np.stack(np.meshgrid(np.arange(size), np.arange(size)), 2).astype(np.int16)
    original = places.copy()
    sides = rng.integers(1, max(1, size // 10), (windows, 2), endpoint=True)
    corners = np.floor(rng.random((windows, 2)) * (size - sides + 1)).astype(int)
    for (height, width), (top, left) in zip(sides.tolist(), corners.tolist(), strict=True):
        window = slice(top, top + height), slice(left, left + width)
        places[window] = rng.permutation(original[window].reshape(-1, 2)).reshape(height, width, 2)
    places.setflags(write=False)
    return places


def _blocks(more: NDArray[np.float64], places: NDArray[np.float64], size: int, outside: bool) -> tuple[Block, ...]:
    """Blocks of a sixth to a third of the side, possibly none; or windows of three to four sevenths, at least one."""
    going = more < _REPEAT
    going[0] |= outside
    least, most = (size - 4 * size // 7, size - 3 * size // 7) if outside else (size // 6, size // 3)
    blocks = []
    for u in places[np.cumprod(going).astype(bool)]:
        height, width = (least + int(v * (most - least + 1)) for v in u[:2])
        top, left = (_MARGIN + int(v * (size - side - 2 * _MARGIN + 1)) for v, side in ((u[2], height), (u[3], width)))
        blocks.append((top, left, height, width))
    return tuple(blocks)


@lru_cache(maxsize=4)
def _noise(elements: int) -> NDArray[np.uint8]:
    noise = np.random.default_rng(_SEED).integers(0, 256, _NOISE + elements, np.uint8)
    noise.setflags(write=False)
    return noise
