"""Five simulated instruments, and how each turns the light of a retina into a photograph.

The cameras differ where real ones do: sensor response, white balance, tone curve, illumination, sharpness, noise, field
of view, framing, resolution and compression. What varies from shot to shot is drawn first, as a `Shot`; developing a
shot is deterministic.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from parfocal.phantoms.eye import Eye
from parfocal.phantoms.render import Bands, View
from parfocal.phantoms.shapes import Plane, smooth_step

Image = npt.NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class Camera:
    """What is fixed about an instrument.

    Attributes:
        description: for people.
        height, width: of the photograph in pixels.
        field: angle in degrees across the round field.
        aperture: radius of the field's image as a fraction of the photograph's width; above 0.75 it has no edge.
        framing: how far from the middle the disc may lie, as a fraction of the room there is; 0 centres it.
        response: 3 x 4 matrix from the bands blue, green, red, infrared to the channels B, G, R.
        gamma: exponent of the tone curve; 0.45 is usual, less is flatter.
        exposure: (lowest, highest) gain of a shot.
        vignetting: loss of light at the field's edge, 0..1.
        gradient: greatest loss of light from one side to the other, 0..1.
        haze: greatest veil of stray light, per channel B, G, R.
        blur: (lowest, highest) sigma in pixels.
        noise: (read, shot) standard deviation, of full scale.
        reflections: greatest number of round ghosts of the lens.
        dust: number of specks that sit in the same place on every photograph.
        quality: of the JPEG; None writes a PNG.
    """

    description: str
    height: int
    width: int
    field: float
    aperture: float
    framing: float
    response: tuple[tuple[float, float, float, float], ...]
    gamma: float
    exposure: tuple[float, float]
    vignetting: float
    gradient: float
    haze: tuple[float, float, float]
    blur: tuple[float, float]
    noise: tuple[float, float]
    reflections: int
    dust: int
    quality: int | None


INSTRUMENTS: Mapping[str, Camera] = {
    "A": Camera(
        "table-top camera, 45 degrees, white flash",
        height=360,
        width=420,
        field=45.0,
        aperture=0.485,
        framing=1.0,
        response=((0.95, 0.03, 0.00, 0.0), (0.02, 0.90, 0.06, 0.0), (0.00, 0.06, 0.98, 0.0)),
        gamma=0.52,
        exposure=(0.75, 1.1),
        vignetting=0.45,
        gradient=0.35,
        haze=(0.02, 0.03, 0.03),
        blur=(0.5, 1.0),
        noise=(0.004, 0.012),
        reflections=1,
        dust=3,
        quality=92,
    ),
    "B": Camera(
        "scanning laser, 40 degrees, blue, green and infrared lines: a dark disc",
        height=384,
        width=384,
        field=40.0,
        aperture=0.49,
        framing=1.0,
        response=((0.32, 0.11, 0.0, 0.08), (0.04, 0.30, 0.0, 0.22), (0.0, 0.0, 0.08, 0.85)),
        gamma=0.62,
        exposure=(0.85, 1.15),
        vignetting=0.25,
        gradient=0.55,
        haze=(0.05, 0.05, 0.02),
        blur=(0.6, 1.3),
        noise=(0.012, 0.02),
        reflections=3,
        dust=5,
        quality=85,
    ),
    "C": Camera(
        "hand-held camera on a telephone, 35 degrees, warm lamp, soft and noisy",
        height=320,
        width=320,
        field=36.0,
        aperture=0.5,
        framing=0.8,
        response=((0.55, 0.10, 0.02, 0.0), (0.05, 0.75, 0.12, 0.0), (0.0, 0.18, 1.10, 0.10)),
        gamma=0.42,
        exposure=(0.6, 1.5),
        vignetting=0.7,
        gradient=0.7,
        haze=(0.06, 0.09, 0.14),
        blur=(1.2, 2.6),
        noise=(0.010, 0.03),
        reflections=3,
        dust=2,
        quality=60,
    ),
    "D": Camera(
        "stereo camera, one half of the pair cropped round the disc, cold flash",
        height=400,
        width=360,
        field=24.0,
        aperture=0.9,
        framing=0.5,
        response=((1.35, 0.10, 0.00, 0.0), (0.05, 1.00, 0.02, 0.0), (0.00, 0.15, 0.72, 0.0)),
        gamma=0.50,
        exposure=(0.85, 1.2),
        vignetting=0.1,
        gradient=0.3,
        haze=(0.05, 0.03, 0.02),
        blur=(1.0, 2.0),
        noise=(0.004, 0.01),
        reflections=1,
        dust=0,
        quality=None,
    ),
    "R": Camera(
        "contact camera for infants, 76 degrees: wide, dim at the edge, little contrast, the disc anywhere",
        height=384,
        width=480,
        field=76.0,
        aperture=0.43,
        framing=1.0,
        response=((0.42, 0.22, 0.04, 0.0), (0.10, 0.46, 0.16, 0.0), (0.04, 0.24, 0.60, 0.06)),
        gamma=0.60,
        exposure=(0.55, 1.25),
        vignetting=0.8,
        gradient=0.6,
        haze=(0.07, 0.10, 0.13),
        blur=(1.0, 2.0),
        noise=(0.008, 0.02),
        reflections=3,
        dust=2,
        quality=80,
    ),
}

_TRIM = 0.8  # part of the photograph that recipes keep: framing leaves the whole disc inside it


@dataclass(frozen=True, slots=True)
class Ghost:
    """A round reflection: centre and radius in pixels, brightness per channel B, G, R, softness of its edge."""

    centre: tuple[float, float]
    radius: float
    light: tuple[float, float, float]
    softness: float


@dataclass(frozen=True, slots=True)
class Shot:
    """What is particular to one photograph."""

    view: View
    gain: tuple[float, float, float]
    tilt: tuple[float, float]
    haze: float
    blur: float
    ghosts: tuple[Ghost, ...]
    grain: int


def draw_shot(camera: Camera, eye: Eye, rng: np.random.Generator) -> Shot:
    """Frame the eye and draw everything that changes from photograph to photograph."""
    diameter = 2 * camera.aperture * camera.width if camera.aperture < 0.75 else camera.width
    scale = diameter / camera.field * float(rng.uniform(0.93, 1.07))
    view = _frame(camera, eye, scale, rng)
    exposure, colour = rng.uniform(*camera.exposure), rng.uniform(0.92, 1.08, 3)
    direction, loss = rng.uniform(0, 2 * np.pi), camera.gradient * rng.uniform(0.2, 1.0)
    return Shot(
        view=view,
        gain=(float(exposure * colour[0]), float(exposure * colour[1]), float(exposure * colour[2])),
        tilt=(float(loss * np.cos(direction)), float(loss * np.sin(direction))),
        haze=float(rng.uniform(0.0, 1.0)),
        blur=float(rng.uniform(*camera.blur)),
        ghosts=tuple(_ghost(camera, scale, rng) for _ in range(rng.integers(0, camera.reflections + 1))),
        grain=int(rng.integers(2**31)),
    )


def _frame(camera: Camera, eye: Eye, scale: float, rng: np.random.Generator) -> View:
    """Put the disc anywhere in the part of the field that a recipe keeps, whole."""
    radius = max(eye.disc.radii) * scale * 1.1
    field = camera.aperture * camera.width
    room = [max(0.0, min(_TRIM * side / 2, field) - radius) for side in (camera.width, camera.height)]
    distance, direction = np.sqrt(rng.random()), rng.uniform(0, 2 * np.pi)  # even over the ellipse
    x = camera.width / 2 + camera.framing * room[0] * distance * np.cos(direction)
    y = camera.height / 2 + camera.framing * room[1] * distance * np.sin(direction)
    return View(camera.height, camera.width, scale, float(rng.normal(0.0, 0.12)), (float(x), float(y)))


def _ghost(camera: Camera, scale: float, rng: np.random.Generator) -> Ghost:
    light = rng.uniform(0.08, 0.4) * rng.uniform(0.6, 1.0, 3)
    return Ghost(
        (float(rng.uniform(0.12, 0.88) * camera.width), float(rng.uniform(0.12, 0.88) * camera.height)),
        float(rng.uniform(0.8, 3.6) * scale),
        (float(light[0]), float(light[1]), float(light[2])),
        float(rng.uniform(0.05, 0.4)),
    )


def develop(camera: Camera, shot: Shot, light: Bands, specks: np.random.Generator) -> Image:
    """Turn light [H, W, 4] into the photograph, BGR uint8 [H, W, 3].

    Args:
        camera: the instrument.
        shot: what is particular to this photograph.
        light: from `render.retina` under `shot.view`.
        specks: generator of the dust, seeded by instrument, so that dust stays where it is.
    """
    x, y = _grid(camera)
    falloff = 1.0 - np.float32(camera.vignetting) * (x * x + y * y)
    falloff *= 1.0 + np.float32(shot.tilt[0]) * x + np.float32(shot.tilt[1]) * y
    falloff = np.maximum(falloff, np.float32(0.04))
    for speck in _dust(camera, specks):
        falloff -= falloff * _disc_of_light(x, speck) * np.float32(speck.light[0])
    response = np.asarray(camera.response, np.float32) * np.asarray(shot.gain, np.float32)[:, None]
    colour = cv2.transform(light, response)
    colour *= falloff[..., None]
    for ghost in shot.ghosts:
        colour += _disc_of_light(x, ghost)[..., None] * np.asarray(ghost.light, np.float32)
    colour += np.asarray(camera.haze, np.float32) * np.float32(shot.haze)
    colour *= _aperture(camera, x, y)[..., None]
    colour = cv2.GaussianBlur(colour, (0, 0), shot.blur)
    return _expose(camera, colour, np.random.default_rng(shot.grain))


def _grid(camera: Camera) -> tuple[Plane, Plane]:
    """Coordinates with the field's edge (or the photograph's side) at 1, each [H, W] float32."""
    half = min(camera.aperture, 0.5) * camera.width
    x = (np.arange(camera.width, dtype=np.float32) - np.float32((camera.width - 1) / 2)) / np.float32(half)
    y = (np.arange(camera.height, dtype=np.float32) - np.float32((camera.height - 1) / 2)) / np.float32(half)
    return np.tile(x, (camera.height, 1)), np.repeat(y[:, None], camera.width, axis=1)


def _aperture(camera: Camera, x: Plane, y: Plane) -> Plane:
    if camera.aperture >= 0.75:
        return np.ones_like(x)
    sharpness = np.float32(camera.aperture * camera.width / 3.0)  # the edge is three pixels wide
    return smooth_step((1.0 - cv2.magnitude(x, y)) * sharpness + np.float32(0.5))


def _dust(camera: Camera, rng: np.random.Generator) -> tuple[Ghost, ...]:
    return tuple(
        Ghost(
            (float(rng.uniform(0.1, 0.9) * camera.width), float(rng.uniform(0.1, 0.9) * camera.height)),
            float(rng.uniform(3.0, 12.0)),
            (float(rng.uniform(0.15, 0.5)), 0.0, 0.0),
            0.8,
        )
        for _ in range(camera.dust)
    )


def _disc_of_light(like: Plane, ghost: Ghost) -> Plane:
    """A round patch 0..1 on a plane of zeros."""
    height, width = like.shape
    plane = np.zeros_like(like)
    cx, cy = ghost.centre
    reach = ghost.radius * (1 + ghost.softness) + 1
    top, bottom = np.clip((cy - reach, cy + reach + 1), 0, height).astype(int)
    left, right = np.clip((cx - reach, cx + reach + 1), 0, width).astype(int)
    dx = np.arange(left, right, dtype=np.float32)[None, :] - np.float32(cx)
    dy = np.arange(top, bottom, dtype=np.float32)[:, None] - np.float32(cy)
    level = np.sqrt(dx * dx + dy * dy) / np.float32(ghost.radius)
    inside = (1.0 - level) / np.float32(2 * ghost.softness) + np.float32(0.5)
    plane[top:bottom, left:right] = smooth_step(inside.astype(np.float32, copy=False))
    return plane


def _expose(camera: Camera, colour: Bands, rng: np.random.Generator) -> Image:
    """Sensor noise, then a tone curve with a shoulder, then eight bits."""
    read, photon = camera.noise
    sigma = cv2.sqrt(np.maximum(colour, 0) * np.float32(photon**2) + np.float32(read**2))
    colour = colour + sigma * rng.standard_normal(colour.shape, dtype=np.float32)
    levels = np.maximum(np.arange(4096, dtype=np.float64) / 2048.0 - 0.008, 0)  # twice full scale, less a dark level
    shoulder = np.where(levels < 0.7, levels, 0.7 + 0.3 * (1 - np.exp(-(levels - 0.7) / 0.3)))
    table = np.round(255 * shoulder**camera.gamma).astype(np.uint8)
    image: Image = table[np.clip(colour * np.float32(2048), 0, 4095).astype(np.uint16)]
    return image
