"""Volumes of CT or MR with label volumes: NIfTI, NRRD or MHA, in one of two layouts.

    images/NAME.nii.gz  <structure>/NAME.nii.gz  [unlabelled/NAME.nii.gz]  [cases.csv]
    NAME.nii.gz  NAME_<structure>.nii.gz  [cases.csv]

A label volume has the size, spacing, origin and direction of its image, 0 and one other number. `cases.csv` names
patients (columns name, patient, split, grader, assisted); without it every volume is a patient. Slices are cut in the
plane they were acquired in, or, by the name of the reader, in one plane: axes are turned first, so a slice shows the
patient the same way up whatever order the file keeps its voxels in. Oblique volumes are cut along their own axes.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import ClassVar

from parfocal.core import intact
from parfocal.core.dicom import simpleitk
from parfocal.core.errors import DataContractError
from parfocal.core.intact import SUFFIXES
from parfocal.core.protocols import Scan
from parfocal.core.task import task as named_task
from parfocal.core.types import Case, Problem
from parfocal.core.volumes import Plane, open_volume
from parfocal.readers import slices, table
from parfocal.readers.files import as_problem, by_name, instrument_named, visible, wrong_root
from parfocal.readers.slices import Stack
from parfocal.readers.table import TABLE, Row

IMAGES, UNLABELLED = "images", "unlabelled"
COLUMNS = ("name", "patient", "split", "grader", "assisted")


@dataclass(frozen=True, slots=True)
class _Found:
    """Volumes by name, labels by structure and name, and what fits nothing."""

    images: dict[str, Path]
    labels: dict[str, dict[str, Path]]
    bare: dict[str, Path]
    problems: list[Problem]


class VolumeReader:
    """Reads volumes; slices across the thickest spacing, which is how they were acquired, and axial otherwise."""

    plane: ClassVar[Plane] = "acquired"

    def scan(self, source: Path, workdir: Path, *, task: str, instrument: str) -> Scan:
        """List a case a slice; slices and masks are written into `workdir`.

        Raises:
            UsageError: no instrument was named, or SimpleITK is not installed.
            DataContractError: `source` has neither layout, or cases.csv is not a table.
        """
        instrument_named(instrument)
        simpleitk()
        asked = named_task(task)
        found = _layered(source, asked.names) if (source / IMAGES).is_dir() else _flat(source, asked.names)
        rows, problems = table.read(source / TABLE, {**found.images, **found.bare}, columns=COLUMNS)
        problems = [*found.problems, *problems]
        cases: list[Case] = []
        unlabelled: list[Case] = []
        declared: dict[str, str] = {}
        for name, file in {**found.images, **found.bare}.items():
            labels = {structure: files[name] for structure, files in found.labels.items() if name in files}
            if name in found.images and not labels:
                advice = f"add {asked.names[0]}/{name}.nii.gz or {name}_{asked.names[0]}.nii.gz"
                problems.append(Problem(file, "no label volume of any structure", advice))
                continue
            if name not in rows:
                continue
            try:
                shown, empty = self._cut(_stack(name, labels, rows[name]), file, workdir, task, instrument)
            except DataContractError as error:
                problems.append(as_problem(error))
                continue
            cases += shown
            unlabelled += empty
            declared |= {case.id: rows[name].split for case in shown if rows[name].split}
        return Scan(tuple(cases), tuple(problems), tuple(unlabelled), declared or None)

    def _cut(
        self, stack: Stack, file: Path, workdir: Path, task: str, instrument: str
    ) -> tuple[list[Case], list[Case]]:
        intact.check(file)
        volume = open_volume(file, self.plane)
        modality = named_task(task).modality
        return slices.cases(stack, volume, file, workdir, task=task, modality=modality, instrument=instrument)


class AxialVolumeReader(VolumeReader):
    """Reads volumes in axial slices: rows to the back, columns to the patient's left."""

    plane = "axial"


class SagittalVolumeReader(VolumeReader):
    """Reads volumes in sagittal slices: rows to the feet, columns to the back."""

    plane = "sagittal"


class CoronalVolumeReader(VolumeReader):
    """Reads volumes in coronal slices: rows to the feet, columns to the patient's left."""

    plane = "coronal"


def _stack(name: str, labels: Mapping[str, Path], row: Row) -> Stack:
    return Stack(name, row.patient, labels, row.grader, row.assisted)


def _layered(source: Path, structures: tuple[str, ...]) -> _Found:
    images, problems = by_name(source / IMAGES, SUFFIXES)
    labels: dict[str, dict[str, Path]] = {}
    for structure in structures:
        labels[structure], wrong = by_name(source / structure, SUFFIXES)
        problems += wrong
        problems += [
            Problem(file, "a label volume without an image", f"add {IMAGES}/{name}.nii.gz")
            for name, file in labels[structure].items()
            if name not in images
        ]
    bare, wrong = by_name(source / UNLABELLED, SUFFIXES)
    problems += wrong
    problems += [
        Problem(bare.pop(name), f"{IMAGES} has a '{name}' too", "rename one") for name in sorted(images.keys() & bare)
    ]
    problems += _misnamed((entry for entry in visible(source) if entry.is_dir()), structures)
    return _Found(images, labels, bare, problems)


def _misnamed(folders: Iterable[Path], structures: tuple[str, ...]) -> Iterable[Problem]:
    for folder in folders:
        near = get_close_matches(folder.name.lower(), structures, n=1, cutoff=0.75)
        if folder.name not in structures and near:
            yield Problem(folder, "not the name of a structure", f"rename it to '{near[0]}', or move it elsewhere")


def _flat(source: Path, structures: tuple[str, ...]) -> _Found:
    files = [entry for entry in visible(source) if entry.name.lower().endswith(SUFFIXES)]
    if not files:
        layout = f"{IMAGES}/NAME.nii.gz and {structures[0]}/NAME.nii.gz, or NAME.nii.gz and NAME_{structures[0]}.nii.gz"
        raise wrong_root(source, layout)
    volumes, problems = by_name(source, SUFFIXES)
    problems = [problem for problem in problems if problem.file.suffix.lower() not in (".csv", ".txt", ".json", ".md")]
    labels: dict[str, dict[str, Path]] = {structure: {} for structure in structures}
    images = dict(volumes)
    for name, file in volumes.items():
        for structure in structures:
            image = name.removesuffix(f"_{structure}")
            if image != name:
                del images[name]
                if image in volumes:
                    labels[structure][image] = file
                else:
                    problems.append(Problem(file, "a label volume without an image", f"add {image}.nii.gz"))
    return _Found(images, labels, {}, problems)
