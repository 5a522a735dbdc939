"""Look at every pixel of every case: refuse what is broken, copy what is sound, make its frames."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Literal, TypeVar

import numpy as np
from pydantic import Field

from parfocal.core.config import Config
from parfocal.core.errors import DataContractError
from parfocal.core.task import Task
from parfocal.core.types import Case, Problem, Split
from parfocal.preprocessing import static_augmentation
from parfocal.preprocessing.checks import Past
from parfocal.preprocessing.framing import Framed, frames_of
from parfocal.preprocessing.images import Pixels, decode_image, decode_mask, encode_mask, mask_checksum
from parfocal.preprocessing.locate import Located, Locator
from parfocal.preprocessing.recipes import Recipe
from parfocal.preprocessing.shards import Arrays, DatasetCase
from parfocal.preprocessing.static_augmentation import StaticAugmentationConfig

T = TypeVar("T")
R = TypeVar("R")


class DataConfig(Config):
    """Where cases come from and what happens to bad ones."""

    reader: str = Field(default="folder", description="layout of the source: a member of the family readers")
    instrument: str = Field(default="", description="device and site that acquired the images")
    on_invalid: Literal["refuse", "drop"] = Field(
        default="refuse",
        description="refuse: one bad file and nothing is written; drop: take the good cases, record the others",
    )


@dataclass(frozen=True, slots=True, eq=False)
class Taken:
    """A sound case, copied.

    Attributes:
        case: as the reader found it.
        entry: for dataset.json; the split in it is not decided yet and says train.
        frames: by structure.
        remarks: what a person may want to look at, worded without the case's name.
    """

    case: Case
    entry: DatasetCase
    frames: Mapping[str, Sequence[Framed]]
    remarks: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Left:
    """A case that was not taken: broken, or (when `known`) sound but in an earlier dataset with the same masks."""

    case: Case
    problems: tuple[Problem, ...]
    known: bool = False


def ingest(
    case: Case,
    folder: Path,
    task: Task,
    recipe: Recipe,
    earlier: Past,
    wrong: Sequence[Problem] = (),
    *,
    seed: int = 0,
    locator: Locator | None = None,
) -> Taken | Left:
    """Read and validate one case; copy it into `folder` when nothing is wrong with it.

    Args:
        case: with files that may be anything.
        folder: the dataset that is being made.
        task, recipe: what frames to make.
        earlier: what must not change.
        wrong: what is known to be wrong with the case already; it is looked at all the same, to find the rest.
        seed: of what the recipe draws.
        locator: for a recipe that asks for one.

    Raises:
        OSError: `folder` cannot be written; that a source file cannot be read is a problem of the case instead.
    """
    problems = list(wrong)
    data = _read(case.image, problems)
    image = _attempt(decode_image, case.image, data, problems)
    if data is not None and hashlib.sha256(data).hexdigest() != case.checksum:
        problems.append(Problem(case.image, "it changed while it was being read", "wait until it is copied, try again"))
    masks: dict[str, Pixels] = {}
    for structure, file in case.masks.items():
        decode = partial(decode_mask, empty=task.structure(structure).absent)
        mask = _attempt(decode, file, _read(file, problems), problems)
        if mask is not None and image is not None and mask.shape != image.shape[:2]:
            problems.append(Problem(file, *_sizes(mask, image)))
        elif mask is not None:
            masks[structure] = mask
    sums = {structure: mask_checksum(mask) for structure, mask in masks.items()}
    same = earlier.by_id.get(case.id)
    problems += _frozen(case, same, sums)
    if problems or image is None or data is None:
        return Left(case, tuple(problems))
    if same is not None and all(same.mask_checksums.get(name) == found for name, found in sums.items()):
        return Left(case, (Problem(case.image, "the champion knows this case with these masks"),), known=True)
    try:
        at = locator(image) if locator is not None else None
        frames, remarks = frames_of(
            image, masks, case.points, task, recipe, static_augmentation.generator(seed, f"frames of {case.id}"), at
        )
    except DataContractError as error:
        return Left(case, (Problem(case.image, error.what, error.next),))
    entry = _copy(case, data, masks, sums, folder, at)
    return Taken(case, entry, frames, tuple(remarks))


def in_order(work: Callable[[T], R], items: Sequence[T], done: Callable[[int, int], None]) -> Iterator[R]:
    """Results in the order of `items`, made by a thread a core: OpenCV and hashing let go of Python's lock."""
    with ThreadPoolExecutor(len(os.sched_getaffinity(0))) as pool:
        try:
            for count, result in enumerate(pool.map(work, items), start=1):
                done(count, len(items))
                yield result
        except BaseException:
            pool.shutdown(wait=True, cancel_futures=True)
            raise


