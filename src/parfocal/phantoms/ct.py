"""CT of the lower leg on two simulated scanners: Hounsfield units, and all that keeps them from being exact."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import cv2
import numpy as np

from parfocal.core.volumes import HU_OFFSET
from parfocal.phantoms.fields import Grid
from parfocal.phantoms.leg import LENGTH, Leg, draw_leg, lowest, section, table
from parfocal.phantoms.shapes import Plane
from parfocal.phantoms.tomography import artefact, grain
from parfocal.phantoms.volume import Volume, nearest, patient_name

SLICES = 8
"""Slices of a volume unless told otherwise: evenly spread over the part of the leg that was scanned."""


@dataclass(frozen=True, slots=True)
class Scanner:
    """What is fixed about a CT scanner.

    Attributes:
        description: for people.
        side: of the square picture in pixels; pixel: usual size in millimetres, which changes a little by patient.
        thickness: of a slice in millimetres.
        blur: sigma of the kernel in millimetres; edge: how much of an overshoot it leaves at edges, 0 for none.
        noise: (lowest, highest) standard deviation in Hounsfield units; sharpness: of its texture, cycles a pixel.
        hardening, photons: see `tomography.artefact`.
        gain, shift: error of the calibration: values are multiplied by one and shifted by the other.
        curved: shape of the table.
    """

    description: str
    side: int
    pixel: float
    thickness: float
    blur: float
    edge: float
    noise: tuple[float, float]
    sharpness: float
    hardening: float
    photons: float
    gain: float
    shift: float
    curved: bool


SCANNERS: Mapping[str, Scanner] = {
    "X": Scanner(
        "sharp bone kernel, thin slices, grainy, curved table",
        side=176,
        pixel=0.80,
        thickness=1.0,
        blur=0.40,
        edge=0.35,
        noise=(28.0, 60.0),
        sharpness=0.45,
        hardening=0.08,
        photons=6e4,
        gain=1.0,
        shift=0.0,
        curved=True,
    ),
    "Y": Scanner(
        "soft kernel, thick slices, low dose, strong beam hardening, flat table",
        side=144,
        pixel=0.98,
        thickness=4.0,
        blur=0.95,
        edge=0.0,
        noise=(14.0, 26.0),
        sharpness=0.2,
        hardening=0.30,
        photons=1.2e4,
        gain=0.96,
        shift=12.0,
        curved=False,
    ),
}


def volume(scanner: str, patient: int, seed: int, slices: int = 0) -> Volume:
    """Scan a patient's leg.

    Args:
        scanner: key in `SCANNERS`.
        patient: number of the patient, 0 or more; anatomy depends on it and on `seed` alone.
        seed: names the population, 0 or more; equal arguments give equal volumes.
        slices: how many; 0 for `SLICES`. The part of the leg that is scanned does not depend on it.

    Returns:
        Hounsfield units clipped to -1024..3071, mask ``bone`` (the fibula).

    Raises:
        UsageError: there is no such scanner, or a number is negative.
    """
    if scanner not in SCANNERS:
        raise nearest("CT scanner", scanner, SCANNERS)
    name, machine, count = patient_name(patient, seed), SCANNERS[scanner], slices or SLICES
    leg = draw_leg(seed, patient)
    rng = np.random.default_rng([seed, patient, int.from_bytes(scanner.encode(), "big"), 0xC7])
    grid = Grid(machine.side, machine.side, machine.pixel * float(rng.uniform(0.94, 1.08)))
    cuts = [_slice(leg, h, machine, grid) for h in np.linspace(*leg.reach, count)]
    tissue, truth = np.stack([cut[0] for cut in cuts]), np.stack([cut[1] for cut in cuts]) >= 0.5
    image = _measured(tissue, machine, grid, rng)
    gap = LENGTH * leg.size * (leg.reach[1] - leg.reach[0]) / max(1, count - 1)
    masks = {"bone": truth.astype(np.uint8)}
    return Volume("bone", scanner, name, image, masks, (gap, grid.pixel, grid.pixel), offset=HU_OFFSET)


def _slice(leg: Leg, h: float, machine: Scanner, grid: Grid) -> tuple[Plane, Plane]:
    """A slice as thick as the scanner's: the mean of two cuts through it."""
    x, y = grid.planes()
    half = machine.thickness / 4 / (LENGTH * leg.size)
    (above, first), (below, second) = (section(leg, h + way * half, x, y, grid.pixel) for way in (-1, 1))
    tissue = (above + below) * np.float32(0.5)
    table(tissue, lowest(leg), x, y, grid.pixel, machine.curved)
    return tissue, (first + second) * np.float32(0.5)


def _measured(tissue: np.ndarray, machine: Scanner, grid: Grid, rng: np.random.Generator) -> np.ndarray:
    """Whole Hounsfield units from true ones: artefacts, kernel, noise, calibration."""
    wrong = artefact(tissue, grid.pixel, hardening=machine.hardening, photons=machine.photons, rng=rng)
    noise = float(rng.uniform(*machine.noise))
    slices = [_reconstructed(one, machine, grid) for one in tissue + wrong]
    noisy = [one + noise * grain(rng, one, machine.sharpness) for one in slices]
    values = np.round((np.stack(noisy) + 1000) * machine.gain - 1000 + machine.shift)
    return np.clip(values, -1024, 3071).astype(np.int16)


def _reconstructed(tissue: Plane, machine: Scanner, grid: Grid) -> Plane:
    blurred = cv2.GaussianBlur(tissue, (0, 0), machine.blur / grid.pixel)
    if not machine.edge:
        return np.asarray(blurred)
    wide = cv2.GaussianBlur(tissue, (0, 0), 2.5 * machine.blur / grid.pixel)
    return np.asarray(blurred + np.float32(machine.edge) * (blurred - wide))
