"""Chest radiographs on two simulated systems: path lengths through the body, darkened as a detector does.

Paper 002 calls its lung pictures CT, but the sets that it cites are the radiographs of Montgomery and Shenzhen; so are
these. A patient has one exposure, or several that differ in all but the anatomy.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import cv2
import numpy as np

from parfocal.phantoms import thorax as anatomy
from parfocal.phantoms.fields import Grid, closed_curve, filled, sample, stroked
from parfocal.phantoms.shapes import Plane, smooth_step
from parfocal.phantoms.thorax import Shadow, Thorax, draw_thorax
from parfocal.phantoms.volume import Volume, nearest, patient_name

SLICES = 1
"""Exposures of a patient unless told otherwise."""
WATER, BONE = 0.0175, 0.034
"""Attenuation a millimetre at the energies of a chest radiograph: of water, and what bone adds to it."""


@dataclass(frozen=True, slots=True)
class System:
    """What is fixed about an X-ray system.

    Attributes:
        description: for people.
        height, width: of the picture; pixel: size in millimetres on the plate.
        scatter: part of the light that is scattered; blur: sigma in millimetres.
        photons: at full light in one pixel, (lowest, highest).
        local: how much the local mean is taken out, as processing stations do, 0..1.
        gamma: (lowest, highest) exponent of the tone curve.
        shutter: greatest width in millimetres of the border that the collimator covers.
        letters: whether a marker is put beside the patient.
    """

    description: str
    height: int
    width: int
    pixel: float
    scatter: float
    blur: float
    photons: tuple[float, float]
    local: float
    gamma: tuple[float, float]
    shutter: float
    letters: bool


SCANNERS: Mapping[str, System] = {
    "M": System(
        "film-like digital system: wide range, little processing, marker beside the patient",
        height=256,
        width=280,
        pixel=1.5,
        scatter=0.12,
        blur=0.8,
        photons=(3e3, 1.5e4),
        local=0.15,
        gamma=(0.85, 1.15),
        shutter=14.0,
        letters=True,
    ),
    "S": System(
        "mobile system with storage plates: scattered light, grain, strongly equalised pictures",
        height=288,
        width=288,
        pixel=1.4,
        scatter=0.45,
        blur=1.6,
        photons=(6e2, 3e3),
        local=0.75,
        gamma=(0.6, 1.3),
        shutter=40.0,
        letters=True,
    ),
}


def volume(scanner: str, patient: int, seed: int, slices: int = 0) -> Volume:
    """Expose a patient's chest.

    Args:
        scanner: key in `SCANNERS`.
        patient: number of the patient, 0 or more; anatomy depends on it and on `seed` alone.
        seed: names the population, 0 or more; equal arguments give equal pictures.
        slices: how many exposures; 0 for `SLICES`.

    Returns:
        Twelve-bit grey values, bone bright, mask ``lung`` (both lungs).

    Raises:
        UsageError: there is no such system, or a number is negative.
    """
    if scanner not in SCANNERS:
        raise nearest("X-ray system", scanner, SCANNERS)
    name, system = patient_name(patient, seed), SCANNERS[scanner]
    thorax = draw_thorax(seed, patient)
    grid = Grid(system.height, system.width, system.pixel)
    parts = [filled(grid, [anatomy.placed(thorax, anatomy.lung(thorax, side))]) for side in (-1.0, 1.0)]
    truth = (np.maximum(*parts) >= 0.5).astype(np.uint8)
    through = absorbed(thorax, grid, parts[0], parts[1])
    key = int.from_bytes(scanner.encode(), "big")
    count = slices or SLICES
    shots = [_developed(through, system, np.random.default_rng([seed, patient, key, shot])) for shot in range(count)]
    spacing = (0.0, system.pixel, system.pixel)
    return Volume("lung", scanner, name, np.stack(shots), {"lung": np.stack([truth] * count)}, spacing)


def absorbed(thorax: Thorax, grid: Grid, left: Plane, right: Plane) -> Plane:
    """Line integral of attenuation through the patient, [H, W]; `left`, `right`: part of each pixel that is lung."""
    x, y = grid.planes()
    turn, dx, dy, size = thorax.pose
    cos, sin = np.float32(np.cos(turn) / size), np.float32(np.sin(turn) / size)
    px, py = x - np.float32(dx), y - np.float32(dy + 8)
    own = (px * cos + py * sin, py * cos - px * sin)  # without the yaw: it changes the lungs and bones alone
    body, air = _body(thorax, own), np.zeros_like(x)
    for side, part in ((-1.0, left), (1.0, right)):
        air += _air(thorax, grid, side, part, own)
    tissue = body - np.minimum(air, 0.92 * body)
    fine = 1 + np.float32(0.02) * sample(thorax.textures[0], *own)
    bones, metal = _skeleton(thorax, grid, own), _devices(thorax, grid)
    return np.asarray(tissue * fine * np.float32(WATER) + bones + metal, np.float32)


def _body(thorax: Thorax, own: tuple[Plane, Plane]) -> Plane:
    """Millimetres of soft tissue if the chest held no air."""
    x, y = own
    wide = thorax.half + 14 + thorax.fat
    slant = np.float32(thorax.up + 26) - np.abs(x) * np.float32(0.22)  # the shoulders fall towards the arms
    shoulder = smooth_step((np.float32(30) - y - np.float32(0.35 * thorax.up)) / np.float32(110))
    across = np.clip(1 - (x / (wide * (1 + 0.45 * shoulder))) ** 2, 0, 1)
    neck = np.clip(1 - (x / np.float32(60)) ** 2, 0, 1)
    above = smooth_step(np.asarray((-y - slant) / np.float32(34), np.float32))
    thick = np.sqrt(across * (1 - above) + neck * above) * (thorax.depth + 0.5 * thorax.fat)
    belly = smooth_step((y - np.float32(thorax.down - 15)) / np.float32(60)) * np.float32(25)
    if thorax.breast:
        for side in (-1, 1):
            reach = np.hypot((x - side * 0.58 * thorax.half) / 58, (y - 0.62 * thorax.down) / 52)
            thick += np.float32(thorax.breast) * np.clip((1 - reach) * 6, 0, 1) * np.sqrt(np.clip(1.2 - reach, 0, 1))
    middle = np.float32(40) * np.exp(-((x / 24) ** 2))  # what lies before the spine
    gas = np.zeros_like(x)
    for across_at, under, radius in thorax.gas:
        dome = thorax.domes[0] if across_at < 0 else thorax.domes[1] - thorax.drop
        inside = 1 - np.hypot((x - across_at) / (1.4 * radius), (y - thorax.down + dome - under - radius) / radius)
        gas = np.maximum(gas, 2.4 * radius * np.clip(inside * 3, 0, 1))
    thicker: Plane = np.maximum(thick + belly + middle * (thick > 20) - gas, 0).astype(np.float32)
    return thicker


def _air(thorax: Thorax, grid: Grid, side: float, part: Plane, own: tuple[Plane, Plane]) -> Plane:
    """Millimetres of air in one lung: deep inside, none at the edge, less where heart, vessels or disease are."""
    edge = cv2.distanceTransform((part >= 0.5).astype(np.uint8), cv2.DIST_L2, 5) * np.float32(grid.pixel)
    lateral = np.clip(own[0] * np.float32(side) / np.float32(thorax.half), 0, 1)
    steep = np.float32(34) - np.float32(22) * lateral  # the outer wall is seen edge-on, the diaphragm is not
    deep = (1 - np.exp(-(edge + 2) / steep)) * part * np.float32(0.62 * thorax.depth)
    lines = [(anatomy.placed(thorax, line), width, ink) for line, width, ink in anatomy.vessels(thorax)]
    filling = np.float32(0.20) * cv2.GaussianBlur(stroked(grid, lines), (0, 0), 0.8)
    filling = filling + np.float32(0.05) * sample(thorax.textures[0], *own)
    behind = cv2.GaussianBlur(filled(grid, [anatomy.placed(thorax, anatomy.heart(thorax))]), (0, 0), 2.0)
    open_ = np.clip(1 - filling, 0, 1) * (1 - np.float32(0.8) * behind)
    for shadow in thorax.shadows:
        if shadow.side == side:
            open_ *= 1 - _opacity(thorax, shadow, own)
    return np.asarray(deep * open_)


def _opacity(thorax: Thorax, shadow: Shadow, own: tuple[Plane, Plane]) -> Plane:
    """Part of the air that disease has replaced, 0..1."""
    out, y = own[0] * np.float32(shadow.side), own[1]
    ragged = sample(thorax.textures[1], *own)
    if shadow.kind == "effusion":  # level with a rim that climbs the outer wall
        climb = 32 * np.exp(-np.clip(thorax.half - out, 0, None) / 16)
        level = thorax.down + 10 - shadow.size - climb
        return np.asarray(smooth_step((y - level + 3 * ragged) / np.float32(16)) * np.float32(shadow.strength))
    if shadow.kind == "cap":
        depth = -thorax.up + shadow.size - y + 5 * ragged
        return np.asarray(smooth_step(depth / np.float32(10)) * np.float32(shadow.strength))
    where = shadow.where if shadow.kind == "nodule" else _at_the_edge(thorax, shadow)
    reach = np.hypot(out - where[0], y - where[1]) / np.float32(shadow.size)
    rough = 0.05 if shadow.kind == "nodule" else 0.28
    soft = 3.0 if shadow.kind == "nodule" else 1.6
    inside = (1 - reach + np.float32(rough) * ragged) * np.float32(soft) + np.float32(0.3)
    return np.asarray(smooth_step(inside.astype(np.float32)) * np.float32(shadow.strength))


def _at_the_edge(thorax: Thorax, shadow: Shadow) -> tuple[float, float]:
    """The point of the lung's outline nearest to where the shadow was drawn: it hides a piece of the border."""
    outline = anatomy.lung(thorax, shadow.side) * np.array([shadow.side, 1.0])
    nearest_point = outline[np.argmin(np.hypot(*(outline - np.asarray(shadow.where)).T))]
    return float(0.8 * nearest_point[0] + 0.2 * shadow.where[0]), float(0.8 * nearest_point[1] + 0.2 * shadow.where[1])


