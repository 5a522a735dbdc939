"""The folder of an exemplar memory.

exemplars.json                  `Record`: whose picture each row is, and what was purged
arrays/<structure>.safetensors  image uint8 [N, S, S, 3] BGR, mask uint8 {0, 1} [N, S, S], rows as listed
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file

from parfocal.core import manifest
from parfocal.core.config import Config
from parfocal.core.errors import DataContractError
from parfocal.core.manifest import Manifest, Parent
from parfocal.memory.rows import concatenate, take
from parfocal.preprocessing.shards import Arrays

EXEMPLARS = "exemplars.json"

Exemplars = Mapping[str, Mapping[str, Arrays]]
"""Structure to instrument to pictures."""


class Purge(Config):
    """What was taken out on request. A patient is named by the SHA-256 of the key alone."""

    instrument: str = ""
    patient_sha256: str = ""
    removed: int


class Exemplar(Config):
    """One row of a structure's arrays."""

    case: str
    patient: str
    instrument: str


class Record(Config):
    """Contents of exemplars.json."""

    schema_version: int = 1
    structures: dict[str, tuple[Exemplar, ...]]
    purges: tuple[Purge, ...] = ()


def write(
    exemplars: Exemplars, patients: Mapping[str, str], purges: tuple[Purge, ...], out: Path, parents: Sequence[Parent]
) -> Manifest:
    """Write a sealed folder; equal exemplars give equal bytes, so an equal checksum.

    Raises:
        UsageError: `out` is there already.
    """
    structures: dict[str, tuple[Exemplar, ...]] = {}
    with manifest.new_folder(out, "memory", parents=parents) as scratch:
        for structure, kept in sorted(exemplars.items()):
            names = sorted(kept)
            rows = concatenate([kept[name] for name in names])
            structures[structure] = tuple(
                Exemplar(case=case, patient=patients[case], instrument=name)
                for name in names
                for case in kept[name].case_ids
            )
            file = scratch / _file(structure)
            file.parent.mkdir(exist_ok=True)
            save_file({"image": np.ascontiguousarray(rows.image), "mask": np.ascontiguousarray(rows.mask)}, file)
        record = Record(structures=structures, purges=purges)
        (scratch / EXEMPLARS).write_text(record.model_dump_json(indent=1) + "\n")
    return manifest.read(out, "memory")


def read(folder: Path) -> tuple[Exemplars, Mapping[str, str], tuple[Purge, ...]]:
    """Exemplars, patients by case and purges of a sealed folder, after checking every file of it.

    Raises:
        DataContractError: it is not a whole, unchanged memory; the message names the file.
    """
    folder = Path(folder)
    manifest.verify(folder, "memory")
    try:
        record = Record.model_validate_json((folder / EXEMPLARS).read_text())
    except (OSError, ValueError) as error:
        raise DataContractError(f"{EXEMPLARS} cannot be read: {error}", where=folder / EXEMPLARS) from None
    exemplars = {structure: _load(folder / _file(structure), rows) for structure, rows in record.structures.items()}
    patients = {row.case: row.patient for rows in record.structures.values() for row in rows}
    return exemplars, patients, record.purges


def _file(structure: str) -> str:
    return f"arrays/{structure}.safetensors"


def _load(file: Path, rows: Sequence[Exemplar]) -> dict[str, Arrays]:
    try:
        tensors = load_file(file)
        everything = Arrays(tensors["image"], tensors["mask"], tuple(row.case for row in rows))
        lengths = {len(everything.image), len(everything.mask), len(rows)}
    except (SafetensorError, KeyError, OSError) as error:
        raise DataContractError(f"the exemplars cannot be read: {error}", where=file) from None
    if len(lengths) > 1:
        raise DataContractError(f"the exemplars are not the {len(rows)} that {EXEMPLARS} lists", where=file)
    return {
        name: take(everything, [i for i, row in enumerate(rows) if row.instrument == name])
        for name in dict.fromkeys(row.instrument for row in rows)
    }
