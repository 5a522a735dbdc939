"""What DICOM files say of themselves, grouped into series, and why a series cannot be a volume."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from parfocal.core import dicom
from parfocal.core.dicom import ORIENTATION, POSITION, tags
from parfocal.core.errors import DataContractError

MODALITY, SOP_CLASS, PATIENT, SERIES, INSTANCE = "0008|0060", "0008|0016", "0010|0020", "0020|000e", "0008|0018"
SPACING, DETECTOR_SPACING = "0028|0030", "0018|1164"
PHOTOMETRIC, FRAMES = "0028|0004", "0028|0008"
SLOPE, INTERCEPT = "0028|1053", "0028|1052"
SECONDARY_CAPTURE = "1.2.840.10008.5.1.4.1.1.7"
ACCEPTED = {
    "ct": {"CT"},
    "mr": {"MR"},
    "x-ray": {"CR", "DX", "RG"},
    "colour fundus photograph": {"OP", "XC", "SC", "OT"},
}
"""DICOM's modalities (PS3.3 C.7.3.1.1.1) by ours. A secondary capture says what was captured, or SC or OT."""


@dataclass(frozen=True, slots=True)
class Header:
    """One file and its tags."""

    file: Path
    tags: Mapping[str, str]

    def __getitem__(self, tag: str) -> str:
        return self.tags.get(tag, "")

    def numbers(self, tag: str) -> tuple[float, ...]:
        """The numbers of a tag; none where it is missing, empty or no numbers."""
        try:
            return tuple(float(part) for part in self[tag].split("\\") if part.strip())
        except ValueError:
            return ()

    @property
    def patient(self) -> str:
        return self[PATIENT]


def header(file: Path) -> Header:
    """The tags of a file, which is not believed before its lengths and sizes are.

    Raises:
        DataContractError: as `told`, or it lies about its size.
    """
    dicom.refuse_lying(file)
    found = told(file)
    dicom.refuse_claims(found.tags, file)
    return found


def told(file: Path) -> Header:
    """The tags of a file that was looked at already, such as by a service with narrower limits.

    Raises:
        DataContractError: not a readable DICOM file, or one without the tags that every image has.
    """
    found = Header(file, tags(file))
    if not found[SERIES] or not found[INSTANCE]:
        raise DataContractError("no series or instance UID", where=file, next="export it again as DICOM")
    return found


def refuse_unfit(one: Header, modality: str) -> None:
    """Refuse a file that cannot become a case: as `refuse_other`, or without a patient.

    Raises:
        DataContractError: it is.
    """
    refuse_other(one, modality)
    if not one.patient:
        raise DataContractError(
            "no patient (0010,0020)", where=one.file, next="give it one: cases are split by patient"
        )


def refuse_other(one: Header, modality: str) -> None:
    """Refuse a file of another modality, or with several frames.

    Raises:
        DataContractError: it is.
    """
    if one[MODALITY] not in ACCEPTED[modality]:
        raise DataContractError(
            f"modality {one[MODALITY] or 'none'}", where=one.file,
            expected=f"{' or '.join(sorted(ACCEPTED[modality]))}: the task wants {modality}",
            next="choose the task that fits, or move the file elsewhere",
        )  # fmt: skip
    if one[FRAMES] not in ("", "1"):
        raise DataContractError(f"{one[FRAMES]} frames in one file", where=one.file, expected="one picture or slice",
                                next="export one file a slice, or convert it to NIfTI")  # fmt: skip


def refuse_unfit_series(files: Sequence[Header]) -> None:
    """Refuse a series whose slices do not stack straight into one volume of one kind of number.

    That the slices stand evenly and straight behind one another is checked where the series is read.

    Raises:
        DataContractError: secondary captures, inverted greys (which ITK would turn round, and Hounsfield units with
            them), several patients, no pixel size, or other scaling in some slices.
    """
    first = files[0]
    if first[SOP_CLASS].startswith(SECONDARY_CAPTURE):
        raise DataContractError("secondary captures: screenshots instead of measured values", where=first.file)
    for one in files:
        if one[PHOTOMETRIC] != "MONOCHROME2":
            raise DataContractError(f"{one[PHOTOMETRIC] or 'no'} pixels", where=one.file, expected="MONOCHROME2")
        if len(one.numbers(SPACING)) != 2 or min(one.numbers(SPACING)) <= 0:
            raise DataContractError("no pixel size (0028,0030)", where=one.file, next="export the series again")
        if len(one.numbers(POSITION)) != 3 or len(one.numbers(ORIENTATION)) != 6:
            raise DataContractError(
                "a slice that does not say where it is", where=one.file, expected="(0020,0032) and (0020,0037)"
            )
        for tag, what in ((PATIENT, "patient"), (SPACING, "pixel size"), (SLOPE, "slope"), (INTERCEPT, "intercept")):
            if one[tag] != first[tag]:
                other = f"{what} {one[tag] or 'none'}, but {first.file.name} has {first[tag] or 'none'}"
                raise DataContractError(other, where=one.file, next="separate what are two series")


def refuse_unfit_folder(folder: Path, name: str, modality: str) -> None:
    """Refuse a series, before it is answered, by the rules of those that are learned from; no patient is asked for.

    Args:
        folder: of the files.
        name: the series; may be left out where there is one. That there are several is told by `core.dicom.read`.
        modality: of the task.

    Raises:
        DataContractError: it is unfit, or a DICOM file of the folder cannot be read, so that slices may be missing.
    """
    found = dicom.series(folder)
    known = {file.resolve() for files in found.values() for file in files}
    for file in sorted(folder.iterdir()):
        if dicom.is_dicom(file) and file.name.upper() != "DICOMDIR" and file.resolve() not in known:
            raise DataContractError("unreadable or cut short", where=file, next="copy the series again")
    if name in found or (len(found) == 1 and not name):
        files = [header(file) for file in found[name or next(iter(found))]]
        for one in files:
            refuse_other(one, modality)
        refuse_unfit_series(files)
