"""The anatomy of one man's pelvis round the prostate, as T2-weighted MR shows it.

Lengths are millimetres. The origin is the prostate's middle; x runs to the right of the picture, y towards the back,
z from the base (-1, under the bladder) to the apex (+1). Bladder, seminal vesicles, rectum and the muscles beside are
as bright or as dark as parts of the prostate: where one begins is a matter of shape.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from parfocal.phantoms.fields import cover, paint, sample, shrunk, texture
from parfocal.phantoms.shapes import Outline, Plane, bends

TISSUES: Mapping[str, tuple[float, float, float]] = {
    # proton density (water = 1), T2 and its spread between patients in milliseconds; orders of size as in Bojorquez et
    # al., What are normal relaxation times of tissues at 3 T?, 2017
    "fat": (0.95, 115.0, 12.0),
    "muscle": (0.80, 38.0, 4.0),
    "marrow": (0.70, 85.0, 15.0),
    "cortex": (0.10, 10.0, 2.0),
    "urine": (1.00, 330.0, 130.0),
    "wall": (0.82, 58.0, 9.0),
    "central": (0.84, 74.0, 13.0),
    "nodule": (0.86, 98.0, 28.0),
    "peripheral": (0.92, 122.0, 32.0),
    "capsule": (0.75, 42.0, 6.0),
    "vesicle": (0.95, 170.0, 55.0),
    "lesion": (0.82, 62.0, 8.0),
    "content": (0.80, 70.0, 45.0),
    "gas": (0.02, 20.0, 2.0),
    "vein": (0.95, 150.0, 40.0),
}


@dataclass(frozen=True, slots=True)
class Blob:
    """A round thing in three dimensions: centre (x, y, z), radius in millimetres, and what it is made of."""

    centre: tuple[float, float, float]
    radius: float
    tissue: str


@dataclass(frozen=True, slots=True)
class Pelvis:
    """Everything about a patient that a scanner can see.

    Attributes:
        t2: T2 by tissue in milliseconds.
        axes: half width (x), half depth (y) and half height (z) of the prostate in millimetres.
        place: (x, y) of the prostate in the picture; turn: of the pelvis in radians; lean: shift of y along z.
        bent: harmonics of the prostate's outline; central: part of it that the central gland fills.
        shadow: how clearly the peripheral zone stands out, 0..1.
        blobs: nodules of the central gland and lesions, in millimetres from the prostate's middle.
        bladder: radius; lobe: how far the prostate bulges into it; rectum: radius, content: tissue in it.
        gap: fat between prostate and rectum; side: distance of the muscles beside; levator: their thickness.
        frame: how muscles and pubic bones differ from the usual: two angles and two sizes.
        veins: bright spots round the prostate, (x, y, radius).
        textures: two planes of smooth noise.
    """

    t2: Mapping[str, float]
    axes: tuple[float, float, float]
    place: tuple[float, float]
    turn: float
    lean: float
    bent: tuple[tuple[int, float, float], ...]
    central: float
    shadow: float
    blobs: tuple[Blob, ...]
    bladder: float
    lobe: float
    rectum: float
    content: str
    gap: float
    side: float
    levator: float
    frame: tuple[float, float, float, float]
    veins: tuple[tuple[float, float, float], ...]
    textures: tuple[Plane, Plane]


def draw_pelvis(seed: int, patient: int) -> Pelvis:
    """The pelvis of that patient; equal arguments give equal ones."""
    rng = np.random.default_rng([seed, patient, 0x9E1])
    grown = float(rng.beta(1.0, 1.4))  # benign enlargement, 0 to 1
    half = float(19 + 15 * grown + rng.normal(0, 1.8))
    axes = (half, half * float(rng.uniform(0.58, 0.95)), half * float(rng.uniform(0.78, 1.05)))
    central = float(np.clip(0.5 + 0.4 * grown + rng.normal(0, 0.06), 0.42, 0.92))
    return Pelvis(
        t2={name: float(max(0.4 * mean, rng.normal(mean, spread))) for name, (_, mean, spread) in TISSUES.items()},
        axes=axes,
        place=(float(rng.normal(0, 7)), float(rng.normal(-2, 9))),
        turn=float(np.clip(rng.normal(0, 0.08), -0.25, 0.25)),
        lean=float(rng.normal(4, 3)),
        bent=bends(rng, 0.05),
        central=central,
        shadow=float(rng.beta(2.0, 1.4)),
        blobs=_blobs(rng, axes, central, grown),
        bladder=float(rng.uniform(22, 48)),
        lobe=float(rng.uniform(0, 0.5) * grown),
        rectum=float(rng.uniform(9, 22)),
        content=str(rng.choice(("gas", "content", "urine"), p=(0.45, 0.4, 0.15))),
        gap=float(rng.uniform(0.3, 4.0)),
        side=float(rng.uniform(4, 16)),
        levator=float(rng.uniform(3, 7)),
        frame=(
            float(rng.normal(0, 0.16)),
            float(rng.normal(0, 0.2)),
            float(rng.uniform(0.75, 1.3)),
            float(rng.uniform(0.75, 1.3)),
        ),
        veins=tuple(_vein(rng, axes) for _ in range(rng.integers(4, 14))),
        textures=(texture(rng, 1.3), texture(rng, 4.0)),
    )


def _blobs(
    rng: np.random.Generator, axes: tuple[float, float, float], central: float, grown: float
) -> tuple[Blob, ...]:
    found = []
    for _ in range(rng.integers(1, 3 + int(9 * grown))):
        where = rng.uniform(-0.6, 0.6, 3) * np.asarray(axes) * central
        kind = "nodule" if rng.random() < 0.65 else "lesion"
        centre = (float(where[0]), float(where[1] - 0.15 * axes[1]), float(where[2]))
        found.append(Blob(centre, float(rng.uniform(3, 5 + 6 * grown)), kind))
    for _ in range(rng.choice(4, p=(0.4, 0.35, 0.15, 0.1))):  # cancer, most often at the back
        angle = float(rng.normal(np.pi / 2, 0.8))
        where = (0.8 * axes[0] * float(np.cos(angle)), 0.8 * axes[1] * float(np.sin(angle)))
        found.append(Blob((*where, float(rng.uniform(-0.6, 0.6) * axes[2])), float(rng.uniform(3, 9)), "lesion"))
    return tuple(found)


def _vein(rng: np.random.Generator, axes: tuple[float, float, float]) -> tuple[float, float, float]:
    angle, away = rng.uniform(0, 2 * np.pi), rng.uniform(1.05, 1.3)
    return (
        float(axes[0] * away * np.cos(angle)), float(axes[1] * away * np.sin(angle)), float(rng.uniform(1.0, 2.6))
    )  # fmt: skip


def gland(pelvis: Pelvis, z: float) -> Outline:
    """Outline of the prostate at height z (-1 base, +1 apex), in millimetres round its own axis.

    The base ends more bluntly than the apex; sections are flat at the back.
    """
    wide = float(np.clip(1 - abs(z) ** (3.2 if z < 0 else 2.2), 0.02, 1.0)) ** 0.5
    wide *= 1 + 0.1 * z * (z < 0)
    radii = (pelvis.axes[0] * wide, pelvis.axes[1] * wide * (1 + 0.12 * (z > 0) * z))
    return Outline((0.0, pelvis.lean * z), radii, 0.0, ((2, 0.03, 0.0), (3, 0.06, -np.pi / 2), *pelvis.bent))


@dataclass(frozen=True, slots=True)
class _Canvas:
    """A picture that is being painted: its pixels' coordinates in the pelvis's own axes, and tissues' brightness."""

    image: Plane
    u: Plane
    v: Plane
    pixel: float
    signal: Callable[[str], float]

    def put(self, outline: Outline, tissue: str) -> None:
        paint(self.image, cover(outline, self.u, self.v, self.pixel), self.signal(tissue))

    def put_plane(self, outline: Outline, value: Plane) -> None:
        paint(self.image, cover(outline, self.u, self.v, self.pixel), value.astype(np.float32))


