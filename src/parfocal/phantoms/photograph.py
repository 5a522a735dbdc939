"""One case: a patient's eye under an instrument, with the truth."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from difflib import get_close_matches

import cv2
import numpy as np

from parfocal.core.errors import UsageError
from parfocal.phantoms.camera import INSTRUMENTS, Camera, Image, develop, draw_shot
from parfocal.phantoms.eye import MILLIMETRES_PER_DEGREE, Eye, draw_eye
from parfocal.phantoms.render import Mask, View, masks, retina


@dataclass(frozen=True, slots=True)
class Phantom:
    """A simulated photograph and everything that is true of it.

    Attributes:
        name: file name without suffix, such as ``A-P0007``.
        patient: key of the patient, such as ``P0007``.
        instrument: key in `INSTRUMENTS`.
        image: BGR uint8 [H, W, 3], before compression.
        masks: ``disc`` and ``cup``, uint8 {0, 1} [H, W]; the cup lies inside the disc.
        eye: the anatomy, the same for this patient under every instrument.
        view: how the eye's plane maps to pixels.
    """

    name: str
    patient: str
    instrument: str
    image: Image
    masks: Mapping[str, Mask]
    eye: Eye
    view: View

    @property
    def spacing(self) -> tuple[float, float]:
        """(row, column) size of a pixel on the retina in millimetres."""
        size = MILLIMETRES_PER_DEGREE / self.view.scale
        return size, size

    def encode(self) -> tuple[str, bytes]:
        """Suffix and bytes of the image file as the instrument writes it."""
        quality = INSTRUMENTS[self.instrument].quality
        if quality is None:
            return ".png", encode_png(self.image)
        return ".jpg", cv2.imencode(".jpg", self.image, [cv2.IMWRITE_JPEG_QUALITY, quality])[1].tobytes()


def encode_png(image: Image) -> bytes:
    """Bytes of a PNG, fast rather than small."""
    data: bytes = cv2.imencode(".png", image, [cv2.IMWRITE_PNG_COMPRESSION, 1])[1].tobytes()
    return data


def case(instrument: str, patient: int, seed: int) -> Phantom:
    """Photograph a patient.

    Args:
        instrument: key in `INSTRUMENTS`.
        patient: number of the patient, 0 or more; anatomy depends on it and on `seed` alone.
        seed: names the population, 0 or more; equal arguments give equal bytes.

    Raises:
        UsageError: there is no such instrument, or a number is negative.
    """
    camera = _camera(instrument)
    if patient < 0 or seed < 0:
        raise UsageError(f"a phantom has no patient {patient} under seed {seed}", expected="numbers from 0 up")
    eye = draw_eye(seed, patient)
    key = int.from_bytes(instrument.encode(), "big")
    shot = draw_shot(camera, eye, np.random.default_rng([seed, patient, key]))
    image = develop(camera, shot, retina(eye, shot.view), np.random.default_rng(key))
    number = f"P{patient:04d}"
    return Phantom(f"{instrument}-{number}", number, instrument, image, masks(eye, shot.view), eye, shot.view)


def _camera(instrument: str) -> Camera:
    if instrument not in INSTRUMENTS:
        near = get_close_matches(instrument.upper(), INSTRUMENTS, n=1)
        raise UsageError(
            f"there is no phantom instrument '{instrument}'",
            expected=f"one of {', '.join(INSTRUMENTS)}",
            next=f"did you mean '{near[0]}'?" if near else "",
        )
    return INSTRUMENTS[instrument]
