"""What can be said of the instruments that a bundle has learned: how many patients, and since when.

A bundle names its parent and its datasets by address and checksum, and holds neither. Where they are on this machine,
and unchanged, they are read; where they are not, nobody guesses.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from parfocal.core import bundle, manifest
from parfocal.core.bundle import Bundle, DatasetRef
from parfocal.core.errors import ParfocalError
from parfocal.core.types import Split
from parfocal.preprocessing.shards import read_dataset

LONGEST_LINE = 1000
"""Parents that are looked at: a line of them could be a circle on a damaged disk."""


@dataclass(frozen=True, slots=True)
class Learned:
    """What one instrument taught.

    Attributes:
        patients: distinct patients on the training side; None where a dataset is not on this machine.
        date: when the first bundle of the line that knows it was made, ISO 8601; None where the line breaks off before.
    """

    patients: int | None
    date: str | None


def learned(folder: Path, spec: Bundle) -> dict[str, Learned]:
    """By instrument, in the order of learning."""
    dates = _dates(folder, spec)
    return {name: Learned(_patients(spec, name), dates.get(name)) for name in spec.instruments}


def _patients(spec: Bundle, instrument: str) -> int | None:
    own = [one for one in spec.datasets if one.instrument == instrument]
    found: set[str] = set()
    for one in own:
        patients = _of_dataset(one)
        if patients is None:
            return None
        found |= patients
    return len(found) if own else None


def _of_dataset(one: DatasetRef) -> set[str] | None:
    folder = Path(one.uri)
    try:
        if manifest.read(folder, "dataset").checksum != one.checksum:
            return None
        return {case.patient for case in read_dataset(folder).on(Split.TRAIN)}
    except (ParfocalError, OSError):
        return None


def _dates(folder: Path, spec: Bundle) -> dict[str, str]:
    """By instrument, of those whose first bundle can be seen."""
    found: dict[str, str] = {}
    here: tuple[Path, Bundle] | None = (folder, spec)
    for _ in range(LONGEST_LINE):
        if here is None:
            break
        place, current = here
        made = manifest.read(place, "bundle").created
        before = _parent(current)
        if current.parent is not None and before is None:
            break  # the line cannot be followed: what this bundle knows may be older than it
        older = before[1].instruments if before else ()
        found |= {name: made for name in current.instruments if name not in older and name not in found}
        here = before
    return {name: found[name] for name in spec.instruments if name in found}


def _parent(spec: Bundle) -> tuple[Path, Bundle] | None:
    if spec.parent is None:
        return None
    folder = Path(spec.parent.uri)
    try:
        if manifest.read(folder, "bundle").checksum != spec.parent.checksum:
            return None
        return folder, bundle.parse(folder)
    except (ParfocalError, OSError):
        return None
