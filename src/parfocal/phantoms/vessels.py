"""The tree of arteries and veins that leaves the disc, arches round the macula and thins towards the edge."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

STEP = 0.6
"""Length of one segment of a vessel in degrees."""


@dataclass(frozen=True, slots=True)
class Vessel:
    """One unbranched vessel.

    Attributes:
        points: [N, 2] float32 (x, y) in degrees from the disc's centre.
        widths: diameter in degrees where the vessel begins and where it ends.
        vein: veins are darker and wider than arteries.
    """

    points: npt.NDArray[np.float32]
    widths: tuple[float, float]
    vein: bool


def grow(rng: np.random.Generator, temporal: float, trunk: tuple[float, float], calibre: float) -> tuple[Vessel, ...]:
    """Grow the tree of one eye.

    Args:
        rng: source of every choice.
        temporal: +1.0 when the macula is to the right of the disc in the photograph, else -1.0.
        trunk: where the vessels come out of the disc, in degrees from its centre.
        calibre: diameter of a large vein in degrees, about 0.6.
    """
    found: list[Vessel] = []
    for vertical in (-1.0, 1.0):
        for vein in (False, True):
            for side in (temporal, -temporal):
                arcade = side == temporal
                lean = rng.uniform(-0.1, 0.45) if arcade else rng.uniform(0.3, 0.95)
                heading = np.arctan2(vertical * np.cos(lean), side * np.sin(lean))
                turn = side * -vertical * (rng.uniform(0.035, 0.06) if arcade else rng.uniform(0.0, 0.03))
                width = calibre * (1.0 if vein else 0.75) * (1.0 if arcade else 0.75) * rng.uniform(0.85, 1.15)
                start = np.asarray(trunk) + rng.normal(0.0, 0.25, 2)
                found += _branch(rng, start, heading, turn, width, vein, length=rng.uniform(22, 34), depth=0)
    for _ in range(rng.integers(3, 7)):  # twigs that cross the rim towards the macula and the nose
        heading = rng.uniform(-0.9, 0.9) + (0.0 if rng.random() < 0.6 else np.pi) + (0.0 if temporal > 0 else np.pi)
        start = np.asarray(trunk) + rng.normal(0.0, 0.4, 2)
        found += _branch(
            rng, start, heading, 0.0, calibre * 0.35, bool(rng.random() < 0.5), rng.uniform(5, 11), depth=2
        )
    return tuple(found)


def _branch(
    rng: np.random.Generator,
    start: npt.NDArray[np.float64],
    heading: float,
    turn: float,
    width: float,
    vein: bool,
    length: float,
    depth: int,
) -> Iterator[Vessel]:
    """One vessel and, from points along it, its thinner children."""
    count = max(4, int(length / STEP))
    wobble = np.cumsum(rng.normal(0.0, 0.055 + 0.02 * depth, count)) * 0.6 + rng.normal(0.0, 0.10, count)
    fade = np.exp(-np.arange(count) * STEP / 16.0)  # arcades bend most near the disc
    angles = heading + np.cumsum(turn * STEP * (0.4 + fade)) + wobble
    steps = STEP * np.stack([np.cos(angles), np.sin(angles)], axis=1)
    points = start + np.cumsum(steps, axis=0) - steps[0]
    end = width * rng.uniform(0.35, 0.55)
    yield Vessel(points.astype(np.float32), (width, end), vein)
    if depth >= 3 or width < 0.12:
        return
    at, side = rng.uniform(2.0, 7.0), 1.0 if rng.random() < 0.5 else -1.0
    while at < length - 2.0:
        index = int(at / STEP)
        here = width + (end - width) * index / count
        angle = angles[index] + side * rng.uniform(0.45, 1.0)
        reach = min(length - at, length * rng.uniform(0.3, 0.65)) + 1.0
        yield from _branch(
            rng, points[index], angle, -0.03 * side, here * rng.uniform(0.5, 0.75), vein, reach, depth + 1
        )
        at, side = at + rng.uniform(3.0, 8.0), -side