def _skeleton(thorax: Thorax, grid: Grid, own: tuple[Plane, Plane]) -> Plane:
    """What ribs, spine, collar bones and shoulder blades add."""
    behind, front = [], []
    for side in (-1.0, 1.0):
        for number in range(10):
            behind.append((anatomy.placed(thorax, anatomy.rib(thorax, number, side, front=False)), 9.0, 1.0))
            if number < 7:
                front.append((anatomy.placed(thorax, anatomy.rib(thorax, number, side, front=True)), 10.0, 0.6))
    bones = _tubes(stroked(grid, behind)) + _tubes(stroked(grid, front))
    x, y = own
    joints = 1 + np.float32(0.22) * np.sin(y * np.float32(2 * np.pi / 24))
    spine = np.clip((19 - np.abs(x)) / 5, 0, 1) * joints * np.float32(1.5)
    collars = []
    for side in (-1.0, 1.0):
        t = np.linspace(0, 1, 12)
        line = np.stack([side * (18 + 118 * t), -thorax.up + 16 - 34 * t + 10 * np.sin(2 * np.pi * t)], axis=1)
        collars.append((anatomy.placed(thorax, line), 11.0, 1.0))
    blades = np.zeros_like(x)
    for side in (-1, 1):
        reach = np.hypot((x * side - 1.08 * thorax.half) / 32, (y + 0.55 * thorax.up) / 62)
        blades += np.clip((1 - reach) * 4, 0, 1)
    total = bones * thorax.ribs + spine + _tubes(stroked(grid, collars)) * 1.3 + blades * 0.55
    return np.asarray(total * np.float32(BONE * 11), np.float32)


