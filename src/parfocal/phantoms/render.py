"""From an eye and a view to the light that leaves the retina, in four bands, and the true masks."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from parfocal.phantoms.eye import Eye, Scar, Spot
from parfocal.phantoms.shapes import EXTENT, Plane, inside, smooth_step
from parfocal.phantoms.vessels import Vessel

Bands = npt.NDArray[np.float32]
Mask = npt.NDArray[np.uint8]

# Reflectance by band: blue, green, red, near infrared. Relative values, set by eye against published photographs.
# What matters is their order: in visible light the disc is the brightest thing there is, in the infrared the choroid
# and bare sclera outshine it, so that a scanning-laser camera shows a dark disc (as those cameras do).
FAIR = np.array([0.045, 0.160, 0.560, 0.640], np.float32)
DARK = np.array([0.022, 0.062, 0.240, 0.520], np.float32)
DISC = np.array([0.130, 0.400, 0.780, 0.330], np.float32)
CUP = np.array([0.300, 0.660, 0.940, 0.220], np.float32)
SCAR = np.array([0.150, 0.430, 0.740, 0.850], np.float32)
EXUDATE = np.array([0.100, 0.560, 0.820, 0.780], np.float32)
CHOROID = np.array([0.006, 0.035, 0.17, 0.14], np.float32)
VEIN = np.array([1.50, 1.35, 0.62, 0.30], np.float32)  # absorbance of a wide vessel
ARTERY = np.array([1.25, 1.05, 0.30, 0.16], np.float32)
HAEMORRHAGE = np.array([1.5, 1.5, 0.80, 0.25], np.float32)


@dataclass(frozen=True, slots=True)
class View:
    """Where a camera looks: retina in degrees to pixels by rotation, scale and shift.

    Attributes:
        height, width: of the photograph in pixels.
        scale: pixels a degree.
        angle: rotation in radians.
        disc_at: (x, y) in pixels of the disc's centre.
    """

    height: int
    width: int
    scale: float
    angle: float
    disc_at: tuple[float, float]

    def matrix(self, units_per_degree: float = 1.0, origin: float = 0.0) -> npt.NDArray[np.float64]:
        """2 x 3 affine map to pixels from a plane with that many units a degree and the disc's centre at `origin`."""
        s = self.scale / units_per_degree
        linear = np.array([[np.cos(self.angle), -np.sin(self.angle)], [np.sin(self.angle), np.cos(self.angle)]]) * s
        shift = np.asarray(self.disc_at) - linear @ np.array([origin, origin])
        return np.hstack([linear, shift[:, None]])

    def pixels(self, points: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        """[N, 2] degrees to [N, 2] pixels."""
        matrix = self.matrix().astype(np.float32)
        return points @ matrix[:, :2].T + matrix[:, 2]

    def window(self, centre: tuple[float, float], reach: float) -> tuple[slice, slice]:
        """Rows and columns that hold the circle of that centre and radius (degrees); empty when it is out of view."""
        x, y = self.pixels(np.array([centre], np.float32))[0]
        r = reach * self.scale + 2.0
        top, bottom = np.clip((y - r, y + r), 0, self.height).astype(int)
        left, right = np.clip((x - r, x + r), 0, self.width).astype(int)
        return slice(int(top), int(bottom)), slice(int(left), int(right))

    def degrees(self, window: tuple[slice, slice]) -> tuple[Plane, Plane]:
        """Coordinates (x, y) in degrees of every pixel of a window, each [rows, columns] float32."""
        rows, columns = window
        dx = (np.arange(columns.start, columns.stop, dtype=np.float32) - np.float32(self.disc_at[0]))[None, :]
        dy = (np.arange(rows.start, rows.stop, dtype=np.float32) - np.float32(self.disc_at[1]))[:, None]
        cos, sin = np.float32(np.cos(self.angle) / self.scale), np.float32(np.sin(self.angle) / self.scale)
        return dx * cos + dy * sin, dy * cos - dx * sin


def retina(eye: Eye, view: View) -> Bands:
    """Light from every point: [H, W, 4] float32, bands blue, green, red, near infrared, about 0..1."""
    light = _background(eye, view)
    for scar in eye.scars:
        _paint_scar(light, eye, view, scar)
    exudates = _spots(eye.exudates, view)
    if exudates is not None:
        light += exudates[..., None] * (EXUDATE - light)
    _paint_disc(light, eye, view)
    depth = _absorbance(eye, view)
    light *= cv2.exp(-depth)
    return light


def masks(eye: Eye, view: View) -> dict[str, Mask]:
    """The truth: `disc` and `cup`, each [H, W] uint8 {0, 1}; the cup lies inside the disc."""
    window = view.window(eye.disc.centre, eye.disc.reach)
    x, y = view.degrees(window)
    rim = eye.disc.level(x, y)
    found = {name: np.zeros((view.height, view.width), np.uint8) for name in ("disc", "cup")}
    found["disc"][window] = rim < 1.0
    found["cup"][window] = _cup_level(eye, x, y, rim) < 1.0
    return found


def _cup_level(eye: Eye, x: Plane, y: Plane, rim: Plane) -> Plane:
    level: Plane = np.maximum(eye.cup.level(x, y), rim * np.float32(1.05))
    return level


def _texture(field: Plane, view: View, window: tuple[slice, slice] | None = None) -> Plane:
    """A texture of the retina as the view (or a window of it) sees it."""
    rows, columns = window or (slice(0, view.height), slice(0, view.width))
    side = field.shape[0]
    matrix = view.matrix(units_per_degree=side / (2 * EXTENT), origin=side / 2)
    matrix[:, 2] -= columns.start, rows.start
    size = (columns.stop - columns.start, rows.stop - rows.start)
    warped: Plane = cv2.warpAffine(field, matrix, size, flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT_101)
    return warped


def _background(eye: Eye, view: View) -> Bands:
    """Pigment, the choroid's vessels and a darker macula."""
    base = FAIR + np.float32(eye.pigment) * (DARK - FAIR)
    base = base * np.array([1.0, 1.0 - 0.08 * eye.redness, 1.0 + 0.05 * eye.redness, 1.0], np.float32)
    ridges = 1.0 - np.abs(_texture(eye.choroid, view)) * np.float32(1.6)  # bright lines where the noise crosses zero
    ridges = np.float32(0.6 * eye.tessellation) * np.clip(ridges, -0.6, 1.0)
    shade = 1.0 + np.float32(0.075) * _texture(eye.mottle, view)
    x, y = view.degrees((slice(0, view.height), slice(0, view.width)))
    distance = ((x - np.float32(eye.macula[0])) ** 2 + (y - np.float32(eye.macula[1])) ** 2) / np.float32(2 * 2.6**2)
    shade -= np.float32(0.42) * cv2.exp(-distance)
    light: Bands = cv2.merge([shade * band + ridges * stripe for band, stripe in zip(base, CHOROID, strict=True)])
    return np.maximum(light, np.float32(0.01), out=light)


def _paint_disc(light: Bands, eye: Eye, view: View) -> None:
    reach = max(eye.disc.reach * 2.0, eye.crescent.outline.reach * 1.4 if eye.crescent else 0.0)
    window = view.window(eye.disc.centre, reach)
    x, y = view.degrees(window)
    patch = light[window]
    rim = eye.disc.level(x, y)
    if eye.crescent is not None:
        cover = inside(eye.crescent.outline.level(x, y), 0.06) * np.float32(eye.crescent.strength)
        target = 0.55 * SCAR if eye.crescent.pale else 0.35 * DARK
        patch += cover[..., None] * np.float32(0.8) * (target - patch)
    glow = smooth_step((2.0 - rim) * np.float32(0.8)) * np.float32(0.22 * eye.halo)
    patch *= 1.0 + glow[..., None] * np.array([0.9, 1.0, 0.5, 0.0], np.float32)
    cover = inside(rim, eye.rim_softness) * np.float32(0.35 + 0.6 * eye.disc_contrast)
    uneven = 1.0 + np.float32(0.07 * eye.temporal / eye.disc.radii[0]) * x  # the temporal rim is paler
    patch += cover[..., None] * (DISC * uneven[..., None] - patch)
    cup = inside(_cup_level(eye, x, y, rim), eye.cup_softness) * np.float32(eye.cup_contrast * 0.85)
    patch += cup[..., None] * (CUP - patch)


def _paint_scar(light: Bands, eye: Eye, view: View, scar: Scar) -> None:
    window = view.window(scar.outline.centre, scar.outline.reach * 1.4)
    if window[0].start >= window[0].stop or window[1].start >= window[1].stop:
        return
    level = scar.outline.level(*view.degrees(window))
    patch = light[window]
    border = np.exp(-((level - np.float32(1.05)) ** 2) / np.float32(0.02)) * np.float32(scar.pigment * 0.5)
    patch *= 1.0 - border[..., None]
    ragged = level * (1.0 + np.float32(0.06) * _texture(eye.mottle, view, window))
    cover = inside(ragged, scar.softness) * np.float32(scar.strength)
    patch += cover[..., None] * (SCAR - patch)


def _absorbance(eye: Eye, view: View) -> Bands:
    """What blood takes away: [H, W, 4], to be used as exp(-absorbance)."""
    canvases = {True: _canvas(view), False: _canvas(view)}
    for vessel in sorted(eye.vessels, key=lambda v: v.widths[0]):  # the widest last: it covers
        _draw_vessel(canvases[vessel.vein], vessel, view)
    veins, arteries = (_to_plane(canvases[kind], view, 0.05) for kind in (True, False))
    blood = _spots(eye.haemorrhages, view)
    layers = [(veins, VEIN), (arteries, ARTERY)] + ([(blood, HAEMORRHAGE)] if blood is not None else [])
    bands = []
    for band in range(4):
        total = layers[0][0] * layers[0][1][band]
        for plane, strength in layers[1:]:
            total += plane * strength[band]
        bands.append(total)
    merged: Bands = cv2.merge(bands)
    return merged


_FINE, _SHIFT = 2, 4  # canvases are drawn twice as fine; coordinates have 4 bits after the point


def _canvas(view: View) -> Mask:
    return np.zeros((view.height * _FINE, view.width * _FINE), np.uint8)


def _to_plane(canvas: Mask, view: View, softness: float) -> Plane:
    """A canvas as [H, W] float32 0..1, its edges softened by so many degrees."""
    small = cv2.resize(canvas, (view.width, view.height), interpolation=cv2.INTER_AREA)
    soft: Plane = cv2.GaussianBlur(small, (0, 0), max(0.4, softness * view.scale)).astype(np.float32)
    return soft / np.float32(255)


def _fixed(points: npt.NDArray[np.float32]) -> npt.NDArray[np.int32]:
    return np.round((points + 0.5) * (_FINE << _SHIFT)).astype(np.int32)


def _draw_vessel(canvas: Mask, vessel: Vessel, view: View) -> None:
    points = _fixed(view.pixels(vessel.points))
    pieces = min(4, len(points) - 1)
    ends = np.linspace(0, len(points) - 1, pieces + 1).astype(int)
    for piece in range(pieces):
        share = (piece + 0.5) / pieces
        width = (vessel.widths[0] * (1 - share) + vessel.widths[1] * share) * view.scale * _FINE
        ink = float(np.clip(0.35 + 0.65 * vessel.widths[0] / 0.6, 0.35, 1.0)) * min(1.0, width)
        part = points[ends[piece] : ends[piece + 1] + 1]
        cv2.polylines(canvas, [part], False, 255 * ink, max(1, round(width)), cv2.LINE_8, _SHIFT)


def _spots(spots: Iterable[Spot], view: View) -> Plane | None:
    """Small lesions as one plane 0..1, or None when there are none."""
    canvas = None
    for spot in spots:
        canvas = _canvas(view) if canvas is None else canvas
        centre = _fixed(view.pixels(np.array([spot.centre], np.float32)))[0]
        radius = spot.radius * view.scale * _FINE * (1 << _SHIFT)
        axes = (round(radius), round(radius * spot.aspect))
        angle = float(np.degrees(spot.angle + view.angle))
        cv2.ellipse(canvas, centre.tolist(), axes, angle, 0, 360, 255 * spot.strength, -1, cv2.LINE_8, _SHIFT)
    return None if canvas is None else _to_plane(canvas, view, 0.09)
