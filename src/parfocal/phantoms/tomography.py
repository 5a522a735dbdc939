"""What a CT scanner adds to the tissue: dark bands between bones and streaks, from simulated line integrals.

The tissue is projected along parallel rays, the measured line integrals are made wrong as physics makes them wrong, and
the error alone is reconstructed by filtered back-projection. So the picture keeps its sharpness, and a coarse grid is
enough for the artefacts. Source: Kak and Slaney, Principles of Computerized Tomographic Imaging, 1988, chapters 3 to 5.
"""

from __future__ import annotations

from functools import lru_cache

import cv2
import numpy as np
import numpy.typing as npt
from scipy import sparse

from parfocal.phantoms.shapes import Plane

SIDE, VIEWS = 80, 100
"""Pixels a side of the coarse grid, and directions over half a turn."""
WATER = 0.0195
"""Attenuation of water a millimetre at 70 keV (NIST XCOM)."""
BONE = 150.0
"""Hounsfield units above which tissue hardens the beam as bone does."""


def artefact(
    tissue: npt.NDArray[np.float32], pixel: float, *, hardening: float, photons: float, rng: np.random.Generator
) -> npt.NDArray[np.float32]:
    """Error in Hounsfield units of every pixel of [Z, H, W], H = W.

    Args:
        tissue: true Hounsfield units.
        pixel: size in millimetres.
        hardening: what is lost of a line integral for each unit of bone in it, squared; 0.3 is a bad scanner.
        photons: that leave the tube towards one detector element; few of them give streaks behind dense matter.
        rng: of the photon noise.
    """
    side = tissue.shape[-1]
    step = pixel * side / SIDE
    coarse = np.stack([cv2.resize(one, (SIDE, SIDE), interpolation=cv2.INTER_AREA) for one in tissue])
    attenuation = np.maximum(coarse + 1000, 0) * np.float32(WATER * step / 1000)
    bone = np.maximum(coarse - np.float32(BONE), 0) * np.float32(WATER * step / 1000)
    through, hard = _project(attenuation), _project(bone)
    counted = np.maximum(photons * np.exp(-through), 1.0)
    wrong = rng.standard_normal(through.shape, dtype=np.float32) / np.sqrt(counted) - np.float32(hardening) * hard**2
    error = _back_project(wrong.astype(np.float32)) * np.float32(1000 / (WATER * step))
    return np.stack([cv2.resize(one, (side, side), interpolation=cv2.INTER_CUBIC) for one in error])


@lru_cache(maxsize=1)
def _rays() -> sparse.csr_matrix:
    """[views * bins, pixels]: how much of each pixel a ray of one pixel's width passes."""
    bins = _bins()
    axis = np.arange(SIDE) - (SIDE - 1) / 2
    angles = np.arange(VIEWS) * np.pi / VIEWS
    where = np.cos(angles)[:, None, None] * axis[None, None, :] + np.sin(angles)[:, None, None] * axis[None, :, None]
    where = where.reshape(VIEWS, -1) + (bins - 1) / 2
    first = np.floor(where).astype(np.int64)
    share = (where - first).astype(np.float32)
    rows = np.arange(VIEWS)[:, None] * bins + first
    columns = np.broadcast_to(np.arange(SIDE * SIDE), rows.shape)
    entries = np.concatenate([1 - share.ravel(), share.ravel()])
    places = (np.concatenate([rows.ravel(), rows.ravel() + 1]), np.concatenate([columns.ravel()] * 2))
    return sparse.csr_matrix((entries, places), shape=(VIEWS * bins, SIDE * SIDE), dtype=np.float32)


def _bins() -> int:
    return int(np.ceil(SIDE * np.sqrt(2))) + 3


def _project(slices: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """[Z, SIDE, SIDE] to line integrals [Z, VIEWS, bins]."""
    found = _rays() @ slices.reshape(len(slices), -1).T
    result: npt.NDArray[np.float32] = np.ascontiguousarray(found.T).reshape(len(slices), VIEWS, _bins())
    return result


def _back_project(integrals: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """Filtered back-projection of [Z, VIEWS, bins] with a ramp under a Hann window."""
    length = 2 ** int(np.ceil(np.log2(2 * _bins())))
    frequency = np.fft.rfftfreq(length)
    ramp = frequency * (0.5 + 0.5 * np.cos(2 * np.pi * frequency))
    filtered = np.fft.irfft(np.fft.rfft(integrals, length) * ramp, length)[..., : _bins()].astype(np.float32)
    found = (_rays().T @ filtered.reshape(len(filtered), -1).T) * np.float32(np.pi / VIEWS)
    result: npt.NDArray[np.float32] = np.ascontiguousarray(found.T).reshape(-1, SIDE, SIDE)
    return result


def grain(rng: np.random.Generator, like: Plane, sharpness: float) -> Plane:
    """Noise of a reconstruction, standard deviation 1: weak in the lowest frequencies, cut off above `sharpness`.

    Args:
        rng: of the noise.
        like: gives the shape.
        sharpness: frequency in cycles a pixel where the kernel has fallen to half; 0.5 is the sharpest.
    """
    height, width = like.shape
    frequency = np.hypot(np.fft.fftfreq(height)[:, None], np.fft.rfftfreq(width)[None, :])
    shape = np.sqrt(frequency + 0.02) / (1 + (frequency / sharpness) ** 4)
    field = np.fft.irfft2(np.fft.rfft2(rng.standard_normal(like.shape)) * shape, s=like.shape)
    return np.asarray(field / field.std(), np.float32)
