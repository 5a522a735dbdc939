"""Patients' pictures taken out of exemplar memories, for good."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from parfocal.core import bundle, manifest
from parfocal.core.bundle import BUNDLE
from parfocal.core.errors import DataContractError, UsageError
from parfocal.core.manifest import Manifest
from parfocal.memory.buffer import Memory


@dataclass(frozen=True, slots=True)
class Purged:
    """One memory after a purge: where it lies now, and how many pictures went."""

    folder: Path
    removed: int


def place_of(folder: Path) -> Path:
    """The memory's folder itself, or the one that a bundle names.

    Raises:
        DataContractError: neither a memory nor a bundle with one.
    """
    folder = Path(folder)
    if not (folder / BUNDLE).is_file():
        manifest.read(folder, "memory")
        return folder
    uri = bundle.read(folder).memory_uri
    if not uri:
        raise DataContractError("this bundle has no exemplar memory", where=folder / BUNDLE)
    return Path(uri)


def run(
    folders: Sequence[Path],
    *,
    instrument: str = "",
    patient: str = "",
    out: Path | None = None,
    now: Callable[[], datetime] = lambda: datetime.now(UTC),
) -> list[Purged]:
    """Purge an instrument or a patient from memories; the purge, with its date, is on record in each.

    Every retrain copies the exemplars into a new memory, so an earlier champion's memory has its own: name them all.
    Without `out` a purged memory takes the place of what it was made from, whose pictures are deleted; bundles name a
    memory by its place alone, so they find it. A memory in which there is nothing to remove is closed to the patient
    all the same.

    Args:
        folders: memories, or bundles that name one.
        instrument, patient: exactly one of them; the patient's key as in the source's cases.csv.
        out: where the purged memory goes instead; for one folder alone, which is then left as it is.
        now: the purge's date.

    Raises:
        UsageError: not one of the two, or `out` for several folders.
        DataContractError: a folder is not a whole memory.
    """
    if bool(instrument) == bool(patient):
        raise UsageError("a purge is of one instrument or of one patient", expected="--instrument or --patient")
    places = list(dict.fromkeys(place_of(folder).resolve() for folder in folders))
    if out is not None and len(places) > 1:
        raise UsageError(f"{len(places)} memories cannot go to one folder", where=out, next="leave out --out")
    date = now().isoformat(timespec="seconds")
    read = {place: (manifest.read(place, "memory"), Memory.read(place)) for place in places}
    done = []
    for place, (sealed, memory) in read.items():
        gone = memory.purge(instrument, date=date) if instrument else memory.purge_patient(patient, date=date)
        if out is None:
            _take_place(gone, sealed, place)
        else:
            gone.write(out, parents=[*sealed.parents, sealed.parent(place)])
        done.append(Purged(out or place, gone.purges[-1].removed))
    return done


def _take_place(memory: Memory, sealed: Manifest, place: Path) -> None:
    """Write beside, then change places. Killed in between, a folder with the end `-purged` has the new memory.

    Killed before that, the same call begins anew: what it left beside is removed first.
    """
    fresh, old = place.with_name(f"{place.name}-purged"), place.with_name(f".{place.name}.old")
    for left in (old, fresh):
        shutil.rmtree(left, ignore_errors=True)
    memory.write(fresh, parents=sealed.parents)
    place.rename(old)
    fresh.rename(place)
    shutil.rmtree(old)
