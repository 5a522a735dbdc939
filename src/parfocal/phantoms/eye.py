"""The anatomy of one patient's eye, drawn once from (seed, patient) and the same under every camera.

Lengths are degrees of visual angle (one degree is about 0.29 mm of retina). The origin is the disc's centre, x runs to
the right of the photograph and y down. Proportions follow textbook anatomy: a disc 5 to 8 degrees high and a little
narrower, the macula 15 degrees towards the temple and a degree or two below.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from parfocal.phantoms.shapes import Outline, Plane, bends, noise
from parfocal.phantoms.vessels import Vessel, grow

MILLIMETRES_PER_DEGREE = 0.29
"""Length of one degree of visual angle on the retina of an eye of average length."""


@dataclass(frozen=True, slots=True)
class Spot:
    """A small lesion: centre (x, y) and radius in degrees, aspect of its ellipse, strength 0..1."""

    centre: tuple[float, float]
    radius: float
    aspect: float
    angle: float
    strength: float


@dataclass(frozen=True, slots=True)
class Scar:
    """A pale round patch of the size of a disc, with no vessels coming out of it: the model's best trap."""

    outline: Outline
    strength: float
    softness: float
    pigment: float


@dataclass(frozen=True, slots=True)
class Crescent:
    """Peripapillary atrophy: a patch behind the disc that shows as a crescent beside it. Not part of the disc."""

    outline: Outline
    strength: float
    pale: bool


@dataclass(frozen=True, slots=True)
class Eye:
    """Everything about a patient that a camera can see.

    Attributes:
        temporal: +1.0 when the macula is to the right of the disc in the photograph (a left eye), else -1.0.
        pigment: 0 (fair) to 1 (dark).
        disc, cup: outlines; the truth is what lies inside. The cup is also kept inside the disc when rendered.
        disc_contrast, cup_contrast: how far disc and cup stand out, 0..1.
        rim_softness, cup_softness: width of the blurred edge as a fraction of the radius.
        tessellation: how much of the choroid's vessels shows, 0..1.
        mottle, choroid: smooth noise over the retina, [side, side] float32.
    """

    temporal: float
    pigment: float
    redness: float
    disc: Outline
    cup: Outline
    disc_contrast: float
    cup_contrast: float
    rim_softness: float
    cup_softness: float
    halo: float
    crescent: Crescent | None
    macula: tuple[float, float]
    tessellation: float
    mottle: Plane
    choroid: Plane
    vessels: tuple[Vessel, ...]
    exudates: tuple[Spot, ...]
    haemorrhages: tuple[Spot, ...]
    scars: tuple[Scar, ...]

    @property
    def cup_to_disc(self) -> float:
        """Ratio of the mean radii of cup and disc."""
        return float(np.sqrt(np.prod(self.cup.radii) / np.prod(self.disc.radii)))


def draw_eye(seed: int, patient: int) -> Eye:
    """The eye of that patient; equal arguments give equal eyes."""
    rng = np.random.default_rng([seed, patient, 0xE1E])
    temporal = 1.0 if rng.random() < 0.5 else -1.0
    disc = _disc(rng)
    radius = float(np.sqrt(np.prod(disc.radii)))
    trunk = (-temporal * radius * rng.uniform(0.0, 0.35), radius * rng.uniform(-0.2, 0.2))
    macula = (temporal * rng.uniform(13.5, 17.0), rng.uniform(0.5, 3.0))
    diseased = rng.random() < 0.55
    scars = _scars(rng, radius)
    return Eye(
        temporal=temporal,
        pigment=float(rng.beta(1.6, 1.6)),
        redness=float(rng.normal(0.0, 1.0)),
        disc=disc,
        cup=_cup(rng, disc, temporal),
        disc_contrast=float(rng.uniform(0.5, 1.0)),
        cup_contrast=float(rng.uniform(0.6, 1.0)),
        rim_softness=float(rng.uniform(0.03, 0.14)),
        cup_softness=float(rng.uniform(0.06, 0.15)),
        halo=float(rng.uniform(0.0, 1.0)),
        crescent=_crescent(rng, disc, temporal) if rng.random() < 0.45 else None,
        macula=macula,
        tessellation=float(rng.beta(1.3, 2.0)),
        mottle=noise(rng, 160, 2.2) + 0.6 * noise(rng, 160, 0.6),
        choroid=noise(rng, 256, 0.75),
        vessels=grow(rng, temporal, trunk, float(rng.uniform(0.45, 0.75))),
        exudates=_exudates(rng, macula) if diseased else (),
        haemorrhages=_haemorrhages(rng) if diseased or rng.random() < 0.3 else (),
        scars=scars,
    )


