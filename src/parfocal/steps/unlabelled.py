"""Frames of pictures that nobody labelled, as the champion would look at them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from parfocal.core import bundle
from parfocal.core.bundle import DatasetRef
from parfocal.inference.predictor import Predictor
from parfocal.preprocessing import recipes
from parfocal.preprocessing.images import decode_image
from parfocal.preprocessing.shards import UNKNOWN, Arrays, read_dataset
from parfocal.steps.sides import held_out_patients


def frames(dataset: Path, champion: Path) -> dict[str, Arrays]:
    """By structure, the frames of the dataset's unlabelled cases, with unknown masks.

    A structure inside another is framed by the champion's own answer, as in use; a case in which that is empty has no
    frame there. Patients on whom this or an earlier dataset validates or tests are left out.
    """
    found: dict[str, list[tuple[str, NDArray[np.uint8]]]] = {}
    for structure, case, frame in _all(dataset, champion):
        found.setdefault(structure, []).append((case, frame))
    return {
        structure: Arrays(
            np.stack([frame for _, frame in rows]),
            np.full((len(rows), *rows[0][1].shape[:2]), UNKNOWN, np.uint8),
            tuple(case for case, _ in rows),
        )
        for structure, rows in found.items()
    }


def patients(folder: Path, beside: Sequence[Path]) -> set[str]:
    """Patients from whom a network learns where it learns from the unlabelled pictures of `folder`.

    Args:
        folder: a dataset.
        beside: all datasets that it is learned with; who is held out by one of them is not learned from.
    """
    out = held_out_patients(beside)
    return {case.patient for case in read_dataset(folder).unlabelled if case.patient not in out}


def learned(datasets: Sequence[DatasetRef]) -> set[str]:
    """Patients from whom a bundle's networks have learned without labels; its datasets in the order they came in."""
    folders = [Path(one.uri) for one in datasets]
    found = [patients(folders[i], folders[: i + 1]) for i, one in enumerate(datasets) if one.unlabelled]
    return set[str]().union(*found)


def _all(dataset: Path, champion: Path) -> Iterator[tuple[str, str, NDArray[np.uint8]]]:
    """Structure, case id and frame."""
    predictor = Predictor(champion)
    recipe = recipes.stored(predictor.bundle.recipe, bundle.BUNDLE)
    read = read_dataset(dataset)
    out = held_out_patients([*(Path(one.uri) for one in predictor.bundle.datasets), dataset])
    for case in (one for one in read.unlabelled if one.patient not in out):
        image = decode_image((dataset / case.image).read_bytes())
        for structure, box in predictor.predict(image, read.instrument).boxes.items():
            if box is not None:
                for tile in recipe.tiles(box):
                    yield structure, case.id, recipe.frame(image, tile)