def section(
    pelvis: Pelvis, z: float, x: Plane, y: Plane, pixel: float, signal: Callable[[str], float]
) -> tuple[Plane, Plane]:
    """The pelvis cut across at height z.

    Args:
        pelvis: the patient.
        z: -1 at the prostate's base, +1 at its apex.
        x, y: coordinates of the pixels in millimetres (picture axes), each [H, W].
        pixel: size in millimetres.
        signal: brightness of a tissue of `TISSUES` under the scanner.

    Returns:
        Signal [H, W] without any artefact, and the part of each pixel that is prostate, 0..1.
    """
    dx, dy = x - np.float32(pelvis.place[0]), y - np.float32(pelvis.place[1])
    cos, sin = np.float32(np.cos(pelvis.turn)), np.float32(np.sin(pelvis.turn))
    u, v = dx * cos + dy * sin, dy * cos - dx * sin
    shift = np.float32(12 * z)
    fine, broad = sample(pelvis.textures[0], u + shift, v), sample(pelvis.textures[1], u, v + shift)
    image = np.full(x.shape, signal("fat"), np.float32)
    image *= 1 + np.float32(0.07) * broad + np.float32(0.06) * fine
    canvas, outline = _Canvas(image, u, v, pixel, signal), gland(pelvis, z)
    _walls(canvas, pelvis, z)
    _bladder(canvas, pelvis, z, outline)
    _vesicles(canvas, z, outline, broad)
    for vu, vv, radius in pelvis.veins:
        canvas.put(Outline((vu, vv + outline.centre[1]), (radius, radius), 0.0), "vein")
    _rectum(canvas, pelvis, z)
    _prostate(canvas, pelvis, z, outline, fine, broad)
    return image, cover(outline, u, v, pixel)


