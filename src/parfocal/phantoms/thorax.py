"""The anatomy of one patient's chest as a radiograph sees it: outlines in the plane of the picture.

Lengths are millimetres. The origin is on the spine at the height of the lung's hilum; x runs to the right of the
picture (the patient's left), y down. Lungs are what a radiologist outlines: without the heart, the mediastinum and what
lies behind the diaphragm, and with the parts that disease has made opaque.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from parfocal.phantoms.fields import closed_curve, texture
from parfocal.phantoms.shapes import Plane

Curve = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Shadow:
    """Something opaque on one lung: `kind` is effusion, consolidation, nodule or cap.

    Attributes:
        side: -1.0 for the lung on the left of the picture, +1.0 for the other.
        where: (outwards from the spine, down) in millimetres.
        size: radius, or height of the fluid over the diaphragm, in millimetres.
        strength: part of the lung's air that is gone, 0..1.
    """

    kind: str
    side: float
    where: tuple[float, float]
    size: float
    strength: float


@dataclass(frozen=True, slots=True)
class Thorax:
    """Everything about a patient that an X-ray passes.

    Attributes:
        half: width of a lung's outer edge from the spine; up, down: heights of apex and diaphragm from the hilum.
        heart: part of the left lung's width that the heart takes; aorta: reach of its knob beyond the mediastinum.
        domes: how high each half of the diaphragm arches, left of the picture first; drop: how much lower the left is.
        depth: of the chest from front to back; fat: extra width of the body; breast: thickness, 0 for none.
        ribs: opacity of the ribs; slope: how steeply they fall; first: height of the highest.
        pose: (turn in radians, shift x, shift y, size) of the patient before the plate.
        yaw: turn about the spine, -1..1: one lung looks wider than the other.
        gas: in stomach and bowel under the diaphragm, each (x, depth under the dome, radius): as dark as lung.
        wires: lines of monitors and tubes; box: a pacemaker's (x, y), or None.
        jitter: of the lungs' landmarks, [2, 7, 2].
        textures: two planes of smooth noise; vessels: seed of the lung's vessels.
    """

    half: float
    up: float
    down: float
    heart: float
    aorta: float
    domes: tuple[float, float]
    drop: float
    depth: float
    fat: float
    breast: float
    ribs: float
    slope: float
    first: float
    pose: tuple[float, float, float, float]
    yaw: float
    gas: tuple[tuple[float, float, float], ...]
    wires: tuple[Curve, ...]
    box: tuple[float, float] | None
    shadows: tuple[Shadow, ...]
    jitter: npt.NDArray[np.float64]
    textures: tuple[Plane, Plane]
    vessels: int


def draw_thorax(seed: int, patient: int) -> Thorax:
    """The chest of that patient; equal arguments give equal chests."""
    rng = np.random.default_rng([seed, patient, 0x7400])
    breath = float(rng.normal(0.0, 1.0))
    female = rng.random() < 0.5
    return Thorax(
        half=float(np.clip(rng.normal(126, 11), 98, 152)),
        up=float(np.clip(rng.normal(118, 12), 88, 146)),
        down=float(np.clip(rng.normal(92 + 12 * breath, 10), 48, 132)),
        heart=float(np.clip(rng.normal(0.5, 0.11), 0.3, 0.74)),
        aorta=float(rng.uniform(2, 16)),
        domes=(float(rng.uniform(12, 38)), float(rng.uniform(10, 34))),
        drop=float(rng.normal(9, 9)),
        depth=float(rng.uniform(170, 260)),
        fat=float(rng.uniform(8, 50)),
        breast=float(rng.uniform(15, 55)) if female else 0.0,
        ribs=float(rng.uniform(0.9, 2.2)),
        slope=float(rng.uniform(0.12, 0.5)),
        first=float(rng.uniform(-8, 8)),
        pose=_pose(rng),
        yaw=float(np.clip(rng.normal(0, 0.35), -1, 1)),
        gas=_gas(rng),
        wires=tuple(_wire(rng) for _ in range(rng.choice(4, p=(0.55, 0.2, 0.15, 0.1)))),
        box=(float(rng.uniform(60, 100)), float(rng.uniform(-95, -55))) if rng.random() < 0.1 else None,
        shadows=_shadows(rng) if rng.random() < 0.7 else (),
        jitter=rng.normal(0.0, 3.5, (2, 7, 2)),
        textures=(texture(rng, 1.6), texture(rng, 7.0)),
        vessels=int(rng.integers(2**31)),
    )


def _pose(rng: np.random.Generator) -> tuple[float, float, float, float]:
    turn, x, y = rng.normal(0.0, (0.06, 14.0, 13.0))
    return float(np.clip(turn, -0.2, 0.2)), float(np.clip(x, -32, 32)), float(y), float(rng.uniform(0.92, 1.26))


def _gas(rng: np.random.Generator) -> tuple[tuple[float, float, float], ...]:
    found = []
    if rng.random() < 0.7:
        found.append((float(rng.uniform(45, 95)), 12.0, float(rng.uniform(14, 38))))
    for _ in range(rng.choice(5, p=(0.5, 0.2, 0.15, 0.1, 0.05))):  # loops of bowel, on both sides
        found.append((float(rng.uniform(-105, 105)), float(rng.uniform(8, 30)), float(rng.uniform(9, 26))))
    return tuple(found)


def _shadows(rng: np.random.Generator) -> tuple[Shadow, ...]:
    found = []
    for _ in range(rng.integers(1, 4)):
        kind = str(rng.choice(("effusion", "consolidation", "nodule", "cap"), p=(0.3, 0.4, 0.15, 0.15)))
        side = 1.0 if rng.random() < 0.5 else -1.0
        where = (float(rng.uniform(25, 125)), float(rng.uniform(-90, 80)))
        size = {"effusion": (15.0, 100.0), "consolidation": (25.0, 75.0), "nodule": (6.0, 18.0), "cap": (12.0, 40.0)}
        found.append(Shadow(kind, side, where, float(rng.uniform(*size[kind])), float(rng.uniform(0.55, 1.0))))
    return tuple(found)


def _wire(rng: np.random.Generator) -> Curve:
    ends = rng.uniform((-140, -160), (140, 160), (2, 2))
    along = np.linspace(0, 1, 24)[:, None]
    bow = np.sin(np.pi * along) * rng.normal(0, 28, 2)
    return np.asarray(ends[0] + (ends[1] - ends[0]) * along + bow)


def placed(thorax: Thorax, points: Curve) -> Curve:
    """[N, 2] of the patient's own plane as the plate sees them."""
    turn, dx, dy, size = thorax.pose
    wide = 1.0 + 0.16 * thorax.yaw * np.sign(points[:, :1])  # towards the plate on one side, away on the other
    own = points * np.hstack([wide, np.ones_like(wide)]) * size
    rotation = np.array([[np.cos(turn), np.sin(turn)], [-np.sin(turn), np.cos(turn)]])
    return np.asarray(own @ rotation + np.array([dx, dy + 8.0]))


