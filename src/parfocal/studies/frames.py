"""The frames of a data set with their patients: picked by side, patient or fold."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np

from parfocal.core.errors import DataContractError
from parfocal.core.types import Split
from parfocal.memory.rows import concatenate, take
from parfocal.preprocessing.shards import Arrays, read_arrays, read_dataset, read_points
from parfocal.studies.study import Data

LEARNED = (Split.TRAIN, Split.VALIDATION)
"""The papers' 75 %: nothing is chosen on held-out images, so none are held out beside the test."""


@dataclass(frozen=True, slots=True, eq=False)
class Frames:
    """Frames of one structure.

    Attributes:
        data: where they are from.
        arrays: as the network sees them.
        patients: of each row.
    """

    data: Data
    structure: str
    arrays: Arrays
    patients: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.arrays)

    def rows(self, indices: Sequence[int]) -> Frames:
        """The rows at `indices`, in that order."""
        return Frames(self.data, self.structure, take(self.arrays, indices), tuple(self.patients[i] for i in indices))

    def of(self, patients: Iterable[str]) -> Frames:
        """All rows of these patients."""
        wanted = set(patients)
        return self.rows([i for i, patient in enumerate(self.patients) if patient in wanted])

    def cases(self) -> Frames:
        """One row a case: static copies, which follow their original, are left out."""
        first: dict[str, int] = {}
        for row, case in enumerate(self.arrays.case_ids):
            first.setdefault(case, row)
        return self.rows(list(first.values()))


def frames(data: Data, structure: str, *sides: Split) -> Frames:
    """The frames on these sides of the frozen split, all when none is named.

    Raises:
        DataContractError: nobody labelled the structure there.
    """
    parts = [read_arrays(data.folder, structure, side) for side in sides or tuple(Split)]
    return _joined(data, structure, [part for part in parts if part is not None], f"mask of the {structure}")


def centred(data: Data, structure: str, *sides: Split) -> Frames:
    """All frames on these sides in which the structure's centre is known: set by a person, or the mask's centroid.

    Raises:
        DataContractError: there is none.
    """
    found = [part for side in sides if (part := read_points(data.folder, structure, side)) is not None]
    return _joined(data, structure, found, f"centre of the {structure}")


def patches(frames: Frames, side: int, count: int, seed: int) -> Frames:
    """`count` random squares of `side` pixels of each frame, drawn once (paper 003 draws them anew in each step)."""
    rng = np.random.default_rng([seed, side])
    arrays, size = frames.arrays, frames.arrays.mask.shape[1]
    if size <= side:
        return frames
    rows = np.repeat(np.arange(len(arrays)), count)
    corners = rng.integers(0, size - side, (len(rows), 2), endpoint=True)
    cut = [
        (row, slice(top, top + side), slice(left, left + side)) for row, (top, left) in zip(rows, corners, strict=True)
    ]
    made = Arrays(
        np.stack([arrays.image[place] for place in cut]),
        np.stack([arrays.mask[place] for place in cut]),
        tuple(arrays.case_ids[row] for row in rows),
    )
    return Frames(frames.data, frames.structure, made, tuple(frames.patients[row] for row in rows))


def labelled(data: Data, structure: str) -> bool:
    """Whether anybody drew the structure in any case, or set its centre."""
    return any(structure in case.masks or structure in case.points for case in read_dataset(data.folder).cases)


def folds(patients: Iterable[str], number: int, seed: int) -> list[frozenset[str]]:
    """Patients dealt into `number` folds that differ by one at most; a function of the seed."""
    shuffled = shuffle(patients, seed)
    return [frozenset(shuffled[fold::number]) for fold in range(number)]


def shuffle(patients: Iterable[str], seed: int) -> list[str]:
    """Each patient once, in an order that depends on the seed: the first N are nested in the first N + 1."""
    names = sorted(set(patients))
    return [names[i] for i in np.random.default_rng([seed, len(names)]).permutation(len(names))]


def _joined(data: Data, structure: str, parts: Sequence[Arrays], what: str) -> Frames:
    if not parts:
        raise DataContractError(f"no case of {data.label} has a {what}", where=data.folder)
    arrays, patients = concatenate(parts), _patients(data.folder)
    return Frames(data, structure, arrays, tuple(patients[case] for case in arrays.case_ids))


@lru_cache(maxsize=8)
def _patients(folder: Path) -> dict[str, str]:
    return {case.id: case.patient for case in read_dataset(folder).cases}
