"""Names of cases and sides of public sets, the same rules for every reader."""

from __future__ import annotations

import hashlib
import re

from parfocal.core.types import Split

_HELD_BACK = 5


def case_id(instrument: str, name: str) -> str:
    """``<instrument>-<name>`` in letters, digits, ``.-_``; what had to be changed is told apart by a hash."""
    wanted = f"{instrument}-{name}"
    safe = re.sub(r"[^A-Za-z0-9._-]", "_", wanted).lstrip(".-") or "case"
    return safe if safe == wanted else f"{safe}-{hashlib.sha256(wanted.encode()).hexdigest()[:8]}"


def official_side(declared: Split, patient: str) -> Split:
    """The side of a patient of a set that declares training and test alone.

    Test stays test. Of the training patients about one in five, by a hash of the name, is held back for validation:
    the sets declare none, and a network chosen on its own training images would be chosen badly.
    """
    if declared is not Split.TRAIN:
        return declared
    held_back = hashlib.sha256(patient.encode()).digest()[0] % _HELD_BACK == 0
    return Split.VALIDATION if held_back else Split.TRAIN