def lung(thorax: Thorax, side: float) -> Curve:
    """Outline [N, 2] of one lung in the patient's own plane; side -1.0 is on the left of the picture."""
    w, up = thorax.half, thorax.up
    down = thorax.down + (thorax.drop if side > 0 else 0.0)
    dome = thorax.domes[0 if side < 0 else 1]
    heart = (thorax.heart if side > 0 else 0.16 + 0.25 * thorax.heart) * w
    knob = 17 + (thorax.aorta if side > 0 else 0.3 * thorax.aorta)
    marks = [
        (0.40 * w, -up),
        (0.68 * w, -0.86 * up),
        (0.90 * w, -0.40 * up),
        (1.00 * w, 0.15 * down),
        (1.03 * w, 0.70 * down),
        (1.00 * w, down + 16),
        (max(0.62 * w, 0.5 * (heart + w) + 4), down - dome),
        (heart + 10, down - 0.6 * dome),
        (heart, down - 0.35 * dome - 8),
        (heart * 0.92, 0.45 * down),
        (0.24 * w + 6, -0.06 * up),
        (knob, -0.42 * up),
        (16.0, -0.82 * up),
    ]
    points = np.asarray(marks)
    points[:7] += thorax.jitter[0 if side < 0 else 1]  # not round the heart: it has its own shape
    points[:, 0] = np.maximum(points[:, 0], 12.0)
    corners = np.insert(points, 5, points[5], axis=0)  # the costophrenic angle is sharp
    return closed_curve([(side * x, y) for x, y in corners.tolist()])


