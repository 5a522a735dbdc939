"""The distortions of Models Genesis as loops over windows and curves made anew for every picture.

After the description by Zhou and others (Models Genesis, 2019) and with the numbers of their published code, for
pictures instead of volumes: float [S, S, 3] in [0, 1]. Not their code: written for the comparison, the way one writes
it first.
"""

from __future__ import annotations

import random

import numpy as np
from numpy.typing import NDArray

Picture = NDArray[np.float32]

CURVE_POINTS = 100_000
"""Points of the published intensity curve."""


def distorted(picture: Picture, windows: int, points: int) -> Picture:
    """All of it in the published order, each part at its published rate."""
    for _ in range(3):
        if random.random() >= 0.4:
            break
        picture = np.flip(picture, axis=random.choice([0, 1]))
    if random.random() < 0.5:
        picture = shuffled(picture, windows)
    if random.random() < 0.9:
        picture = toned(picture, points)
    if random.random() < 0.9:
        picture = painted(picture) if random.random() >= 0.8 else painted_outside(picture)
    return picture


def toned(picture: Picture, points: int = CURVE_POINTS) -> Picture:
    """Every intensity through a cubic Bezier curve with two random inner control points, rising or falling."""
    (x1, y1), (x2, y2) = ((random.random(), random.random()) for _ in range(2))
    t = np.linspace(0, 1, points)
    weights = [(1 - t) ** 3, 3 * (1 - t) ** 2 * t, 3 * (1 - t) * t**2, t**3]
    x = sum(weight * at for weight, at in zip(weights, (0, x1, x2, 1), strict=True))
    y = sum(weight * at for weight, at in zip(weights, (0, y1, y2, 1), strict=True))
    x = np.sort(x)
    y = np.sort(y) if random.random() < 0.5 else y[::-1]
    return np.interp(picture, x, y).astype(np.float32)


def shuffled(picture: Picture, windows: int) -> Picture:
    """The pixels of many small windows put in another order, one window after another."""
    size, result = len(picture), picture.copy()
    for _ in range(windows):
        height, width = random.randint(1, size // 10), random.randint(1, size // 10)
        top, left = random.randint(0, size - height), random.randint(0, size - width)
        pixels = picture[top : top + height, left : left + width].reshape(-1, 3)
        result[top : top + height, left : left + width] = np.random.permutation(pixels).reshape(height, width, 3)
    return result


def painted(picture: Picture) -> Picture:
    """Noise over up to five blocks."""
    size, result, left_over = len(picture), picture.copy(), 5
    while left_over and random.random() < 0.95:
        height, width = random.randint(size // 6, size // 3), random.randint(size // 6, size // 3)
        top, left = random.randint(3, size - height - 3), random.randint(3, size - width - 3)
        result[top : top + height, left : left + width] = np.random.rand(height, width, 3)
        left_over -= 1
    return result


def painted_outside(picture: Picture) -> Picture:
    """Noise everywhere but in one to five windows."""
    size, left_over = len(picture), 5
    result = np.random.rand(*picture.shape).astype(np.float32)
    while left_over and (left_over == 5 or random.random() < 0.95):
        height, width = (size - random.randint(3 * size // 7, 4 * size // 7) for _ in range(2))
        top, left = random.randint(3, size - height - 3), random.randint(3, size - width - 3)
        window = slice(top, top + height), slice(left, left + width)
        result[window] = picture[window]
        left_over -= 1
    return result
