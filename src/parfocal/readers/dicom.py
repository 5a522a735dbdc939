"""DICOM as scanners and archives export it: any tree of files, one folder a series or all in one.

    patient-1/ct/IM0001.dcm ...           a series of slices; names and suffixes do not matter, tags do
    patient-1/ct/bone.nii.gz              its label volume: <structure>.nii.gz or NAME_<structure>.nii.gz in the folder,
    patient-1/ct_bone.nii.gz              or <folder>_<structure>.nii.gz beside it; NRRD and MHA too
    eyes/IM0007.dcm                       a colour photograph or an X-ray: one file, one case
    eyes/IM0007_disc.png                  its mask

Files are sorted by their tags: series UID, modality, position. A label volume has the geometry of its series; in a
folder with several series it belongs to the one that it fits. A patient is the patient id (0010,0020). Series and
pictures without labels are unlabelled cases. Tables and texts beside the files, and DICOMDIR, are left aside.
"""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import ClassVar

import numpy as np
import numpy.typing as npt

from parfocal.core.dicom import simpleitk
from parfocal.core.errors import DataContractError
from parfocal.core.intact import SUFFIXES
from parfocal.core.manifest import sha256
from parfocal.core.protocols import Scan
from parfocal.core.task import Task
from parfocal.core.task import task as named_task
from parfocal.core.types import Case, Problem
from parfocal.core.volumes import Plane, Volume, open_labels, open_volume
from parfocal.readers import slices
from parfocal.readers.dicom_headers import INSTANCE, SERIES, Header, header, refuse_unfit, refuse_unfit_series
from parfocal.readers.dicom_pictures import colour, grey, read, spacing
from parfocal.readers.files import DOCUMENTS, as_problem, gather, instrument_named, stem, walk, wrong_root
from parfocal.readers.naming import case_id
from parfocal.readers.pictures import levels, same_size, save
from parfocal.readers.slices import Stack

FLAT: dict[str, Callable[[Header], npt.NDArray[np.uint8] | npt.NDArray[np.uint16]]] = {
    "colour fundus photograph": colour,
    "x-ray": grey,
}
"""Modalities of which one file is a case."""


class DicomReader:
    """Reads DICOM; series are cut across the thickest spacing, which is how they were acquired, and axial otherwise."""

    plane: ClassVar[Plane] = "acquired"

    def scan(self, source: Path, workdir: Path, *, task: str, instrument: str) -> Scan:
        """List a case a slice or picture; they and their masks are written into `workdir`.

        Raises:
            UsageError: no instrument was named, or SimpleITK is not installed.
            DataContractError: there is no DICOM file under `source`.
        """
        instrument_named(instrument)
        simpleitk()
        asked = named_task(task)
        headers, problems = _headers(source)
        fit: list[Header] = []
        for one in headers:
            try:
                refuse_unfit(one, asked.modality)
                fit.append(one)
            except DataContractError as error:
                problems.append(as_problem(error))
        if asked.modality in FLAT:
            cases, wrong = gather(lambda one: _picture(one, workdir, asked, instrument), fit)
            problems += wrong
        else:
            cases = self._series(fit, problems, workdir, asked, instrument)
        problems += _stray_labels(source, headers, asked)
        shown = tuple(case for case in cases if case.masks)
        return Scan(shown, tuple(problems), tuple(case for case in cases if not case.masks))

    def _series(
        self, fit: Sequence[Header], problems: list[Problem], workdir: Path, task: Task, instrument: str
    ) -> list[Case]:
        groups: defaultdict[tuple[Path, str], list[Header]] = defaultdict(list)
        for one in fit:
            groups[one.file.parent, one[SERIES]].append(one)
        seen: dict[str, Path] = {}
        cases: list[Case] = []
        for (folder, uid), files in groups.items():
            siblings = [other for place, other in groups if place == folder]
            try:
                if seen.setdefault(uid, folder) != folder:
                    raise DataContractError(f"the same series as in {seen[uid]}", where=folder, next="keep one of them")
                cases += self._volume(folder, uid, files, len(siblings) > 1, workdir, task, instrument)
            except DataContractError as error:
                problems.append(as_problem(error))
        return cases

    def _volume(
        self, folder: Path, uid: str, files: Sequence[Header], several: bool, workdir: Path, task: Task, instrument: str
    ) -> list[Case]:
        refuse_unfit_series(files)
        for one in files:
            read(one.file)
        volume = open_volume(folder, self.plane, series=uid)
        if len(files) != volume.source.GetSize()[2]:
            raise DataContractError(f"{len(files)} files give {volume.source.GetSize()[2]} slices", where=folder)
        labels: dict[str, Path] = {}
        for structure in task.names:
            candidates = _labels(folder, structure)
            if several:
                candidates = [file for file in candidates if _fits(file, volume)]
            if len(candidates) > 1:
                names = ", ".join(file.name for file in candidates)
                raise DataContractError(f"several label volumes fit: {names}", where=folder, next="keep one of them")
            if candidates:
                labels[structure] = candidates[0]
        stack = Stack(f"{files[0].patient}-{_short(uid)}", files[0].patient, labels)
        shown, empty = slices.cases(
            stack, volume, folder, workdir, task=task.name, modality=task.modality, instrument=instrument
        )
        return shown + empty


