"""What the phantoms of volumes share: planes in millimetres, textures, and paint that knows part of a pixel."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from parfocal.phantoms.shapes import Outline, Plane

TEXTURE = 160
"""Side of a texture in millimetres; it has one value a millimetre and is mirrored beyond."""


@dataclass(frozen=True, slots=True)
class Grid:
    """Pixels of one slice: `height` x `width`, each `pixel` millimetres wide and high, the origin in the middle."""

    height: int
    width: int
    pixel: float

    def planes(self) -> tuple[Plane, Plane]:
        """Coordinates (x to the right, y down) in millimetres of every pixel's middle, each [H, W] float32."""
        x = (np.arange(self.width, dtype=np.float32) - np.float32((self.width - 1) / 2)) * np.float32(self.pixel)
        y = (np.arange(self.height, dtype=np.float32) - np.float32((self.height - 1) / 2)) * np.float32(self.pixel)
        return np.tile(x, (self.height, 1)), np.repeat(y[:, None], self.width, axis=1)

    def pixels(self, points: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        """[N, 2] millimetres (x, y) to [N, 2] pixels (column, row)."""
        return np.asarray(points / self.pixel + np.array([(self.width - 1) / 2, (self.height - 1) / 2]))


def cover(outline: Outline, x: Plane, y: Plane, pixel: float, softness: float = 0.0) -> Plane:
    """Part of each pixel inside the outline, 0..1; the edge is one pixel wide, plus `softness` millimetres."""
    radius = float(np.sqrt(outline.radii[0] * outline.radii[1]))
    part: Plane = np.clip((1.0 - outline.level(x, y)) * np.float32(radius / (pixel + softness)) + 0.5, 0.0, 1.0)
    return part


def shrunk(outline: Outline, by: float) -> Outline:
    """The outline drawn `by` millimetres further in (further out when negative), never to nothing."""
    first, second = (max(0.3, radius - by) for radius in outline.radii)
    return Outline(outline.centre, (first, second), outline.angle, outline.harmonics)


def paint(image: Plane, part: Plane, value: Plane | float) -> None:
    """Cover `image` by `value` where `part` (0..1) says, in place: a shared pixel gets the mean of its parts."""
    image += part * (np.float32(value) - image if isinstance(value, float) else value - image)


def texture(rng: np.random.Generator, grain: float) -> Plane:
    """Smooth noise [TEXTURE, TEXTURE] float32, mean 0, standard deviation 1, `grain` in millimetres."""
    field = cv2.GaussianBlur(rng.standard_normal((TEXTURE, TEXTURE), dtype=np.float32), (0, 0), grain)
    field -= field.mean()
    result: Plane = field / field.std()
    return result


def sample(field: Plane, x: Plane, y: Plane) -> Plane:
    """A texture at coordinates in millimetres; the same shape as `x` and `y`."""
    half = np.float32(TEXTURE / 2)
    found: Plane = cv2.remap(field, x + half, y + half, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT_101)
    return found


def closed_curve(landmarks: Sequence[tuple[float, float]], steps: int = 12) -> npt.NDArray[np.float64]:
    """A closed Catmull-Rom curve through the landmarks: [len * steps, 2]. A landmark given twice is a corner.

    Source: Catmull and Rom, A class of local interpolating splines, 1974.
    """
    points = np.asarray(landmarks, np.float64)
    t = np.linspace(0, 1, steps, endpoint=False)[:, None]
    before, after, next_ = np.roll(points, 1, 0), np.roll(points, -1, 0), np.roll(points, -2, 0)
    a, b, c, d = (field[:, None, :] for field in (before, points, after, next_))
    curve = 2 * b + (c - a) * t + (2 * a - 5 * b + 4 * c - d) * t**2 + (3 * b - a - 3 * c + d) * t**3
    result: npt.NDArray[np.float64] = (0.5 * curve).reshape(-1, 2)
    return result


_FINE, _SHIFT = 3, 4  # shapes are drawn three times as fine; coordinates have 4 bits after the point


def filled(grid: Grid, curves: Iterable[npt.NDArray[np.float64]]) -> Plane:
    """Part of each pixel inside closed curves ([N, 2] millimetres), 0..1, [H, W] float32."""
    canvas = np.zeros((grid.height * _FINE, grid.width * _FINE), np.uint8)
    for curve in curves:
        cv2.fillPoly(canvas, [_fixed(grid, curve)], 255, cv2.LINE_8, _SHIFT)
    return _coarse(canvas, grid)


def stroked(grid: Grid, lines: Iterable[tuple[npt.NDArray[np.float64], float, float]]) -> Plane:
    """Open lines as one plane 0..1: each is ([N, 2] millimetres, its width in millimetres, its strength 0..1)."""
    canvas = np.zeros((grid.height * _FINE, grid.width * _FINE), np.uint8)
    for line, width, strength in lines:
        fine = width / grid.pixel * _FINE
        ink = 255 * strength * min(1.0, fine)
        cv2.polylines(canvas, [_fixed(grid, line)], False, ink, max(1, round(fine)), cv2.LINE_8, _SHIFT)
    return _coarse(canvas, grid)


def _fixed(grid: Grid, points: npt.NDArray[np.float64]) -> npt.NDArray[np.int32]:
    return np.round(((grid.pixels(points) + 0.5) * _FINE - 0.5) * (1 << _SHIFT)).astype(np.int32)


def _coarse(canvas: npt.NDArray[np.uint8], grid: Grid) -> Plane:
    small = cv2.resize(canvas, (grid.width, grid.height), interpolation=cv2.INTER_AREA)
    plane: Plane = small.astype(np.float32) / np.float32(255)
    return plane
