"""The exemplar memory: some training pictures of every instrument, kept so that it can be rehearsed.

Exemplars are patients' images. A memory is a folder of its own, never registered and never served; an instrument or
a patient can be purged, and a purged patient does not come back. What is computed of exemplars (what a network said of
them, which weights they need) lies in the same folder, so that nothing of them leaves it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from parfocal.core.errors import DataContractError
from parfocal.core.manifest import Manifest, Parent
from parfocal.memory import rows, storage
from parfocal.memory.rows import take
from parfocal.memory.storage import Carried, Exemplars, Kept, Patients, Purge
from parfocal.preprocessing.shards import Arrays


@dataclass(frozen=True, eq=False)
class Memory:
    """Exemplars by structure and instrument. Every change gives a new memory; `Memory()` is the empty one.

    Attributes:
        exemplars: structure to instrument to what is kept; no empty entries.
        patients: by instrument and case id the patient's key, of all cases in it.
        purges: oldest first.
        carried: by structure, what a strategy takes from one increment to the next.
    """

    exemplars: Exemplars = field(default_factory=dict)
    patients: Patients = field(default_factory=dict)
    purges: tuple[Purge, ...] = ()
    carried: Carried = field(default_factory=dict)

    def arrays(self, structure: str) -> Mapping[str, Arrays]:
        """Exemplars of a structure by instrument; empty for a structure that has none."""
        return MappingProxyType({name: kept.arrays for name, kept in self._of(structure).items()})

    def kept(self, structure: str, instrument: str) -> Kept | None:
        """All that is kept of an instrument for a structure; None for nothing."""
        return self._of(structure).get(instrument)

    def logits(self, structure: str) -> Mapping[str, NDArray[np.float16]]:
        """Kept logits of a structure's exemplars by instrument, where there are any."""
        return {name: one.logits for name, one in self._of(structure).items() if one.logits is not None}

    def permitted(self, arrays: Arrays, patients: Mapping[str, str]) -> Arrays:
        """The rows of `arrays` whose patient was not purged.

        Args:
            patients: case id to patient's key, at least of these cases.
        """
        purged = {purge.patient_sha256 for purge in self.purges}
        return take(arrays, _rows(arrays, lambda case: _sha256(patients[case]) not in purged)) if purged else arrays

    def with_exemplars(
        self,
        instrument: str,
        structure: str,
        arrays: Arrays,
        patients: Mapping[str, str],
        *,
        seen: int = 0,
        logits: NDArray[np.float16] | None = None,
    ) -> Memory:
        """A memory in which `arrays` are all that is kept of this instrument's structure.

        Pictures of purged patients are left out.

        Args:
            instrument, structure: whose pictures they are.
            arrays: training pictures, never of another side of the split; may be empty.
            patients: case id to patient's key, at least of these cases.
            seen: cases that competed for a place so far.
            logits: what a network says of them, float16 [N, C, S, S].

        Raises:
            DataContractError: a case's patient is not known, so it could not be purged.
        """
        unknown = [case for case in arrays.case_ids if case not in patients]
        if unknown:
            raise DataContractError("an exemplar's patient is not known", where=unknown[0])
        purged = {purge.patient_sha256 for purge in self.purges}
        permitted = _rows(arrays, lambda case: _sha256(patients[case]) not in purged)
        kept = Kept(arrays, max(seen, len(arrays)), logits).rows(permitted)
        exemplars = {name: dict(others) for name, others in self.exemplars.items()}
        exemplars.setdefault(structure, {})[instrument] = kept
        return self._with(exemplars, {**self.patients, instrument: {**self.patients.get(instrument, {}), **patients}})

    def relabelled(self, instrument: str, structure: str, arrays: Arrays) -> Memory:
        """A memory whose exemplars among `arrays` have their pictures and masks: a case that was drawn anew.

        Where a picture changes too, what a network said of this instrument's exemplars is forgotten.
        """
        kept = self.kept(structure, instrument)
        if kept is None or not (drawn := rows.common(kept.arrays, arrays)):
            return self
        fresh = rows.replaced(kept.arrays, arrays, drawn)
        same = np.array_equal(fresh.image, kept.arrays.image)
        changed = replace(kept, arrays=fresh, logits=kept.logits if same else None)
        return self._with({**self.exemplars, structure: {**self._of(structure), instrument: changed}}, self.patients)

    def with_carried(self, structure: str, numbers: Mapping[str, NDArray[np.float32]]) -> Memory:
        """A memory that carries these numbers for a structure, and no others; empty for none."""
        others = {name: kept for name, kept in self.carried.items() if name != structure}
        return replace(self, carried={**others, **({structure: dict(numbers)} if numbers else {})})

    def with_logits(self, structure: str, logits: Mapping[str, NDArray[np.float16]]) -> Memory:
        """A memory that has these logits, by instrument and row by row, of a structure's exemplars."""
        kept = {name: replace(one, logits=logits.get(name, one.logits)) for name, one in self._of(structure).items()}
        return self._with({**self.exemplars, structure: kept}, self.patients)

    def bounded(self, structures: Sequence[str], limit: int, *, ordered: bool, seed: int = 0) -> Memory:
        """A memory with the exemplars of at most `limit` patients of these structures together, over all instruments.

        The same patients stay in each of them. Instruments shrink evenly (`evenly`): the fullest first, so none is
        forgotten for another. Within one, the first in order stay where exemplars are `ordered` by worth; else those
        whose hash with the seed is smallest, which are as good as random, and the same for every structure and in
        every later increment.
        """
        ranked: dict[str, dict[str, None]] = {}
        for structure in structures:
            for name, one in self._of(structure).items():
                ranked.setdefault(name, {}).update(dict.fromkeys(self._owners(name, one)))
        places = evenly({name: len(found) for name, found in ranked.items()}, limit)
        chosen: dict[str, set[str]] = {}
        for name, found in ranked.items():
            order = list(found) if ordered else sorted(found, key=lambda patient: _sha256(f"{seed} {patient}"))
            chosen[name] = set(order[: places[name]])
        shrunk = {
            structure: {
                name: one.rows([row for row, who in enumerate(self._owners(name, one)) if who in chosen[name]])
                for name, one in self._of(structure).items()
            }
            for structure in structures
        }
        return self._with({**self.exemplars, **shrunk}, self.patients)

    def purge(self, instrument: str, *, date: str = "") -> Memory:
        """Without any picture of an instrument; the purge is on record."""
        return self._purged(lambda name, _: name != instrument, instrument=instrument, date=date)

    def purge_patient(self, patient: str, *, date: str = "") -> Memory:
        """Without any picture of a patient, and closed to later ones; the purge is on record."""
        return self._purged(lambda _, who: who != patient, patient_sha256=_sha256(patient), date=date)

    def write(self, out: Path, *, parents: Sequence[Parent] = ()) -> Manifest:
        """Write a sealed folder; equal memories give equal bytes.

        Raises:
            UsageError: `out` is there already.
        """
        return storage.write(self.exemplars, self.patients, self.purges, self.carried, out, parents)

    @classmethod
    def read(cls, folder: Path) -> Memory:
        """Read a sealed folder after checking every file of it.

        Raises:
            DataContractError: it is not a whole, unchanged memory; the message names the file.
        """
        return cls(*storage.read(folder))

    def _purged(self, stays: Callable[[str, str], bool], **what: str) -> Memory:
        """Pictures for which `stays(instrument, patient)` holds, without what was computed of those that go."""
        total, exemplars, whole = 0, {}, set()
        for structure, kept in self.exemplars.items():
            left, gone = {}, 0
            for name, one in kept.items():
                owners = self._owners(name, one)
                staying = [row for row, patient in enumerate(owners) if stays(name, patient)]
                left[name] = replace(one.rows(staying), seen=one.seen - len(owners) + len(staying))
                gone += len(owners) - len(staying)
            exemplars[structure] = left
            total += gone
            if not gone:
                whole.add(structure)
        # What is carried for a network of several structures bears its name, and is of all of their exemplars.
        carried = {name: numbers for name, numbers in self.carried.items() if not total or name in whole}
        cleared = replace(self._with(exemplars, self.patients), carried=carried)
        return replace(cleared, purges=(*self.purges, Purge(removed=total, **what)))

    def _owners(self, instrument: str, kept: Kept) -> list[str]:
        """The patient of each row."""
        return [self.patients[instrument][case] for case in kept.arrays.case_ids]

    def _of(self, structure: str) -> Mapping[str, Kept]:
        return self.exemplars.get(structure, {})

    def _with(self, exemplars: Exemplars, patients: Patients) -> Memory:
        filled = {
            structure: {name: one for name, one in kept.items() if len(one.arrays)}
            for structure, kept in exemplars.items()
        }
        filled = {structure: kept for structure, kept in filled.items() if kept}
        cases = {(name, case) for kept in filled.values() for name, one in kept.items() for case in one.arrays.case_ids}
        known: dict[str, dict[str, str]] = {}
        for name, case in sorted(cases):
            known.setdefault(name, {})[case] = patients[name][case]
        return replace(self, exemplars=filled, patients=known)


def evenly(counts: Mapping[str, int], limit: int) -> dict[str, int]:
    """Places of each, at most its count and `limit` in all, as even as can be; of one that is left the earlier name."""
    places = dict.fromkeys(sorted(counts), 0)
    for _ in range(min(limit, sum(counts.values()))):
        hungry = [name for name in places if places[name] < counts[name]]
        places[min(hungry, key=lambda name: places[name])] += 1
    return places


def _rows(arrays: Arrays, keeps: Callable[[str], bool]) -> list[int]:
    return [row for row, case in enumerate(arrays.case_ids) if keeps(case)]


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