class AxialDicomReader(DicomReader):
    """Reads DICOM series in axial slices."""

    plane = "axial"


class SagittalDicomReader(DicomReader):
    """Reads DICOM series in sagittal slices."""

    plane = "sagittal"


class CoronalDicomReader(DicomReader):
    """Reads DICOM series in coronal slices."""

    plane = "coronal"


def _headers(source: Path) -> tuple[list[Header], list[Problem]]:
    aside = (*SUFFIXES, *DOCUMENTS, ".png")
    files = [
        file
        for file in walk(source)
        if not file.name.lower().endswith(aside) and file.name.upper() not in ("DICOMDIR", "LICENSE")
    ]
    headers, problems = gather(header, files)
    if not headers:
        raise wrong_root(source, "DICOM files, such as ct/IM0001.dcm, with ct/<structure>.nii.gz beside them")
    seen: dict[tuple[Path, str], Path] = {}
    for one in headers:
        first = seen.setdefault((one.file.parent, one[INSTANCE]), one.file)
        if first != one.file:
            problems.append(Problem(one.file, f"the same picture as {first.name}", "keep one of them"))
    return headers, problems


def _picture(one: Header, workdir: Path, task: Task, instrument: str) -> Case:
    named = case_id(instrument, f"{one.patient}-{_short(one[INSTANCE])}")
    pixels = FLAT[task.modality](one)
    image = save(workdir / "images" / f"{named}.png", pixels)
    beside = {name: one.file.with_name(f"{stem(one.file)}_{name}.png") for name in task.names}
    masks = {name: file for name, file in beside.items() if file.is_file()}
    for file in masks.values():
        same_size(levels(file), file, pixels, one.file)
    return Case(
        id=named, task=task.name, instrument=instrument, patient=one.patient, image=image, masks=masks,
        checksum=sha256(image), spacing=spacing(one),
    )  # fmt: skip


def _labels(folder: Path, structure: str) -> list[Path]:
    """Label volumes of a structure in a series' folder, and beside the folder."""
    inside = [
        file for file in sorted(folder.iterdir()) if file.name.lower().endswith(SUFFIXES)
        and (stem(file) == structure or stem(file).endswith(f"_{structure}"))
    ]  # fmt: skip
    beside = [folder.with_name(f"{folder.name}_{structure}{suffix}") for suffix in SUFFIXES]
    return inside + [file for file in beside if file.is_file() and file not in inside]


def _fits(file: Path, volume: Volume) -> bool:
    try:
        open_labels(file, volume)
    except DataContractError:
        return False
    return True


def _stray_labels(source: Path, headers: Sequence[Header], task: Task) -> list[Problem]:
    """Label files of the task's structures that lie beside no series and no picture."""
    folders = {one.file.parent for one in headers}
    used = {file for folder in folders for name in task.names for file in _labels(folder, name)}
    masks = {one.file.with_name(f"{stem(one.file)}_{name}.png") for one in headers for name in task.names}
    ends = tuple(f"_{name}" for name in task.names)
    return [
        Problem(file, "a label without a series or picture", "put it beside the files that it belongs to")
        for file in walk(source)
        if file.name.lower().endswith((*SUFFIXES, ".png"))
        and (stem(file) in task.names or stem(file).endswith(ends) or file.suffix == ".png")
        and file not in used | masks
    ]


def _short(uid: str) -> str:
    """A UID is up to 64 characters: ten of its hash tell two apart as well."""
    return hashlib.sha256(uid.encode()).hexdigest()[:10]