def arrays(
    taken: Iterable[Taken],
    structure: str,
    split: Split,
    sides: Mapping[str, Split],
    config: StaticAugmentationConfig,
    recipe: Recipe,
    seed: int,
    *,
    points: bool = False,
) -> Arrays | None:
    """Frames of a structure on one side of the split; training frames are followed by their static copies.

    Args:
        taken: cases, in the order of dataset.json.
        structure, split: which frames.
        sides: by patient.
        config, recipe, seed: of the static copies.
        points: of the cases that have a point and no mask, instead of those that have a mask.

    Returns:
        None when no case there has a label of the structure.
    """
    rows: list[tuple[str, Framed]] = []
    for one in taken:
        framed = one.frames.get(structure, ()) if (structure not in one.entry.masks) is points else ()
        if sides[one.case.patient] is split and framed:
            rows += [(one.case.id, frame) for frame in framed]
            if split is Split.TRAIN:
                changes = static_augmentation.draw(config, static_augmentation.generator(seed, one.case.id))
                for change in changes:
                    copies = (static_augmentation.apply(frame.image, change, recipe.contrast_tiles) for frame in framed)
                    rows += [(one.case.id, replace(f, image=copy)) for f, copy in zip(framed, copies, strict=True)]
    if not rows:
        return None
    return Arrays(
        np.stack([frame.image for _, frame in rows]),
        np.stack([frame.mask for _, frame in rows]),
        tuple(name for name, _ in rows),
        np.array([frame.point for _, frame in rows], np.float32),
    )


def _read(file: Path, problems: list[Problem]) -> bytes | None:
    try:
        return file.read_bytes()
    except OSError as error:
        problems.append(Problem(file, f"cannot be read: {error.strerror or error}", "is the source still there?"))
        return None


def _attempt(
    decode: Callable[[bytes], Pixels], file: Path, data: bytes | None, problems: list[Problem]
) -> Pixels | None:
    if data is None:
        return None
    try:
        return decode(data)
    except DataContractError as error:
        problems.append(Problem(file, error.what, error.next))
        return None


def _frozen(case: Case, same: DatasetCase | None, sums: Mapping[str, str]) -> Iterator[Problem]:
    """A test case that the champion is judged on may gain a structure; the masks that it has stay as they are."""
    if same is not None and same.split is Split.TEST:
        for name, known in same.mask_checksums.items():
            if sums.get(name, known) != known:
                reason = f"it differs from the frozen test mask of {case.id}"
                yield Problem(case.masks[name], reason, "put the earlier mask back")


def _sizes(mask: Pixels, image: Pixels) -> tuple[str, str]:
    reason = f"{mask.shape[1]} x {mask.shape[0]}, but the image is {image.shape[1]} x {image.shape[0]}"
    if mask.shape == image.shape[1::-1]:
        return reason, "one of them is on its side: draw the mask on the image as its EXIF tag turns it"
    return reason, "make the mask as large as the image"


def _copy(
    case: Case, data: bytes, masks: Mapping[str, Pixels], sums: dict[str, str], folder: Path, at: Located | None
) -> DatasetCase:
    image = f"images/{case.id}{case.image.suffix.lower()}"
    paths = {structure: f"masks/{structure}/{case.id}.png" for structure in masks}
    _write(folder / image, data)
    for structure, mask in masks.items():
        _write(folder / paths[structure], encode_mask(mask))
    return DatasetCase(
        id=case.id,
        patient=case.patient,
        split=Split.TRAIN,
        image=image,
        masks=paths,
        mask_checksums=sums,
        checksum=case.checksum,
        grader=case.grader,
        assisted=case.assisted,
        spacing=case.spacing,
        points=dict(case.points),
        slice=case.slice,
        located=at,
    )


def _write(file: Path, data: bytes) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(data)
