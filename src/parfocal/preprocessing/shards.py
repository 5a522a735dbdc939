"""A dataset folder: its list of cases, and the arrays that training reads.

dataset.json                          this module's `Dataset`
images/<id>.<ext>                     bytes as they came
masks/<structure>/<id>.png            8-bit 0 and 255, the size of the image
arrays/<structure>-<split>.safetensors  image uint8 [N, S, S, 3] BGR, mask uint8 {0, 1} [N, S, S], case int64 [N],
                                      points float32 [N, 2]
arrays/<structure>-points-<split>.safetensors  the same of an outermost structure's cases that have a point and no mask
locator/                              what found the structure before the crop (`parfocal.inference.locator`), if asked
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pydantic import Field
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file

from parfocal.core import formats, manifest
from parfocal.core.config import Config
from parfocal.core.errors import DataContractError
from parfocal.core.types import NO_SLICE, Slice, Split
from parfocal.preprocessing.images import Picture, Pixels, decode_image, decode_mask
from parfocal.preprocessing.locate import Located
from parfocal.preprocessing.recipes import AnyRecipe

DATASET = "dataset.json"
UNKNOWN = 255
"""In a mask: nobody said what this pixel is."""
_UNSAID = np.empty((0, 2), np.float32)


@dataclass(frozen=True, slots=True, eq=False)
class Arrays:
    """Frames of one structure on one side of the split.

    Attributes:
        image: uint8 [N, S, S, 3] BGR, after the recipe.
        mask: uint8 {0, 1} [N, S, S]; `UNKNOWN` all over where a case has a point alone (`read_points`).
        case_ids: of each row; a case has several rows where it has static copies or tiles.
        points: float32 [N, 2], (x, y) of the structure's centre as parts of the frame's side, pixel centres at
            (i + 0.5) / S; NaN where nobody said, as in all rows when it is left out.
        slices: where each row's case lies in a volume; in none when it is left out.
    """

    image: Pixels
    mask: Pixels
    case_ids: tuple[str, ...]
    points: NDArray[np.float32] = field(default_factory=lambda: _UNSAID)
    slices: tuple[Slice, ...] = ()

    def __post_init__(self) -> None:
        if not self.slices:
            object.__setattr__(self, "slices", (NO_SLICE,) * len(self.case_ids))
        if self.points is _UNSAID:
            object.__setattr__(self, "points", np.full((len(self.case_ids), 2), np.nan, np.float32))

    def __len__(self) -> int:
        return len(self.case_ids)


class DatasetCase(Config):
    """One case of a dataset; paths are relative to its folder."""

    id: str
    patient: str
    split: Split
    image: str
    masks: dict[str, str] = Field(description="by structure; one that nobody labelled is absent")
    mask_checksums: dict[str, str] = Field(description="SHA-256 of size and pixels, by structure")
    checksum: str = Field(description="SHA-256 of the image file")
    grader: str = ""
    assisted: bool = False
    spacing: tuple[float, float] | None = None
    points: dict[str, tuple[float, float]] = Field(default_factory=dict)
    slice: Slice = Field(
        default=NO_SLICE,
        exclude_if=lambda place: not place.volume,
        description="(volume, number) of a slice of a volume; left out of what is none",
    )
    located: Located | None = Field(
        default=None, exclude_if=lambda value: value is None, description="where the locator found the structure"
    )


class UnlabelledCase(Config):
    """A case without a mask, on no side of the split; its image lies among the others."""

    id: str
    patient: str
    image: str
    checksum: str = Field(description="SHA-256 of the image file")
    located: Located | None = Field(default=None, exclude_if=lambda value: value is None)


class Rejected(Config):
    """A file of the source that did not become part of a case."""

    file: str = Field(description="relative to the source")
    reason: str
    next: str = ""


class Dataset(Config):
    """Contents of dataset.json."""

    schema_version: int = 1
    task: str
    instrument: str
    reader: str
    recipe: AnyRecipe
    quota: tuple[int, int, int] = Field(description="percent by which new patients were dealt")
    declared: bool = Field(
        default=False, description="the source named splits itself, so its test cases were not drawn by the hash"
    )
    cases: tuple[DatasetCase, ...] = Field(description="sorted by id; arrays refer to a case by its place here")
    unlabelled: tuple[UnlabelledCase, ...] = Field(default=(), description="drift is measured against them")
    rejected: tuple[Rejected, ...] = ()
    unlocated: tuple[str, ...] = Field(
        default=(),
        exclude_if=lambda value: not value,
        description="cases in which the recipe's locator found nothing it was certain of: they keep the trimmed whole",
    )
    test_checksum: str = Field(description="`checksum_of_tests` of the cases")

    def on(self, split: Split) -> tuple[DatasetCase, ...]:
        """The cases of one side."""
        return tuple(case for case in self.cases if case.split is split)


def checksum_of_tests(cases: Iterable[DatasetCase]) -> str:
    """SHA-256 over the sorted ids, image checksums and mask checksums of the test cases."""
    lines = [
        " ".join([case.id, case.checksum, *(f"{name}={sum}" for name, sum in sorted(case.mask_checksums.items()))])
        for case in cases
        if case.split is Split.TEST
    ]
    return hashlib.sha256("\n".join(sorted(lines)).encode()).hexdigest()


def read_dataset(folder: Path) -> Dataset:
    """Read a sealed dataset's list of cases.

    Raises:
        DataContractError: no dataset, or its list is not the one that was sealed.
    """
    file = _sealed(folder, DATASET)
    if file is None:
        raise DataContractError(f"a dataset without {DATASET}", where=folder, next="make it again with preprocess")
    try:
        return formats.read(Dataset, file)
    except ValueError as error:
        raise DataContractError(f"{DATASET} cannot be read: {error}", where=file) from None


def read_arrays(folder: Path, structure: str, split: Split) -> Arrays | None:
    """Read the frames of a structure on one side; None when no case there has a label of it.

    Raises:
        DataContractError: no dataset, or arrays that are not the ones that were sealed.
    """
    return _read(folder, _shard(structure, split))


def read_points(folder: Path, structure: str, split: Split) -> Arrays | None:
    """Read all frames in which the centre of a structure is known: from its point, or from its mask's centroid.

    Frames of cases without a mask come after the others and have `UNKNOWN` for a mask. None when there is no frame.

    Raises:
        DataContractError: no dataset, or arrays that are not the ones that were sealed.
    """
    found = []
    for arrays in (_read(folder, _shard(structure, split)), _read(folder, _shard(structure, split, points=True))):
        if arrays is not None:
            rows = np.flatnonzero(np.isfinite(arrays.points).all(axis=1))
            names = tuple(arrays.case_ids[row] for row in rows)
            places = tuple(arrays.slices[row] for row in rows)
            found.append(Arrays(arrays.image[rows], arrays.mask[rows], names, arrays.points[rows], places))
    if not any(len(arrays) for arrays in found):
        return None
    return Arrays(
        np.concatenate([arrays.image for arrays in found]),
        np.concatenate([arrays.mask for arrays in found]),
        tuple(name for arrays in found for name in arrays.case_ids),
        np.concatenate([arrays.points for arrays in found]),
        tuple(place for arrays in found for place in arrays.slices),
    )


def write_arrays(
    folder: Path, structure: str, split: Split, arrays: Arrays, places: Mapping[str, int], *, points: bool = False
) -> None:
    """Write frames into a dataset that is being made.

    Args:
        places: a case's place in dataset.json by id.
        points: these are the cases that have a point and no mask.
    """
    file = folder / _shard(structure, split, points=points)
    file.parent.mkdir(exist_ok=True)
    index = np.array([places[name] for name in arrays.case_ids], np.int64)
    save_file({"image": arrays.image, "mask": arrays.mask, "case": index, "points": arrays.points}, file)


def write_dataset(folder: Path, dataset: Dataset) -> None:
    """Write dataset.json into a dataset that is being made."""
    (folder / DATASET).write_text(dataset.model_dump_json(indent=1) + "\n")


def read_image(folder: Path, case: DatasetCase) -> Picture:
    """The picture as it came, uint8 BGR [H, W, 3] or uint16 [H, W]."""
    return decode_image((folder / case.image).read_bytes())


def read_mask(folder: Path, case: DatasetCase, structure: str) -> Pixels | None:
    """The mask of a structure, uint8 {0, 1} [H, W]; None when nobody labelled it."""
    path = case.masks.get(structure)
    return None if path is None else decode_mask((folder / path).read_bytes(), empty=True)


def _shard(structure: str, split: Split, *, points: bool = False) -> str:
    return f"arrays/{structure}-points-{split}.safetensors" if points else f"arrays/{structure}-{split}.safetensors"


def _read(folder: Path, shard: str) -> Arrays | None:
    file = _sealed(folder, shard)
    if file is None:
        return None
    try:
        tensors = load_file(file)
        image, mask, index = tensors["image"], tensors["mask"], tensors["case"]
    except (SafetensorError, KeyError) as error:
        raise DataContractError(f"the arrays cannot be read: {error}", where=file) from None
    cases = read_dataset(folder).cases
    names, places = (tuple(getattr(cases[i], key) for i in index.tolist()) for key in ("id", "slice"))
    if "points" not in tensors:  # a dataset made before there were points
        return Arrays(image, mask, names, slices=places)
    return Arrays(image, mask, names, tensors["points"], places)


def _sealed(folder: Path, name: str) -> Path | None:
    """A file of a dataset, checked against the manifest; None when the dataset was made without it."""
    expected = manifest.read(folder, "dataset").files.get(name)
    if expected is None:
        return None
    file = Path(folder) / name
    if not file.is_file() or manifest.sha256(file) != expected:
        raise DataContractError(
            "this file is missing or has changed since the dataset was sealed",
            where=file,
            expected=f"SHA-256 {expected[:16]}…",
            next="restore the folder, or make it again with preprocess",
        )
    return file
