"""The exemplar memory: some training pictures of every instrument, kept so that it can be rehearsed.

Exemplars are patients' images. A memory is a folder of its own, never registered and never served; an instrument or
a patient can be purged, and a purged patient does not come back.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import MappingProxyType

from parfocal.core.errors import DataContractError
from parfocal.core.manifest import Manifest, Parent
from parfocal.memory import storage
from parfocal.memory.rows import take
from parfocal.memory.storage import Exemplars, Purge
from parfocal.preprocessing.shards import Arrays


@dataclass(frozen=True, eq=False)
class Memory:
    """Exemplars by structure and instrument. Every change gives a new memory; `Memory()` is the empty one.

    Attributes:
        exemplars: structure to instrument to pictures; no empty entries.
        patients: case id to patient's key, of all cases in it.
        purges: oldest first.
    """

    exemplars: Exemplars = field(default_factory=dict)
    patients: Mapping[str, str] = field(default_factory=dict)
    purges: tuple[Purge, ...] = ()

    def arrays(self, structure: str) -> Mapping[str, Arrays]:
        """Exemplars of a structure by instrument; empty for a structure that has none."""
        return MappingProxyType(dict(self.exemplars.get(structure, {})))

    def with_exemplars(self, instrument: str, structure: str, arrays: Arrays, patients: Mapping[str, str]) -> Memory:
        """A memory in which `arrays` are all that is kept of this instrument's structure.

        Pictures of purged patients are left out.

        Args:
            instrument, structure: whose pictures they are.
            arrays: training pictures, never of another side of the split; may be empty.
            patients: case id to patient's key, at least of these cases.

        Raises:
            DataContractError: a case's patient is not known, so it could not be purged.
        """
        unknown = [case for case in arrays.case_ids if case not in patients]
        if unknown:
            raise DataContractError("an exemplar's patient is not known", where=unknown[0])
        purged = {purge.patient_sha256 for purge in self.purges}
        exemplars = {name: dict(kept) for name, kept in self.exemplars.items()}
        exemplars.setdefault(structure, {})[instrument] = _where(
            arrays, lambda case: _sha256(patients[case]) not in purged
        )
        return self._with(exemplars, {**self.patients, **patients})

    def purge(self, instrument: str) -> Memory:
        """Without any picture of an instrument; the purge is on record."""
        exemplars = {
            structure: {name: arrays for name, arrays in kept.items() if name != instrument}
            for structure, kept in self.exemplars.items()
        }
        return self._purged(exemplars, instrument=instrument)

    def purge_patient(self, patient: str) -> Memory:
        """Without any picture of a patient, and closed to later ones; the purge is on record."""
        exemplars = {
            structure: {
                name: _where(arrays, lambda case: self.patients[case] != patient) for name, arrays in kept.items()
            }
            for structure, kept in self.exemplars.items()
        }
        return self._purged(exemplars, patient_sha256=_sha256(patient))

    def write(self, out: Path, *, parents: Sequence[Parent] = ()) -> Manifest:
        """Write a sealed folder; equal memories give equal bytes.

        Raises:
            UsageError: `out` is there already.
        """
        return storage.write(self.exemplars, self.patients, self.purges, out, parents)

    @classmethod
    def read(cls, folder: Path) -> Memory:
        """Read a sealed folder after checking every file of it.

        Raises:
            DataContractError: it is not a whole, unchanged memory; the message names the file.
        """
        return cls(*storage.read(folder))

    def _purged(self, exemplars: Exemplars, **whose: str) -> Memory:
        removed = _count(self.exemplars) - _count(exemplars)
        cleared = self._with(exemplars, self.patients)
        return replace(cleared, purges=(*self.purges, Purge(removed=removed, **whose)))

    def _with(self, exemplars: Exemplars, patients: Mapping[str, str]) -> Memory:
        filled = {
            structure: {name: arrays for name, arrays in kept.items() if len(arrays)}
            for structure, kept in exemplars.items()
        }
        filled = {structure: kept for structure, kept in filled.items() if kept}
        cases = {case for kept in filled.values() for arrays in kept.values() for case in arrays.case_ids}
        return replace(self, exemplars=filled, patients={case: patients[case] for case in sorted(cases)})


def _where(arrays: Arrays, keeps: Callable[[str], bool]) -> Arrays:
    return take(arrays, [row for row, case in enumerate(arrays.case_ids) if keeps(case)])


def _count(exemplars: Exemplars) -> int:
    return sum(len(arrays) for kept in exemplars.values() for arrays in kept.values())


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
