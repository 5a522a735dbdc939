"""The folder of an exemplar memory.

exemplars.json                   `Record`: whose picture each row is, and what was purged
arrays/<structure>.safetensors   image uint8 [N, S, S, 3] BGR, mask uint8 {0, 1} [N, S, S], rows as listed;
                                 where kept, logits/<instrument> float16 [n, C, S, S], rows of that instrument
carried/<structure>.safetensors  float32 by name, what a strategy takes from one increment to the next
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import Field
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file

from parfocal.core import formats, manifest
from parfocal.core.config import Config
from parfocal.core.errors import DataContractError
from parfocal.core.manifest import Manifest, Parent
from parfocal.core.types import NO_SLICE, Slice
from parfocal.memory import replacing
from parfocal.memory.rows import concatenate, take
from parfocal.preprocessing.shards import Arrays

EXEMPLARS = "exemplars.json"
LOGITS = "logits/"

Carried = Mapping[str, Mapping[str, NDArray[np.float32]]]
"""Structure to name to numbers."""


@dataclass(frozen=True, slots=True, eq=False)
class Kept:
    """What is kept of one instrument for one structure.

    Attributes:
        arrays: the exemplars.
        seen: cases that competed for a place so far, over all increments; at least the exemplars.
        logits: what a network said of them when they were taken in, float16 [N, C, S, S]; None where nobody asked.
    """

    arrays: Arrays
    seen: int = 0
    logits: NDArray[np.float16] | None = None

    def rows(self, rows: Sequence[int]) -> Kept:
        """The exemplars at `rows`, in that order."""
        chosen = None if self.logits is None else self.logits[list(rows)]
        return replace(self, arrays=take(self.arrays, rows), logits=chosen)


Exemplars = Mapping[str, Mapping[str, Kept]]
"""Structure to instrument to what is kept."""

Patients = Mapping[str, Mapping[str, str]]
"""Instrument to case id to patient's key; two instruments may have cases of one name."""


class Purge(Config):
    """What was taken out on request. A patient is named by the SHA-256 of the key alone."""

    instrument: str = ""
    patient_sha256: str = ""
    removed: int
    date: str = Field(default="", description="ISO 8601")


class Exemplar(Config):
    """One row of a structure's arrays."""

    case: str
    patient: str
    instrument: str
    slice: Slice = Field(default=NO_SLICE, exclude_if=lambda place: not place.volume)


class Record(Config):
    """Contents of exemplars.json."""

    schema_version: int = 1
    structures: dict[str, tuple[Exemplar, ...]]
    seen: dict[str, dict[str, int]] = Field(default_factory=dict, description="structure to instrument to cases")
    purges: tuple[Purge, ...] = ()


def write(
    exemplars: Exemplars,
    patients: Patients,
    purges: tuple[Purge, ...],
    carried: Carried,
    out: Path,
    parents: Sequence[Parent],
) -> Manifest:
    """Write a sealed folder; equal exemplars give equal bytes, so an equal checksum.

    Raises:
        UsageError: `out` is there already.
    """
    structures: dict[str, tuple[Exemplar, ...]] = {}
    seen: dict[str, dict[str, int]] = {}
    with manifest.new_folder(out, "memory", parents=parents) as scratch:
        for structure, kept in sorted(exemplars.items()):
            structures[structure] = tuple(
                row for name in sorted(kept) for row in _listed(name, kept[name].arrays, patients[name])
            )
            seen[structure] = {name: kept[name].seen for name in sorted(kept)}
            _save(_tensors(kept), scratch / _file(structure))
        for structure, numbers in sorted(carried.items()):
            _save(dict(numbers), scratch / _file(structure, "carried"))
        record = Record(structures=structures, seen=seen, purges=purges)
        (scratch / EXEMPLARS).write_text(record.model_dump_json(indent=1) + "\n")
    return manifest.read(out, "memory")


def read(folder: Path) -> tuple[Exemplars, Patients, tuple[Purge, ...], Carried]:
    """Exemplars, patients, purges and what is carried, of a sealed folder, after checking every file of it.

    A purge that was killed while it changed folders is finished first.

    Raises:
        DataContractError: it is not a whole, unchanged memory; the message names the file.
    """
    folder = Path(folder)
    replacing.finish(folder)
    manifest.verify(folder, "memory")
    try:
        record = formats.read(Record, folder / EXEMPLARS)
    except (OSError, ValueError) as error:
        raise DataContractError(f"{EXEMPLARS} cannot be read: {error}", where=folder / EXEMPLARS) from None
    exemplars = {
        structure: _load(folder / _file(structure), rows, record.seen.get(structure, {}))
        for structure, rows in record.structures.items()
    }
    patients: dict[str, dict[str, str]] = {}
    for rows in record.structures.values():
        for row in rows:
            patients.setdefault(row.instrument, {})[row.case] = row.patient
    files = sorted(folder.glob(_file("*", "carried")))
    return exemplars, patients, record.purges, {file.stem: _numbers(file) for file in files}


def _file(structure: str, kind: str = "arrays") -> str:
    return f"{kind}/{structure}.safetensors"


def _listed(instrument: str, arrays: Arrays, patients: Mapping[str, str]) -> Iterator[Exemplar]:
    for case, place in zip(arrays.case_ids, arrays.slices, strict=True):
        yield Exemplar(case=case, patient=patients[case], instrument=instrument, slice=place)


def _tensors(kept: Mapping[str, Kept]) -> dict[str, NDArray[Any]]:
    rows = concatenate([kept[name].arrays for name in sorted(kept)])
    logits = {f"{LOGITS}{name}": one.logits for name, one in kept.items() if one.logits is not None}
    return {"image": rows.image, "mask": rows.mask, **logits}


def _save(tensors: Mapping[str, NDArray[Any]], file: Path) -> None:
    file.parent.mkdir(exist_ok=True)
    save_file({name: np.ascontiguousarray(tensors[name]) for name in sorted(tensors)}, file)


def _numbers(file: Path) -> dict[str, NDArray[Any]]:
    try:
        return dict(load_file(file))
    except (SafetensorError, OSError) as error:
        raise DataContractError(f"this part of the memory cannot be read: {error}", where=file) from None


def _load(file: Path, rows: Sequence[Exemplar], seen: Mapping[str, int]) -> dict[str, Kept]:
    tensors = _numbers(file)
    try:
        names, places = tuple(row.case for row in rows), tuple(row.slice for row in rows)
        everything = Arrays(tensors["image"], tensors["mask"], names, slices=places)
    except KeyError as error:
        raise DataContractError(f"the exemplars cannot be read: {error}", where=file) from None
    found = {}
    lengths = {len(everything.image), len(everything.mask), len(rows)}
    for name in dict.fromkeys(row.instrument for row in rows):
        own = [i for i, row in enumerate(rows) if row.instrument == name]
        logits = tensors.get(f"{LOGITS}{name}")
        lengths |= set() if logits is None or len(logits) == len(own) else {len(logits)}
        if len(lengths) == 1:
            found[name] = Kept(take(everything, own), seen.get(name, len(own)), logits)
    if len(lengths) > 1:
        raise DataContractError(f"the exemplars are not the {len(rows)} that {EXEMPLARS} lists", where=file)
    return found
