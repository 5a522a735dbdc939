"""What ledger and monitor name, and what of it is here: after a restore the folders may be of an older day than they.

Nothing is read but names and manifests, and nothing is changed.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

from parfocal.adapters.checks import Check
from parfocal.adapters.database import SqlLedger
from parfocal.adapters.monitored import MonitoredSettings, handed_in
from parfocal.adapters.settings import Settings
from parfocal.core import manifest
from parfocal.core.errors import DataContractError, UsageError
from parfocal.core.protocols import LedgerEntry
from parfocal.promotion import account, champion
from parfocal.readers.folder import IMAGES

SHOWN = 50
"""What is not here is named up to so many."""


class State(StrEnum):
    """HERE: as the record says; OTHER: something else has its place."""

    HERE = "here"
    MISSING = "missing"
    OTHER = "other"


@dataclass(frozen=True, slots=True)
class Named:
    """What a record names, in words, and whether it is here."""

    name: str
    state: State


def check(settings: Settings, *, ledger: bool) -> Check:
    """What is not here as ledger and monitor have it, by name. Arguments and errors as of `look`."""
    if settings.storage:
        return Check("learned", "ok", f"experiences and datasets are stored in {settings.storage}, not looked at")
    found = list(look(settings, ledger=ledger))
    lost = [one for one in found if one.state != State.HERE]
    what = f"{len(found)} datasets, memories, experiences and cases on record"
    if not lost:
        return Check("learned", "ok", f"all {what} are here" if found else "nothing is on record yet")
    names = ", ".join(one.name + (", which is another" * (one.state == State.OTHER)) for one in lost[:SHOWN])
    names += f", and {len(lost) - SHOWN} more" if len(lost) > SHOWN else ""
    if len(lost) == len(found) and all(one.state == State.MISSING for one in lost):
        advice = "look where the volume, or the state folder (PARFOCAL_STATE), is"
        return Check("learned", "warn", f"none of {what} is here: {names}", advice)
    advice = "an older copy was restored? restore a newer one, or hand those cases in again"
    return Check("learned", "fail", f"{len(lost)} of {what} are not here as they were: {names}", advice)


def look(settings: Settings, *, ledger: bool) -> Iterator[Named]:
    """What the champions learned from, which their next retrain reads; then experiences and labelled cases.

    Args:
        ledger: there is one; where there is none, looking would make it.

    Raises:
        OutsideServiceError: a database cannot be reached.
    """
    if ledger:
        entries = SqlLedger(settings.ledger_url).entries()
        for task in dict.fromkeys(entry.task for entry in entries):
            yield from _learned_from(task, [entry for entry in entries if entry.task == task])
    yield from _handed_in(settings)


def _learned_from(task: str, entries: Sequence[LedgerEntry]) -> Iterator[Named]:
    """Datasets and exemplar memory of the champion that the ledger says a task has."""
    reigns = champion.history(entries)
    try:
        evidence = account.evidence_of(entries, reigns[-1].version) if reigns else {}
    except UsageError:  # an alias that was moved by hand to what was never promoted
        return
    for one in evidence.get("data", ()):
        yield Named(f"dataset of {one['instrument']} ({one['uri']})", _dataset(one))
    if kept := evidence.get("memory"):
        yield Named(f"exemplar memory of {task} version {reigns[-1].version} ({kept['uri']})", _memory(kept))


def _dataset(said: Mapping[str, Any]) -> State:
    return _sealed(Path(said["uri"]), "dataset", said["checksum"])


def _memory(said: Mapping[str, Any]) -> State:
    """A purge since the promotion changes a memory, and is on record in it."""
    found = _sealed(Path(said["uri"]), "memory", said["checksum"])
    return State.HERE if found == State.OTHER and _purged(Path(said["uri"])) else found


def _purged(folder: Path) -> bool:
    from parfocal.memory.buffer import Memory

    try:
        return bool(Memory.read(folder).purges)
    except DataContractError:
        return False


def _sealed(folder: Path, kind: str, checksum: str | None) -> State:
    """`checksum` is None where the promotion could not see the folder."""
    if not folder.is_dir():
        return State.MISSING
    try:
        found = manifest.read(folder, kind).checksum
    except DataContractError:
        return State.OTHER
    return State.HERE if checksum in (None, found) else State.OTHER


def _handed_in(settings: Settings) -> Iterator[Named]:
    said = handed_in(MonitoredSettings(**settings.model_dump()))
    closed, waiting = settings.state / "experiences", settings.state / "labelled"
    for task, instrument, number in said.experiences:
        here = (closed / task / instrument / str(number)).is_dir()
        yield Named(f"experience {number} of {instrument}", State.HERE if here else State.MISSING)
    kept = {
        (task, file.stem)
        for task in {task for task, *_ in said.cases}
        for folder in (*(closed / task).glob(f"*/*/{IMAGES}"), *(waiting / task).glob(f"*/{IMAGES}"))
        for file in folder.iterdir()
    }
    for task, instrument, case in said.cases:
        yield Named(f"case {case} of {instrument}", State.HERE if (task, case) in kept else State.MISSING)
