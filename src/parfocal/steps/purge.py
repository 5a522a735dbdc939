"""Patients' pictures taken out of exemplar memories, for good."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

from parfocal.core import bundle, manifest
from parfocal.core.bundle import BUNDLE
from parfocal.core.errors import DataContractError, UsageError
from parfocal.core.locks import alone, beside
from parfocal.memory import replacing
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
    if (folder / BUNDLE).is_file():
        uri = bundle.read(folder).memory_uri
        if not uri:
            raise DataContractError("this bundle has no exemplar memory", where=folder / BUNDLE)
        folder = Path(uri)
    replacing.finish(folder)
    manifest.read(folder, "memory")
    return folder


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
    all the same. Killed at any moment, the same call, or whoever reads the memory next, finishes it.

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
    done = []
    with _alone(places if out is None else ()):
        read = {place: (manifest.read(place, "memory"), Memory.read(place)) for place in places}
        for place, (sealed, memory) in read.items():
            gone = memory.purge(instrument, date=date) if instrument else memory.purge_patient(patient, date=date)
            if out is None:
                replacing.replace(place, partial(gone.write, parents=sealed.parents))
            else:
                gone.write(out, parents=[*sealed.parents, sealed.parent(place)])
            done.append(Purged(out or place, gone.purges[-1].removed))
    return done


@contextmanager
def _alone(places: Sequence[Path]) -> Iterator[None]:
    """No other purge of these memories meanwhile: it would put back what this one takes out of what it has read."""
    with ExitStack() as held:
        for place in sorted(places):  # in one order, so that two never wait for one another
            held.enter_context(alone(beside(place)))
        yield
