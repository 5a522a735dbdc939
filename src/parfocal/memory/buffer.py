"""The exemplar memory: the few past cases an instrument keeps, as a sealed folder.

It is patients' images: its own artifact, never registered, never served, and every removal leaves a record.

    memory/
      exemplars.json                    what is kept, in the order of the arrays, and what was purged
      arrays/<instrument>/<structure>.safetensors
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import Field
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file

from parfocal.core import manifest
from parfocal.core.config import Config
from parfocal.core.errors import DataContractError
from parfocal.core.manifest import Manifest, Parent
from parfocal.memory.rows import take
from parfocal.preprocessing.shards import Arrays

EXEMPLARS = "exemplars.json"


class Kept(Config):
    """The exemplars of one instrument and structure, in the order of their arrays."""

    instrument: str
    structure: str
    file: str
    cases: tuple[str, ...]
    patients: tuple[str, ...]


class Purge(Config):
    """A removal, on request or because a retention period ended."""

    instrument: str
    patient: str = Field(default="", description="empty: all of the instrument")
    exemplars: int
    reason: str
    time: str = Field(description="ISO 8601, UTC")


class _Contents(Config):
    schema_version: int = 1
    kept: tuple[Kept, ...]
    purges: tuple[Purge, ...] = ()


@dataclass(frozen=True)
class Memory:
    """Exemplars by (instrument, structure). A value: every change gives a new one."""

    exemplars: Mapping[tuple[str, str], Arrays] = field(default_factory=dict)
    patients: Mapping[str, str] = field(default_factory=dict)
    """Case id to patient, of every exemplar."""
    purges: tuple[Purge, ...] = ()

    def arrays(self, structure: str) -> dict[str, Arrays]:
        """Exemplars of one structure by instrument."""
        return {name: arrays for (name, what), arrays in self.exemplars.items() if what == structure}

    def with_exemplars(self, instrument: str, structure: str, arrays: Arrays, patients: Mapping[str, str]) -> Memory:
        """The memory with these exemplars in place of those of the same instrument and structure.

        Args:
            patients: case id to patient, at least for the cases of `arrays`.
        """
        known = {**self.patients, **{case: patients[case] for case in arrays.case_ids}}
        return replace(self, exemplars={**self.exemplars, (instrument, structure): arrays}, patients=known)

    def purge(self, instrument: str, *, patient: str = "", reason: str, time: str) -> Memory:
        """Forget an instrument, or one patient of it; the record of it stays."""
        kept: dict[tuple[str, str], Arrays] = {}
        removed = 0
        for key, arrays in self.exemplars.items():
            stay = [
                i
                for i, case in enumerate(arrays.case_ids)
                if key[0] != instrument or (patient and self.patients[case] != patient)
            ]
            removed += len(arrays) - len(stay)
            if stay:
                kept[key] = take(arrays, stay)
        record = Purge(instrument=instrument, patient=patient, exemplars=removed, reason=reason, time=time)
        left = {case: self.patients[case] for arrays in kept.values() for case in arrays.case_ids}
        return Memory(kept, left, (*self.purges, record))

    def write(self, out: Path, *, parents: Sequence[Parent] = (), config: Mapping[str, Any] | None = None) -> Manifest:
        """Write a sealed memory folder."""
        with manifest.new_folder(out, "memory", parents=parents, config=config) as scratch:
            kept: list[Kept] = []
            for (instrument, structure), arrays in sorted(self.exemplars.items()):
                file = f"arrays/{len(kept):03d}-{structure}.safetensors"
                (scratch / file).parent.mkdir(exist_ok=True)
                tensors = {"image": np.ascontiguousarray(arrays.image), "mask": np.ascontiguousarray(arrays.mask)}
                save_file(tensors, scratch / file)
                kept.append(
                    Kept(
                        instrument=instrument,
                        structure=structure,
                        file=file,
                        cases=arrays.case_ids,
                        patients=tuple(self.patients[case] for case in arrays.case_ids),
                    )
                )
            contents = _Contents(kept=tuple(kept), purges=self.purges)
            (scratch / EXEMPLARS).write_text(contents.model_dump_json(indent=1))
        return manifest.read(out)

    @classmethod
    def read(cls, folder: Path) -> Memory:
        """Read and verify a sealed memory folder.

        Raises:
            DataContractError: it is not there, or not whole.
        """
        manifest.verify(folder, "memory")
        try:
            contents = _Contents.model_validate_json((folder / EXEMPLARS).read_text())
            exemplars: dict[tuple[str, str], Arrays] = {}
            patients: dict[str, str] = {}
            for kept in contents.kept:
                tensors = load_file(folder / kept.file)
                exemplars[kept.instrument, kept.structure] = Arrays(tensors["image"], tensors["mask"], kept.cases)
                patients |= dict(zip(kept.cases, kept.patients, strict=True))
        except (OSError, ValueError, KeyError, SafetensorError) as error:
            raise DataContractError(f"the exemplar memory cannot be read: {error}", where=folder) from None
        return cls(exemplars, patients, contents.purges)
