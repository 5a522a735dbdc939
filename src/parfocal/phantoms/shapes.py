"""Closed outlines and smooth noise on the plane of the retina, in degrees of visual angle."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

Plane = npt.NDArray[np.float32]

EXTENT = 40.0
"""Half the side of the square of retina, in degrees, that a texture covers."""


@dataclass(frozen=True, slots=True)
class Outline:
    """An ellipse whose radius is bent by low harmonics, so that no two are quite round.

    Attributes:
        centre: (x, y) in degrees from the disc's centre; x to the right of the photograph, y down.
        radii: semi-axes in degrees along `angle` and across it.
        angle: of the first axis, in radians.
        harmonics: (order, amplitude, phase) of each bend; amplitude as a fraction of the radius.
    """

    centre: tuple[float, float]
    radii: tuple[float, float]
    angle: float
    harmonics: tuple[tuple[int, float, float], ...] = ()

    @property
    def reach(self) -> float:
        """A radius in degrees that surely contains the outline."""
        return max(self.radii) * (1.0 + sum(amplitude for _, amplitude, _ in self.harmonics))

    def level(self, x: Plane, y: Plane) -> Plane:
        """Distance from the centre with the outline at 1: below 1 is inside. Same shape as `x` and `y` (degrees)."""
        cos, sin = np.float32(np.cos(self.angle)), np.float32(np.sin(self.angle))
        dx, dy = x - np.float32(self.centre[0]), y - np.float32(self.centre[1])
        along = (dx * cos + dy * sin) / np.float32(self.radii[0])
        across = (dy * cos - dx * sin) / np.float32(self.radii[1])
        level: Plane = cv2.magnitude(along, across)
        if self.harmonics:
            theta = cv2.phase(along, across)
            bend = np.ones_like(level)
            for order, amplitude, phase in self.harmonics:
                bend += np.float32(amplitude) * np.cos(np.float32(order) * theta + np.float32(phase))
            level = level / bend
        return level


def bends(rng: np.random.Generator, amplitude: float, orders: int = 4) -> tuple[tuple[int, float, float], ...]:
    """Random harmonics 2, 3, ... whose amplitudes fall with their order."""
    return tuple(
        (order, float(amplitude * rng.uniform(0.2, 1.0) * 2 / order), float(rng.uniform(0, 2 * np.pi)))
        for order in range(2, 2 + orders)
    )


def inside(level: Plane, softness: float) -> Plane:
    """How much of a pixel belongs to the inside, 0..1; half at the outline, `softness` is the width of the rim."""
    return smooth_step((1.0 - level) / np.float32(2.0 * softness) + np.float32(0.5))


def smooth_step(value: Plane) -> Plane:
    """0 below 0, 1 above 1, and a curve without corners between."""
    t = np.clip(value, 0.0, 1.0)
    result: Plane = t * t * (3.0 - 2.0 * t)
    return result


def noise(rng: np.random.Generator, side: int, grain: float) -> Plane:
    """Smooth noise over the retina: [side, side] float32, mean 0, standard deviation 1, `grain` in degrees."""
    field = rng.standard_normal((side, side), dtype=np.float32)
    field = cv2.GaussianBlur(field, (0, 0), grain * side / (2 * EXTENT))
    field -= field.mean()
    result: Plane = field / field.std()
    return result
