"""A patient is on one side of the split, in every dataset that a network learns from or is judged on."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from parfocal.core.errors import DataContractError
from parfocal.core.types import Split
from parfocal.preprocessing.shards import read_dataset


def held_out_patients(folders: Sequence[Path]) -> set[str]:
    """Patients on the validation or test side of any of these datasets: unlabelled pictures of them are not learned."""
    return {case.patient for one in map(read_dataset, folders) for case in one.cases if case.split is not Split.TRAIN}


def refuse_two(learned: Sequence[Path], judged: Sequence[Path]) -> None:
    """Refuse to learn from patients of an instrument on whom another of its datasets validates or tests.

    Sides are dealt among the patients of one dataset; another one keeps them when it is preprocessed after the first.

    Raises:
        DataContractError: a patient on the training side of a dataset in `learned` is held out by one in `judged`.
    """
    known: dict[tuple[str, str], Path] = {}
    for folder in learned:
        dataset = read_dataset(folder)
        known |= {(dataset.instrument, case.patient): folder for case in dataset.on(Split.TRAIN)}
    both: dict[tuple[str, str], Path] = {}
    for folder in judged:
        dataset = read_dataset(folder)
        out = {(dataset.instrument, case.patient) for case in dataset.cases if case.split is not Split.TRAIN}
        both |= dict.fromkeys(known.keys() & out, folder)
    if both:
        first = min(both)
        raise DataContractError(
            f"{len(both)} patients of {first[0]} are held out here and learned from in {known[first]}: {first[1]}, ...",
            where=both[first],
            expected="one side a patient",
            next="preprocess with the same patients, split.key and quota, or with --champion, which keeps every side",
        )