def _tubes(lines: Plane) -> Plane:
    """Bones are tubes: their walls are brighter than their middle."""
    wide = cv2.GaussianBlur(lines, (0, 0), 2.0)
    return np.asarray(lines * (1 - np.float32(0.55) * wide))


def _devices(thorax: Thorax, grid: Grid) -> Plane:
    lines = [(anatomy.placed(thorax, wire), 1.8, 1.0) for wire in thorax.wires]
    metal = stroked(grid, lines) * np.float32(1.1)
    if thorax.box is not None:
        x, y = thorax.box
        corners = [(x - 20, y - 16), (x + 18, y - 18), (x + 20, y + 14), (x - 17, y + 17)]
        metal += filled(grid, [anatomy.placed(thorax, closed_curve(corners))]) * np.float32(4.0)
    return np.asarray(metal)


def _developed(through: Plane, system: System, rng: np.random.Generator) -> np.ndarray:
    """Twelve bits from line integrals: light, scattered light, grain, tone, the collimator's border and a marker."""
    light = cv2.exp(-through)
    wide = cv2.GaussianBlur(light, (0, 0), 42 / system.pixel)
    light = cv2.GaussianBlur(light, (0, 0), system.blur / system.pixel) + np.float32(system.scatter) * 2 * wide
    light += np.float32(0.004)
    photons = light * np.float32(rng.uniform(*system.photons) / 0.05)
    light = light * (1 + rng.standard_normal(light.shape, dtype=np.float32) / np.sqrt(photons + 1))
    dense = -cv2.log(np.maximum(light, np.float32(2e-3)))
    dense = dense - np.float32(system.local) * cv2.GaussianBlur(dense, (0, 0), 30 / system.pixel)
    low, high = np.percentile(dense, (rng.uniform(0.5, 6), rng.uniform(97, 99.7)))
    grey = np.clip((dense - np.float32(low)) / np.float32(high - low), 0, 1) ** np.float32(rng.uniform(*system.gamma))
    _marker(grey, system, rng)
    _shutter(grey, system, rng)
    return np.asarray(np.round(grey * 4095), np.int16)


def _marker(grey: Plane, system: System, rng: np.random.Generator) -> None:
    if system.letters and rng.random() < 0.7:
        at = (int(rng.uniform(0.04, 0.14) * system.width), int(rng.uniform(0.1, 0.2) * system.height))
        letter = "R" if rng.random() < 0.5 else "PA"
        lead = np.zeros(grey.shape, np.uint8)
        cv2.putText(lead, letter, at, cv2.FONT_HERSHEY_SIMPLEX, 0.6, 255, 2, cv2.LINE_AA)
        np.maximum(grey, lead.astype(np.float32) / np.float32(255), out=grey)


def _shutter(grey: Plane, system: System, rng: np.random.Generator) -> None:
    """The collimator's blades: a border without light, which the picture shows black or white."""
    value = 0.0 if rng.random() < 0.75 else 1.0
    widths = np.maximum(rng.uniform(-1.5, 1.0, 4), 0) * system.shutter / system.pixel
    top, bottom, left, right = widths.astype(int)
    grey[:top], grey[system.height - bottom :] = value, value
    grey[:, :left], grey[:, system.width - right :] = value, value
