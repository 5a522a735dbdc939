"""What a simulated scanner hands over: a short volume of slices, its masks and the size of its pixels."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from difflib import get_close_matches

import numpy as np
import numpy.typing as npt

from parfocal.core.errors import UsageError

Slices = npt.NDArray[np.int16]
Masks = npt.NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class Volume:
    """A simulated examination and what is true of it.

    Attributes:
        task: key of a task, such as ``bone``.
        scanner: name of the scanner.
        patient: key of the patient, such as ``P0007``.
        image: int16 [Z, H, W]: Hounsfield units (bone), detector or signal values from 0 up (lung, prostate).
        masks: by structure, uint8 {0, 1} [Z, H, W]; every slice shows the structure.
        spacing: (slice, row, column) in millimetres; 0 between slices that are exposures of their own.
        offset: what is added to the values before they are stored as a 16-bit picture (1024 for CT).
    """

    task: str
    scanner: str
    patient: str
    image: Slices
    masks: Mapping[str, Masks]
    spacing: tuple[float, float, float]
    offset: int = 0

    @property
    def pictures(self) -> npt.NDArray[np.uint16]:
        """The slices as they are stored: uint16 [Z, H, W], values plus `offset`."""
        return np.clip(self.image.astype(np.int32) + self.offset, 0, 65535).astype(np.uint16)


def patient_name(patient: int, seed: int) -> str:
    """Key of a patient, such as ``P0007``.

    Raises:
        UsageError: a number is negative.
    """
    if patient < 0 or seed < 0:
        raise UsageError(f"a phantom has no patient {patient} under seed {seed}", expected="numbers from 0 up")
    return f"P{patient:04d}"


def nearest(kind: str, name: str, known: Iterable[str]) -> UsageError:
    """The error that says there is no phantom `kind` of that name, and which there are."""
    names = sorted(known)
    near = get_close_matches(name.upper(), names, n=1) or get_close_matches(name.lower(), names, n=1)
    return UsageError(
        f"there is no phantom {kind} '{name}'",
        expected=f"one of {', '.join(names)}",
        next=f"did you mean '{near[0]}'?" if near else "",
    )