def _disc(rng: np.random.Generator) -> Outline:
    height = float(np.clip(rng.normal(6.6, 0.75), 5.0, 8.6)) / 2
    aspect = float(np.clip(rng.normal(0.9, 0.07), 0.7, 1.02))
    tilt = float(np.pi / 2 + rng.normal(0.0, 0.35))
    return Outline((0.0, 0.0), (height, height * aspect), tilt, bends(rng, 0.02))


def _cup(rng: np.random.Generator, disc: Outline, temporal: float) -> Outline:
    ratio = 0.2 + 0.7 * float(rng.beta(2.4, 2.4))
    radii = (disc.radii[0] * ratio, disc.radii[1] * ratio * float(rng.uniform(0.9, 1.08)))
    slack = (1.0 - ratio) * disc.radii[1]
    centre = (temporal * slack * rng.uniform(-0.05, 0.35), slack * rng.uniform(-0.3, 0.3))
    return Outline(centre, radii, disc.angle + float(rng.normal(0.0, 0.25)), bends(rng, 0.035))


def _crescent(rng: np.random.Generator, disc: Outline, temporal: float) -> Crescent:
    grown = 1.0 + float(rng.uniform(0.05, 0.25))
    shift = disc.radii[1] * float(rng.uniform(0.1, 0.35))
    angle = float(rng.normal(0.0, 0.6))
    centre = (temporal * shift * float(np.cos(angle)), shift * float(np.sin(angle)))
    outline = Outline(centre, (disc.radii[0] * grown, disc.radii[1] * grown), disc.angle, bends(rng, 0.05))
    return Crescent(outline, float(rng.uniform(0.35, 0.9)), bool(rng.random() < 0.7))


def _scars(rng: np.random.Generator, radius: float) -> tuple[Scar, ...]:
    found = []
    for _ in range(rng.choice(4, p=(0.3, 0.4, 0.2, 0.1))):
        size = radius * float(rng.uniform(0.45, 1.15))
        distance = radius * 2.2 + size + float(rng.uniform(0.0, 16.0))
        angle = float(rng.uniform(0, 2 * np.pi))
        outline = Outline(
            (distance * float(np.cos(angle)), distance * float(np.sin(angle))),
            (size, size * float(rng.uniform(0.75, 1.0))),
            float(rng.uniform(0, np.pi)),
            bends(rng, 0.04),
        )
        found.append(
            Scar(outline, float(rng.uniform(0.35, 0.9)), float(rng.uniform(0.06, 0.4)), float(rng.uniform(0.0, 0.8)))
        )
    return tuple(found)


def _exudates(rng: np.random.Generator, macula: tuple[float, float]) -> tuple[Spot, ...]:
    found = []
    for _ in range(rng.integers(1, 4)):
        spread, count = rng.uniform(0.8, 3.2), rng.integers(4, 28)
        middle = np.asarray(macula) * rng.uniform(0.5, 1.3) + rng.normal(0.0, 6.0, 2)
        for x, y in middle + rng.normal(0.0, spread, (count, 2)):
            if np.hypot(x, y) > 5.5:
                size = float(np.clip(rng.lognormal(-1.5, 0.6), 0.1, 1.1))
                found.append(_spot(rng, (float(x), float(y)), size, rng.uniform(0.5, 1.0)))
    return tuple(found)


def _haemorrhages(rng: np.random.Generator) -> tuple[Spot, ...]:
    found = []
    for x, y in rng.normal(0.0, 12.0, (rng.integers(2, 16), 2)):
        if np.hypot(x, y) > 4.8:
            size = float(np.clip(rng.lognormal(-1.2, 0.7), 0.12, 1.6))
            found.append(_spot(rng, (float(x), float(y)), size, rng.uniform(0.35, 0.95)))
    return tuple(found)


def _spot(rng: np.random.Generator, centre: tuple[float, float], radius: float, strength: float) -> Spot:
    return Spot(centre, radius, float(rng.uniform(0.5, 1.0)), float(rng.uniform(0, np.pi)), float(strength))
