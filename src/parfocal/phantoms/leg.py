"""The anatomy of one patient's lower leg: shin bone (tibia), calf bone (fibula), muscle, fat and skin.

Lengths are millimetres. A leg has its own axes: u points from the shin bone towards the calf bone's side (outwards), v
towards the back, h runs along the leg from the head of the calf bone (0) to its lower tip (1). The bone to segment is
the fibula, as in paper 003; the tibia beside it is brighter, larger and not the answer.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from parfocal.phantoms.fields import cover, paint, sample, shrunk, texture
from parfocal.phantoms.shapes import Outline, Plane, bends

LENGTH = 370.0
"""Millimetres from h = 0 to h = 1 in a leg of size 1."""
METAL = 8000.0
"""Hounsfield units of titanium, beyond what a scanner can write."""

_H = (0.0, 0.06, 0.14, 0.3, 0.5, 0.7, 0.85, 0.94, 1.0)
_GIRTH = (56.0, 55.0, 56.0, 60.0, 54.0, 43.0, 36.0, 36.0, 36.0)  # of leg, tibia, fibula at those heights: radii
_TIBIA = (34.0, 28.0, 20.0, 14.5, 12.5, 12.0, 14.5, 20.0, 23.0)
_FIBULA = (10.5, 10.0, 6.5, 6.8, 7.0, 6.6, 7.5, 10.5, 9.5)
_SHELL = (1.2, 1.4, 2.8, 4.6, 5.0, 4.2, 2.4, 1.4, 1.2)  # cortex of the tibia; the fibula's is 0.55 of it
_SCREWS = 0.11  # of the leg's length from one screw of a nail to the next
_APART = (39.0, 35.0, 29.0, 27.0, 26.0, 25.0, 24.0, 28.0, 31.0)


@dataclass(frozen=True, slots=True)
class Leg:
    """Everything about a patient that a scanner can see.

    Attributes:
        side: +1.0 when the fibula lies to the right of the tibia in the picture, else -1.0.
        turn: rotation of the foot in radians; position: (x, y) of the leg's middle.
        size: of the bones, 1 is average; girth: of the soft tissue, 1 is average.
        reach: the part of the leg that is scanned, as heights h.
        fat: thickness under the skin; wasting: part of the muscle that is fat, 0..1; swelling: water in the fat, 0..1.
        cortex, spongy, marrow, muscle: Hounsfield units; shell: thickness of the cortex, 1 is average.
        fibula: size of the fibula, bearing: its direction from the tibia in radians towards the back, apart: distance.
        bent: harmonics of leg, tibia and fibula; twist: turn of the bones' cross-sections along the leg in radians.
        vessels: (u, v, radius, Hounsfield units) of arteries, some calcified.
        nail: radius of a metal nail with screws in the tibia, 0 for none; cast: thickness of a plaster, 0 for none.
        neighbour: distance to the other leg's middle, 0 when it is out of the picture.
        textures: two planes of smooth noise.
    """

    side: float
    turn: float
    position: tuple[float, float]
    size: float
    girth: float
    reach: tuple[float, float]
    fat: float
    wasting: float
    swelling: float
    cortex: float
    spongy: float
    marrow: float
    muscle: float
    shell: float
    fibula: float
    bearing: float
    apart: float
    bent: tuple[tuple[tuple[int, float, float], ...], ...]
    twist: float
    vessels: tuple[tuple[float, float, float, float], ...]
    nail: float
    cast: float
    neighbour: float
    textures: tuple[Plane, Plane]


def draw_leg(seed: int, patient: int) -> Leg:
    """The leg of that patient; equal arguments give equal legs."""
    rng = np.random.default_rng([seed, patient, 0x1E6])
    top = float(rng.uniform(0.0, 0.35))
    calcified = rng.random() < 0.35
    return Leg(
        side=1.0 if rng.random() < 0.5 else -1.0,
        turn=float(np.clip(rng.normal(0.0, 0.4), -1.0, 1.0)),
        position=(float(rng.uniform(-9, 9)), float(rng.uniform(-9, 6))),
        size=float(np.clip(rng.normal(1.0, 0.1), 0.78, 1.22)),
        girth=float(np.clip(rng.normal(0.95, 0.1), 0.75, 1.1)),
        reach=(top, float(rng.uniform(max(0.6, top + 0.3), 0.98))),
        fat=float(rng.uniform(2.5, 16.0)),
        wasting=float(rng.beta(1.2, 3.0)),
        swelling=float(rng.beta(1.0, 3.0)),
        cortex=float(rng.uniform(850, 1450)),
        spongy=float(rng.uniform(120, 420)),
        marrow=float(rng.uniform(-70, 60)),
        muscle=float(rng.uniform(40, 62)),
        shell=float(np.clip(rng.normal(0.95, 0.25), 0.45, 1.4)),
        fibula=float(np.clip(rng.normal(1.0, 0.16), 0.65, 1.4)),
        bearing=float(rng.normal(0.75, 0.25)),
        apart=float(np.clip(rng.normal(1.0, 0.08), 0.86, 1.2)),
        bent=(bends(rng, 0.02), ((3, 0.11, float(rng.normal(-1.6, 0.3))), *bends(rng, 0.02)), bends(rng, 0.09)),
        twist=float(rng.normal(0.0, 0.5)),
        vessels=tuple(_vessel(rng, calcified) for _ in range(rng.integers(2, 6))),
        nail=float(rng.uniform(3.5, 5.0)) if rng.random() < 0.12 else 0.0,
        cast=float(rng.uniform(3.0, 7.0)) if rng.random() < 0.12 else 0.0,
        neighbour=float(rng.uniform(88, 112)) if rng.random() < 0.35 else 0.0,
        textures=(texture(rng, 2.2), texture(rng, 5.0)),
    )


def _vessel(rng: np.random.Generator, calcified: bool) -> tuple[float, float, float, float]:
    hard = calcified and rng.random() < 0.7
    radius = float(rng.uniform(1.0, 2.2) if hard else rng.uniform(1.5, 3.0))
    value = float(rng.uniform(350, 900) if hard else rng.uniform(30, 60))
    return float(rng.uniform(-18, 26)), float(rng.uniform(2, 34)), radius, value


def at(h: float, values: tuple[float, ...]) -> float:
    """A length at height h of the leg, from the tables above."""
    return float(np.interp(h, _H, values))


def bones(leg: Leg, h: float) -> tuple[Outline, Outline, float]:
    """Outlines of tibia and fibula in the leg's axes (u, v), and the thickness of the tibia's cortex, at height h."""
    girth = at(h, _GIRTH) * leg.girth * (0.5 + 0.5 * leg.size)
    radius = min(at(h, _TIBIA) * leg.size, 0.72 * girth)
    tibia = Outline(
        (-0.12 * girth, -0.36 * (girth - 0.55 * radius)), (radius, radius * 0.9), 0.25 * leg.twist + 0.3, leg.bent[1]
    )
    small = at(h, _FIBULA) * leg.fibula * leg.size
    away = max(at(h, _APART) * leg.apart * leg.size, radius * 0.95 + small + 0.6)
    bearing = leg.bearing + 0.35 * (0.5 - h)
    where = (tibia.centre[0] + away * float(np.cos(bearing)), tibia.centre[1] + away * float(np.sin(bearing)))
    fibula = Outline(where, (small * 1.12, small * 0.88), leg.twist * (2 * h - 1) * 2, leg.bent[2])
    return tibia, fibula, at(h, _SHELL) * leg.shell * leg.size


def section(leg: Leg, h: float, x: Plane, y: Plane, pixel: float) -> tuple[Plane, Plane]:
    """The leg cut across at height h.

    Args:
        leg: the patient.
        h: 0 at the head of the fibula, 1 at its lower tip.
        x, y: coordinates of the pixels in millimetres (picture axes), each [H, W].
        pixel: size in millimetres; pixels on an edge hold the mean of what they share.

    Returns:
        Hounsfield units [H, W] without any artefact, and the part of each pixel that is fibula, 0..1.
    """
    tissue = np.full(x.shape, -1000.0, np.float32)
    if leg.neighbour:
        _other_leg(tissue, leg, h, x, y, pixel)
    u, v = _own_axes(leg, x, y)
    girth = at(h, _GIRTH) * leg.girth * (0.5 + 0.5 * leg.size)
    skin = Outline((0.0, 0.0), (girth + leg.fat * 0.6, girth * 0.95 + leg.fat * 0.6), 0.4, leg.bent[0])
    tibia, fibula, shell = bones(leg, h)
    body = np.maximum(cover(skin, u, v, pixel), cover(shrunk(fibula, -4.0), u, v, pixel))
    if leg.cast:
        paint(tissue, cover(shrunk(skin, -leg.cast - 1.5), u, v, pixel), 480.0)
        paint(tissue, cover(shrunk(skin, -1.5), u, v, pixel), -900.0)
    _soft(tissue, leg, h, (u, v), skin, body, pixel)
    for pu, pv, radius, value in leg.vessels:
        paint(tissue, cover(Outline((pu, pv), (radius, radius), 0.0), u, v, pixel), value)
    for outline, wall in ((tibia, shell), (fibula, 0.55 * shell + 0.35)):
        _bone(tissue, leg, outline, wall, (u, v), pixel)
    if leg.nail:
        paint(tissue, cover(Outline(tibia.centre, (leg.nail, leg.nail), 0.0), u, v, pixel), METAL)
        if (h / _SCREWS) % 1 < 0.25:
            screw = Outline(tibia.centre, (1.2 * tibia.radii[0], 2.3), 0.5)
            paint(tissue, cover(screw, u, v, pixel), METAL)
    return tissue, cover(fibula, u, v, pixel)


def _own_axes(leg: Leg, x: Plane, y: Plane) -> tuple[Plane, Plane]:
    dx, dy = x - np.float32(leg.position[0]), y - np.float32(leg.position[1])
    cos, sin = np.float32(np.cos(leg.turn)), np.float32(np.sin(leg.turn))
    return (dx * cos + dy * sin) * np.float32(leg.side), dy * cos - dx * sin


def _soft(
    tissue: Plane, leg: Leg, h: float, axes: tuple[Plane, Plane], skin: Outline, body: Plane, pixel: float
) -> None:
    """Skin, fat with strands of water in it, and muscle with seams and strands of fat."""
    u, v = axes
    shift = np.float32(40 * h)
    fine, broad = sample(leg.textures[0], u + shift, v), sample(leg.textures[1], u, v + shift)
    paint(tissue, body, 45.0)
    fat = cover(shrunk(skin, 1.8), u, v, pixel)
    paint(tissue, fat, (-102 + leg.swelling * 60 * np.clip(fine, 0, 2)).astype(np.float32))
    inner = cover(shrunk(skin, 1.8 + leg.fat), u, v, pixel)
    seam = np.clip(1.4 - np.abs(broad) * 9.0, 0, 1) * 0.9  # where the noise crosses zero: seams between muscles
    marbled = np.clip((fine - 1.6 + 2.0 * leg.wasting) * 0.8, 0, 1) * min(1.0, leg.wasting * 1.6)
    fatty = np.maximum(seam, marbled)
    paint(tissue, inner, (leg.muscle + 3 * fine - fatty * (leg.muscle + 95)).astype(np.float32))


def _bone(tissue: Plane, leg: Leg, outline: Outline, wall: float, axes: tuple[Plane, Plane], pixel: float) -> None:
    """A shell of cortex round marrow; where the shell is thin, as at the ends, the marrow is spongy bone."""
    u, v = axes
    paint(tissue, cover(outline, u, v, pixel), leg.cortex)
    spongy = float(np.clip((2.6 - wall) / 1.4, 0.0, 1.0))
    inside = leg.marrow + spongy * (leg.spongy - leg.marrow)
    rough = (inside + (8 + 60 * spongy) * sample(leg.textures[0], u, v)).astype(np.float32)
    paint(tissue, cover(shrunk(outline, wall), u, v, pixel), rough)


def _other_leg(tissue: Plane, leg: Leg, h: float, x: Plane, y: Plane, pixel: float) -> None:
    """What is seen of the leg on the other side: its skin, fat, muscle and, near the edge, its tibia."""
    girth = at(h, _GIRTH) * leg.girth * (0.5 + 0.5 * leg.size)
    away = max(leg.neighbour, 2 * girth + leg.fat + 2)
    middle = (leg.position[0] - leg.side * away, leg.position[1] + 6.0)
    skin = Outline(middle, (girth + leg.fat * 0.6, girth + leg.fat * 0.6), 0.0, leg.bent[0])
    paint(tissue, cover(skin, x, y, pixel), -100.0)
    paint(tissue, cover(shrunk(skin, leg.fat), x, y, pixel), leg.muscle)
    radius = at(h, _TIBIA) * leg.size * 0.9
    where = (middle[0] + leg.side * (0.62 * girth - 0.3 * radius), middle[1] - 0.3 * girth)
    shin = Outline(where, (radius, radius * 0.9), 0.0, leg.bent[1])
    paint(tissue, cover(shin, x, y, pixel), leg.cortex)
    hollow = cover(shrunk(shin, at(h, _SHELL) * leg.shell * leg.size), x, y, pixel)
    paint(tissue, hollow, leg.marrow)


def lowest(leg: Leg) -> float:
    """y in millimetres of the table's top: under the thickest part of the leg."""
    thickest = max(cut * leg.girth * (0.5 + 0.5 * leg.size) for cut in _GIRTH)
    return leg.position[1] + thickest + 0.6 * leg.fat + leg.cast + 2.0


def table(tissue: Plane, top: float, x: Plane, y: Plane, pixel: float, curved: bool) -> None:
    """The scanner's table under the leg: a carbon shell round foam, flat or curved, painted in place."""
    bottom = np.float32(top) - (x / np.float32(22)) ** 2 * np.float32(1.2) * np.float32(curved)
    below = (y - bottom) / np.float32(pixel)
    for depth, value in ((0.0, -330.0), (2.0, -940.0), (14.0, -330.0), (16.0, -1000.0)):
        part = np.clip(below - np.float32(depth / pixel) + 0.5, 0.0, 1.0) * (tissue < -200)  # never over the leg
        paint(tissue, part.astype(np.float32), value)
