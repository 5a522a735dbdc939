"""A volume answered by slices or stacks of slices, and its labels written back into the space that it came from."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np

from parfocal.core import intact
from parfocal.core.bundle import Bundle
from parfocal.core.dicom import simpleitk
from parfocal.core.errors import DataContractError, UsageError
from parfocal.core.task import task
from parfocal.core.volumes import Plane, is_volume, labels_like, open_volume, to_uint16
from parfocal.inference.predictor import Prediction
from parfocal.preprocessing.images import Picture
from parfocal.readers.dicom_headers import refuse_unfit_folder

CUT = ("ct", "mr")
"""Modalities that volumes have; of the others one file is a picture."""


class Answers(Protocol):
    """What is asked of a predictor."""

    @property
    def bundle(self) -> Bundle: ...

    def predict(self, image: Picture) -> Prediction: ...

    def predict_volume(self, pictures: Sequence[Picture]) -> Iterator[Prediction]: ...


@dataclass(frozen=True, slots=True)
class Labelled:
    """What was written.

    Attributes:
        labels: number of each structure in the label volume; 0 is none.
        voxels: of each structure; an outer one's include those of what is inside it.
        millilitres: of each structure; None when the volume does not say how large a voxel is.
        plane: that was cut.
        slices: how many.
    """

    labels: dict[str, int]
    voxels: dict[str, int]
    millilitres: dict[str, float] | None
    plane: str
    slices: int


def segment_volume(
    source: Path,
    predictor: Answers,
    out: Path,
    *,
    structure: str = "",
    plane: Plane = "acquired",
    series: str = "",
    progress: Callable[[int, int], None] | None = None,
) -> Labelled:
    """Cut `source` as the readers do, segment every slice, and write a label volume on the voxels of `source`.

    Networks that look at neighbouring slices see each slice in its volume (`Predictor.predict_volume`).

    Args:
        source: NIfTI, NRRD or MHA file, or a folder with a DICOM series.
        predictor: of a bundle whose networks have learned such slices.
        out: label volume, uint8; its suffix says which format.
        structure: write this one alone, as 1; else all, 1, 2, ... outermost first, an inner one over its outer one.
        plane: the one that was learned from: that of the reader.
        series: which one of a folder with several.
        progress: hears how many slices are done, and of how many.

    Raises:
        DataContractError: the volume cannot be read, or is not of the bundle's modality.
        UsageError: `out` is there already or has no volume's suffix, there is no such structure, or no SimpleITK.
    """
    out = Path(out)
    names = tuple(predictor.bundle.structures)
    if structure and structure not in names:
        raise UsageError(f"the bundle has no structure '{structure}'", expected=f"one of {', '.join(names)}")
    if not is_volume(out):
        raise UsageError("not the name of a volume", where=out, expected="such as labels.nii.gz")
    if out.exists():
        raise UsageError("it is there already", where=out, next="name another file")
    source, asked = Path(source), task(predictor.bundle.task)
    if asked.modality not in CUT:
        raise DataContractError(
            f"a volume, and the task {asked.name} is for pictures: {asked.modality}", where=source,
            next="take a bundle of a task of CT or MR",
        )  # fmt: skip
    if source.is_file():
        intact.check(source)
    elif source.is_dir():
        refuse_unfit_folder(source, series, asked.modality)
    volume = open_volume(source, plane, series=series)
    out.parent.mkdir(parents=True, exist_ok=True)
    try:
        stored = to_uint16(volume.array, asked.modality)
    except DataContractError as error:
        raise DataContractError(error.what, where=source, expected=error.expected, next=error.next) from None
    numbers = {structure: 1} if structure else {name: i for i, name in enumerate(names, start=1)}
    labels = np.zeros(stored.shape, np.uint8)
    voxels = dict.fromkeys(numbers, 0)
    answers = predictor.predict_volume(list(stored)) if predictor.bundle.stacked else map(predictor.predict, stored)
    for done, prediction in enumerate(answers, start=1):
        masks = prediction.masks
        for name, number in numbers.items():
            labels[done - 1][masks[name]] = number
            voxels[name] += int(np.count_nonzero(masks[name]))
        if progress is not None:
            progress(done, len(stored))
    _write(labels_like(volume, labels), out)
    size = float(np.prod(volume.spacing)) / 1000 if volume.spacing else None
    millilitres = None if size is None else {name: count * size for name, count in voxels.items()}
    return Labelled(numbers, voxels, millilitres, volume.plane, len(stored))


def _write(image: object, out: Path) -> None:
    """Whole or not at all."""
    with tempfile.TemporaryDirectory(dir=out.parent, prefix=".labels-") as scratch:
        made = Path(scratch) / out.name
        simpleitk().WriteImage(image, str(made), True)
        made.replace(out)
