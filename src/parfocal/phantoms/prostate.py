"""T2-weighted MR of the prostate on two simulated scanners, with what makes such pictures hard.

Thick slices, a coil that hears one side better than the other, noise of magnitude pictures (Rician), and ghosts of the
breathing belly along the direction of phase encoding.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import cv2
import numpy as np

from parfocal.phantoms.fields import Grid
from parfocal.phantoms.pelvis import TISSUES, Pelvis, draw_pelvis, section
from parfocal.phantoms.shapes import Plane
from parfocal.phantoms.volume import Volume, nearest, patient_name

SLICES = 8
"""Slices of a volume unless told otherwise: evenly spread from the prostate's base to its apex."""
ENDS = (-0.93, 0.95)
"""Heights of the first and last slice; beyond them the prostate is a few pixels wide."""


@dataclass(frozen=True, slots=True)
class Scanner:
    """What is fixed about an MR scanner and its protocol.

    Attributes:
        description: for people.
        side: of the square picture in pixels; pixel: usual size in millimetres, which changes by patient.
        thickness: of a slice in millimetres.
        echo: (shortest, longest) echo time in milliseconds: how strongly T2 weighs.
        fat: part of the fat's signal that is kept.
        coil: (x, y) in millimetres where the coil is most sensitive; reach: how far it hears, in millimetres.
        wave: greatest relative swing of the slow field over the picture.
        noise: (lowest, highest) standard deviation as a part of muscle's signal.
        motion: greatest amplitude of breathing in millimetres; upright: phase runs from front to back.
        blur: sigma in millimetres.
        gain: (lowest, highest) numbers a unit of signal: MR has no unit of its own.
    """

    description: str
    side: int
    pixel: float
    thickness: float
    echo: tuple[float, float]
    fat: float
    coil: tuple[float, float]
    reach: float
    wave: float
    noise: tuple[float, float]
    motion: float
    upright: bool
    blur: float
    gain: tuple[float, float]


SCANNERS: Mapping[str, Scanner] = {
    "P": Scanner(
        "1.5 tesla, coil on the belly, thick slices, noisy, breathing seen from front to back",
        side=144,
        pixel=1.1,
        thickness=4.0,
        echo=(85.0, 115.0),
        fat=0.75,
        coil=(0.0, -120.0),
        reach=150.0,
        wave=0.25,
        noise=(0.14, 0.28),
        motion=1.6,
        upright=True,
        blur=0.7,
        gain=(380.0, 700.0),
    ),
    "Q": Scanner(
        "3 tesla, coil in the rectum: very bright at the back, thinner slices, fat darkened",
        side=160,
        pixel=0.95,
        thickness=3.0,
        echo=(105.0, 140.0),
        fat=0.4,
        coil=(0.0, 42.0),
        reach=48.0,
        wave=0.4,
        noise=(0.08, 0.18),
        motion=0.9,
        upright=False,
        blur=0.5,
        gain=(900.0, 1900.0),
    ),
}


def volume(scanner: str, patient: int, seed: int, slices: int = 0) -> Volume:
    """Scan a patient's pelvis.

    Args:
        scanner: key in `SCANNERS`.
        patient: number of the patient, 0 or more; anatomy depends on it and on `seed` alone.
        seed: names the population, 0 or more; equal arguments give equal volumes.
        slices: how many; 0 for `SLICES`.

    Returns:
        Signal as whole numbers of no unit, mask ``prostate``.

    Raises:
        UsageError: there is no such scanner, or a number is negative.
    """
    if scanner not in SCANNERS:
        raise nearest("MR scanner", scanner, SCANNERS)
    name, machine, count = patient_name(patient, seed), SCANNERS[scanner], slices or SLICES
    pelvis = draw_pelvis(seed, patient)
    rng = np.random.default_rng([seed, patient, int.from_bytes(scanner.encode(), "big"), 0x32])
    grid = Grid(machine.side, machine.side, machine.pixel * float(rng.uniform(0.85, 1.12)))
    levels = _signals(pelvis, machine, rng)
    field, drawn = _field(machine, grid, rng), _drawn(machine, rng, levels["muscle"])
    cuts = [_slice(pelvis, z, machine, grid, levels) for z in np.linspace(*ENDS, count)]
    gain = float(rng.uniform(*machine.gain))
    image = np.stack([_measured(cut, field, machine, grid, drawn, rng) * gain for cut, _ in cuts])
    truth = np.stack([part for _, part in cuts]) >= 0.5
    gap = pelvis.axes[2] * (ENDS[1] - ENDS[0]) / max(1, count - 1)
    values = np.clip(np.round(image), 0, 32767).astype(np.int16)
    masks = {"prostate": truth.astype(np.uint8)}
    return Volume("prostate", scanner, name, values, masks, (gap, grid.pixel, grid.pixel))