def heart(thorax: Thorax) -> Curve:
    """Outline of the heart with the great vessels, from the aorta's knob to the diaphragm."""
    w, left, right = thorax.half, thorax.heart * thorax.half, (0.16 + 0.25 * thorax.heart) * thorax.half
    low = thorax.down + 0.5 * thorax.drop
    knob, top = 17 + thorax.aorta, thorax.up
    marks = [
        (-15.0, -0.9 * top), (15.0, -0.9 * top), (knob, -0.45 * top), (0.2 * w, -0.1 * top), (left * 0.9, 0.45 * low),
        (left, 0.85 * low), (0.5 * left, low + 8), (-0.6 * right, low + 6), (-right, 0.6 * low), (-0.2 * w, -0.1 * top),
        (-18.0, -0.45 * top),
    ]  # fmt: skip
    return closed_curve(marks)


def rib(thorax: Thorax, number: int, side: float, front: bool) -> Curve:
    """The line along one rib, [N, 2]: behind it arches out from the spine, in front it falls towards the breastbone."""
    w = thorax.half + 4
    top = -thorax.up + 4 + thorax.first + number * (thorax.up + thorax.down + 30) / 9.6
    reach = w * float(np.clip(0.62 + 0.12 * number, 0.6, 1.0))
    t = np.linspace(0, 1, 20)
    if front:
        x = reach * (1 - 0.62 * t)
        y = top + 26 + 0.5 * thorax.slope * reach + 46 * t - 12 * t**2
    else:
        x = 14 + (reach - 14) * np.sin(t * np.pi / 2)
        y = top - 12 * np.sin(np.pi * t) + thorax.slope * reach * t**2 + 22 * t**6
    return np.stack([side * x, y], axis=1)


def vessels(thorax: Thorax) -> list[tuple[Curve, float, float]]:
    """Branching vessels of both lungs from the hilum outwards: (line, width in millimetres, strength)."""
    rng = np.random.default_rng(thorax.vessels)
    found: list[tuple[Curve, float, float]] = []
    for side in (-1.0, 1.0):
        for angle in np.linspace(-1.35, 1.4, 11):
            _branch(rng, found, np.array([side * 26.0, -2.0 + 8 * angle]), angle, side, 5.0, 0)
    return found


def _branch(
    rng: np.random.Generator, found: list[tuple[Curve, float, float]], start: Curve, angle: float, side: float,
    width: float, depth: int,
) -> None:  # fmt: skip
    length = rng.uniform(22, 42) * 0.85**depth
    heading = angle + np.cumsum(rng.normal(0, 0.09, 8))
    steps = np.stack([side * np.cos(heading), np.sin(heading)], axis=1) * length / 8
    line = np.vstack([start, start + np.cumsum(steps, axis=0)])
    found.append((line, width * float(rng.uniform(0.6, 1.1)), 0.9 * 0.8**depth))
    if depth < 3:
        for turn in (-1, 1):
            _branch(
                rng, found, line[-1], float(heading[-1] + turn * rng.uniform(0.2, 0.55)), side, width * 0.68, depth + 1
            )
