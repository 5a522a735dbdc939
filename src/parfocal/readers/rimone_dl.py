"""RIM-ONE DL as it unpacks: photographs cropped around the disc, with one reference mask each of disc and cup.

    RIM-ONE_DL_images/
      partitioned_randomly/training_set/glaucoma/r1_Im069.png, r3_G-8-R.png ...   r1, r2, r3: the release it is from
      partitioned_randomly/training_set/normal/ ...
      partitioned_randomly/test_set/glaucoma|normal/ ...
      partitioned_by_hospital/ ...          the same images; training from one hospital, test from two others
    RIM-ONE_DL_reference_segmentations/
      glaucoma/r1_Im069-1-Disc-T.png, r1_Im069-1-Cup-T.png, and .txt of their boundaries
      normal/ ...

Two readers for the two partitions: `rimone_dl` (randomly) and `rimone_dl_hospital`. Names of release 3 tell the eye
(`r3_G-8-R`), so both eyes of a number are one patient; the other releases number images, and an image is a patient.

Fumero et al., "RIM-ONE DL: a unified retinal image database for assessing glaucoma using deep learning", Image
Analysis & Stereology 39, 2020.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from parfocal.core.errors import DataContractError
from parfocal.core.manifest import sha256
from parfocal.core.protocols import Scan
from parfocal.core.types import Case, Problem, Split
from parfocal.readers.files import DOCUMENTS, common, gather, instrument_named, only, visible, walk, wrong_root
from parfocal.readers.naming import case_id, official_side
from parfocal.readers.pictures import levels, photograph, same_size

PARTS = {"disc": "Disc", "cup": "Cup"}
IMAGES, MASKS = "RIM-ONE_DL_images", "RIM-ONE_DL_reference_segmentations"
GRADER = "reference segmentation"
_SETS = {"training_set": Split.TRAIN, "test_set": Split.TEST}
_CLASSES = ("glaucoma", "normal")
_EYE = re.compile(r"(?P<patient>r3_[A-Za-z]-\d+)-[LR]", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class _Found:
    name: str
    image: Path
    masks: Path
    side: Split

    @property
    def patient(self) -> str:
        match = _EYE.fullmatch(self.name)
        return match["patient"] if match else self.name


class RimOneDlReader:
    """Reads RIM-ONE DL, partitioned randomly."""

    partition: ClassVar[str] = "partitioned_randomly"

    def scan(self, source: Path, workdir: Path, *, task: str, instrument: str) -> Scan:  # noqa: ARG002
        """List the cases under `source`, with the partition's sides.

        Raises:
            UsageError: no instrument was named, or the task has neither disc nor cup.
            DataContractError: the partition or the reference segmentations are not there.
        """
        instrument_named(instrument)
        structures = common(task, tuple(PARTS), "rimone_dl")
        images, masks = self._roots(source)
        problems: list[Problem] = []
        found = _listed(images, masks, problems)
        cases, wrong = gather(lambda one: _case(one, structures, task, instrument), found)
        sides = {case_id(instrument, one.name): official_side(one.side, one.patient) for one in found}
        declared = {case.id: str(sides[case.id]) for case in cases}
        return Scan(tuple(cases), (*problems, *wrong), declared_splits=declared or None)

    def _roots(self, source: Path) -> tuple[Path, Path]:
        for root in (source / IMAGES, source, source / "images" / IMAGES):
            images = root / self.partition
            if any((images / name).is_dir() for name in _SETS):
                break
        else:
            tree = f"{IMAGES}/{self.partition}/training_set/glaucoma/*.png and {MASKS}/glaucoma/*-1-Disc-T.png"
            raise wrong_root(source, tree)
        for masks in (source / MASKS, source.parent / MASKS, source / "segmentations" / MASKS):
            if masks.is_dir():
                return images, masks
        raise wrong_root(source, f"{MASKS}/glaucoma/*-1-Disc-T.png beside {IMAGES}")


class ByHospitalReader(RimOneDlReader):
    """Reads RIM-ONE DL, partitioned by hospital: training and test are different clinics."""

    partition = "partitioned_by_hospital"


def _listed(images: Path, masks: Path, problems: list[Problem]) -> list[_Found]:
    listed: dict[str, list[tuple[Path, Path, Split]]] = {}
    for folder, side in _SETS.items():
        for group in visible(images / folder):
            if group.is_dir() and group.name in _CLASSES:
                for file in visible(group):
                    if file.suffix.lower() == ".png":
                        listed.setdefault(file.stem, []).append((file, masks / group.name, side))
                    elif file.suffix.lower() not in DOCUMENTS:
                        problems.append(Problem(file, "not a png file", "move it elsewhere"))
            elif group.is_dir() or group.suffix.lower() not in DOCUMENTS:
                problems.append(Problem(group, f"neither {' nor '.join(_CLASSES)}", "move it elsewhere"))
    single = only(((name, [file for file, _, _ in files]) for name, files in listed.items()), problems)
    problems += [
        Problem(file, "a mask without an image", "copy the images again from their origin")
        for file in walk(masks)
        if file.suffix.lower() == ".png" and re.sub(r"-\d+-(Disc|Cup)-T$", "", file.stem) not in listed
    ]
    return [_Found(name, *listed[name][0]) for name in single]


def _case(one: _Found, structures: tuple[str, ...], task: str, instrument: str) -> Case:
    image = photograph(one.image)
    masks = {name: _mask(one, PARTS[name]) for name in structures}
    for file in masks.values():
        same_size(levels(file), file, image, one.image)
    return Case(
        id=case_id(instrument, one.name), task=task, instrument=instrument, patient=one.patient, image=one.image,
        masks=masks, checksum=sha256(one.image), grader=GRADER,
    )  # fmt: skip


def _mask(one: _Found, part: str) -> Path:
    files = [file for file in sorted(one.masks.glob(f"{one.name}-*-{part}-T.png")) if file.is_file()]
    if len(files) != 1:
        names = ", ".join(file.name for file in files)
        what = f"{len(files)} masks of the {part.lower()} fit: {names}" if files else f"no mask of the {part.lower()}"
        expected = f"{one.masks.name}/{one.name}-1-{part}-T.png"
        raise DataContractError(what, where=one.image, expected=expected, next="keep one of them" if files else "")
    return files[0]