def _signals(pelvis: Pelvis, machine: Scanner, rng: np.random.Generator) -> dict[str, float]:
    """Brightness of every tissue: density times exp(-TE / T2), the spin echo with a long repetition time."""
    echo = float(rng.uniform(*machine.echo))
    levels = {name: float(TISSUES[name][0] * np.exp(-echo / t2)) for name, t2 in pelvis.t2.items()}
    return {name: level * (machine.fat if name in ("fat", "marrow") else 1.0) for name, level in levels.items()}


def _slice(pelvis: Pelvis, z: float, machine: Scanner, grid: Grid, levels: Mapping[str, float]) -> tuple[Plane, Plane]:
    """A slice as thick as the scanner's: the mean of three cuts through it."""
    x, y = grid.planes()
    half = machine.thickness / 3 / pelvis.axes[2]
    cuts = [section(pelvis, z + way * half, x, y, grid.pixel, levels.__getitem__) for way in (-1, 0, 1)]
    return np.mean([cut[0] for cut in cuts], axis=0, dtype=np.float32), np.mean([cut[1] for cut in cuts], axis=0)


def _field(machine: Scanner, grid: Grid, rng: np.random.Generator) -> Plane:
    """What the coil hears, 1 on average: strong near it, and slow waves over the picture (the bias field)."""
    x, y = grid.planes()
    place = np.asarray(machine.coil) + rng.normal(0, 7, 2)
    near = 1 / (1 + (np.hypot(x - place[0], y - place[1]) / machine.reach) ** 2)
    half = machine.side * grid.pixel / 2
    u, v = x / half, y / half
    terms = np.stack([u, v, u * v, u * u - 0.5, v * v - 0.5, u * (v * v - 0.5)])
    waves = np.tensordot(rng.uniform(-1, 1, len(terms)) * machine.wave, terms, axes=1)
    field = near * np.exp(waves)
    return np.asarray(field / field.mean(), np.float32)


@dataclass(frozen=True, slots=True)
class Drawn:
    """What is particular to one examination: noise in units of signal, breathing in millimetres and its rhythm."""

    noise: float
    breath: float
    cycles: float


def _drawn(machine: Scanner, rng: np.random.Generator, muscle: float) -> Drawn:
    breath = machine.motion * float(rng.beta(1.0, 1.6))
    return Drawn(muscle * float(rng.uniform(*machine.noise)), breath, float(rng.uniform(3, 11)))


def _measured(
    signal: Plane, field: Plane, machine: Scanner, grid: Grid, drawn: Drawn, rng: np.random.Generator
) -> Plane:
    """Magnitude picture: the coil's field, ghosts, blur, and noise in both channels."""
    heard = cv2.GaussianBlur(signal * field, (0, 0), machine.blur / grid.pixel)
    moved = _ghosts(heard, drawn, grid, machine.upright, float(rng.uniform(0, 2 * np.pi)))
    noisy = moved + drawn.noise * (rng.standard_normal(moved.shape) + 1j * rng.standard_normal(moved.shape))
    return np.asarray(np.abs(noisy), np.float32)


def _ghosts(image: Plane, drawn: Drawn, grid: Grid, upright: bool, start: float) -> np.ndarray:
    """Shift every line of k-space by where the body was when it was read: a periodic motion leaves ghosts.

    Source: Wood and Henkelman, MR image artifacts from periodic motion, 1985.
    """
    lines = image if upright else image.T
    spectrum = np.fft.fft2(lines)
    frequency = np.fft.fftfreq(lines.shape[0])
    when = np.fft.ifftshift(np.arange(lines.shape[0])) / lines.shape[0]  # lines are read from edge to edge
    shift = drawn.breath / grid.pixel * np.sin(2 * np.pi * drawn.cycles * when + start)
    moved = np.fft.ifft2(spectrum * np.exp(-2j * np.pi * frequency * shift)[:, None])
    return np.asarray(moved if upright else moved.T)