def _walls(canvas: _Canvas, pelvis: Pelvis, z: float) -> None:
    """Hip muscles and bone at both sides, the pubic bones in front, and the sling that closes in towards the apex."""
    wide = pelvis.axes[0] + pelvis.side
    steep, fold, thick, large = pelvis.frame
    flat = 12.0 * thick
    for side in (-1, 1):
        muscle = Outline((side * (wide + 1 + flat), -4.0), (46.0, flat), np.pi / 2 + side * (0.25 + steep), pelvis.bent)
        canvas.put(muscle, "muscle")
        bone = Outline((side * (wide + 16 + 2 * flat), -12.0), (42.0, 15.0), np.pi / 2 + side * (0.3 + steep))
        canvas.put(bone, "cortex")
        canvas.put(shrunk(bone, 2.5), "marrow")
        close = wide - pelvis.levator - 0.55 * pelvis.axes[0] * max(0.0, z)  # the sling lies against the apex
        sling = Outline((side * close, 8.0), (26.0, pelvis.levator / 2), np.pi / 2 - side * (0.15 + steep))
        canvas.put(sling, "muscle")
        if z > -0.3:
            place = (side * 20.0, -pelvis.axes[1] - 22.0)
            pubis = Outline(place, (17.0 * large, 9.0), -side * (0.6 + fold), pelvis.bent)
            canvas.put(pubis, "cortex")
            canvas.put(shrunk(pubis, 2.0), "marrow")


def _bladder(canvas: _Canvas, pelvis: Pelvis, z: float, outline: Outline) -> None:
    """In front of the base; the lower, the smaller. The wall touches the prostate."""
    radius = pelvis.bladder * float(np.clip((0.25 - z) / 1.25, 0.0, 1.0)) ** 0.5
    if radius < 4:
        return
    front = outline.centre[1] - outline.radii[1] * (1 - pelvis.lobe * max(0.0, -z))
    whole = Outline((0.0, front - 0.62 * radius), (radius, radius * 0.68), 0.0, pelvis.bent[:2])
    canvas.put(whole, "wall")
    canvas.put(shrunk(whole, 3.0), "urine")


def _vesicles(canvas: _Canvas, z: float, outline: Outline, broad: Plane) -> None:
    """Bright, lobed, behind the base: like a piece of the peripheral zone."""
    size = float(np.clip(-z - 0.25, 0.0, 0.6)) / 0.6
    if size <= 0:
        return
    behind = outline.centre[1] + outline.radii[1] * 0.9 + 3 * size
    bright = np.float32(canvas.signal("vesicle")) * (1 - np.float32(0.25) * np.clip(broad, -1, 1.5))
    for side in (-1, 1):
        lobe = Outline((side * 15.0, behind), (16 * size + 2, 5.5 * size + 1), side * -0.25, ((3, 0.1, 0.0),))
        canvas.put_plane(lobe, bright)


def _rectum(canvas: _Canvas, pelvis: Pelvis, z: float) -> None:
    size = pelvis.rectum * (1 - 0.35 * max(0.0, z))
    back = pelvis.axes[1] * 0.93 + pelvis.gap + 0.9 * size + pelvis.lean * z
    whole = Outline((2.0, back), (size * 1.15, size * 0.9), 0.0, pelvis.bent)
    canvas.put(whole, "wall")
    canvas.put(shrunk(whole, min(4.0, 0.4 * size)), pelvis.content)


def _prostate(canvas: _Canvas, pelvis: Pelvis, z: float, outline: Outline, fine: Plane, broad: Plane) -> None:
    """A bright peripheral zone (as far as this patient has one) round a mixed central gland, in a thin capsule."""
    u, v, signal = canvas.u, canvas.v, canvas.signal
    bright = np.float32(signal("central") + pelvis.shadow * (signal("peripheral") - signal("central")))
    canvas.put_plane(outline, np.full_like(u, 0.6 * signal("capsule") + 0.4 * bright))
    canvas.put_plane(shrunk(outline, 1.1), bright * (1 + np.float32(0.08) * fine + np.float32(0.06) * broad))
    share = pelvis.central * (1 - 0.45 * max(0.0, z))
    radii = (outline.radii[0] * share, outline.radii[1] * share)
    inner = Outline((0.0, outline.centre[1] - outline.radii[1] * (1 - share) * 0.75), radii, 0.0, pelvis.bent)
    core = np.float32(signal("central")) * (1 + np.float32(0.14) * broad + np.float32(0.08) * fine)
    canvas.put_plane(inner, core)
    whole = cover(outline, u, v, canvas.pixel)
    for blob in pelvis.blobs:
        left = blob.radius**2 - (blob.centre[2] - z * pelvis.axes[2]) ** 2
        if left > 1:
            spot = Outline((blob.centre[0], blob.centre[1] + outline.centre[1]), (left**0.5, left**0.5), 0.0)
            paint(canvas.image, cover(spot, u, v, canvas.pixel, softness=1.0) * whole, signal(blob.tissue))
    tube = Outline((0.0, outline.centre[1] + 2 * z), (2.2, 2.2), 0.0)
    paint(canvas.image, cover(tube, u, v, canvas.pixel) * whole, 0.8 * signal("vesicle"))
