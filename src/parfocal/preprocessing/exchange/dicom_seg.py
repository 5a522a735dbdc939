"""DICOM Segmentation objects (PS3.3 A.51, C.8.20) of masks, beside the DICOM pictures that they were drawn on.

Patient and study are those of the source, as the standard demands: such an object belongs to whoever sent the source.
So nothing of a source is quoted in a message, and the warnings of pydicom and highdicom, which quote tags, are silent.
"""

from __future__ import annotations

import io
import logging
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from typing import Any, NoReturn

import numpy as np
from numpy.typing import NDArray

from parfocal import __version__
from parfocal.core.errors import DataContractError, UsageError
from parfocal.preprocessing.exchange import codes

Masks = Mapping[str, NDArray[np.bool_]]
ONE = ("SOPClassUID", "SOPInstanceUID", "StudyInstanceUID", "SeriesInstanceUID", "Rows", "Columns")
"""What a source has to say: a segmentation refers to it (type 1)."""
TWO = (
    "PatientID", "PatientName", "PatientBirthDate", "PatientSex", "AccessionNumber", "StudyID", "StudyDate",
    "StudyTime", "ReferringPhysicianName",
)  # fmt: skip
"""What has to be there and may be empty (type 2): it is empty where the source does not have it."""
NUMBER = 9000
"""Of the series, above those that a scanner gives."""


@dataclass(frozen=True, slots=True)
class Author:
    """The model that drew: task, version in the registry (or the beginning of its checksum), checksum."""

    task: str
    version: str
    checksum: str

    @property
    def name(self) -> str:
        """Of the algorithm."""
        return f"Parfocal {self.task}"


def read(data: bytes) -> Any:
    """A source without its pixels, a pydicom data set.

    Raises:
        UsageError: highdicom is not installed.
        DataContractError: no DICOM file.
    """
    _highdicom()
    pydicom = import_module("pydicom")
    try:
        return pydicom.dcmread(io.BytesIO(data), stop_before_pixels=True)
    except Exception:  # whatever a mutated file makes of the parser
        raise DataContractError("unreadable as DICOM, or cut short", next="copy the file again") from None


def build(sources: Sequence[Any], masks: Masks, author: Author) -> bytes:
    """One object with a binary segment a structure.

    Frames without a pixel of a segment are left out, as is usual; where nothing at all was found every frame is there.

    Args:
        sources: as `read` gives them, of one picture, or of the slices of one series in the order of the masks.
        masks: bool [N, H, W] by structure; they may lie inside one another.
        author: the model.

    Raises:
        UsageError: highdicom is not installed.
        DataContractError: a source lacks what a segmentation has to refer to, has several frames, or is not as large as
            its mask.
    """
    hd = _highdicom()
    shape = next(iter(masks.values())).shape
    if len(sources) != shape[0]:
        raise DataContractError(f"{len(sources)} DICOM files and {shape[0]} masks", expected="one mask a file")
    for number, one in enumerate(sources):
        where = f"file {number + 1} of the source"
        refuse_lacking(one, where)
        if (one.Rows, one.Columns) != shape[1:]:
            raise DataContractError("the mask is not as large as the DICOM picture", where=where)
    complete = _thick([_completed(one) for one in sources])
    uid = import_module("pydicom.uid").generate_uid
    said = {
        "segmentation_type": hd.seg.SegmentationTypeValues.BINARY,
        "segment_descriptions": [_segment(hd, number, name, author) for number, name in enumerate(masks, start=1)],
        "series_instance_uid": uid(prefix=None),  # of a UUID: no machine and no time can be read out of it
        "series_number": NUMBER,
        "series_description": f"{author.name} {author.version}"[:64],
        "sop_instance_uid": uid(prefix=None),
        "instance_number": 1,
        "manufacturer": "Parfocal",
        "manufacturer_model_name": author.name,
        "software_versions": __version__,
        "device_serial_number": author.checksum[:16],
        "content_description": "drawn by a network, reviewed by nobody",
        "content_label": "PARFOCAL",
        "coding_schemes": _schemes(masks),
    }
    pixels = np.stack(list(masks.values()), axis=-1).astype(np.uint8)
    stream = io.BytesIO()
    try:
        hd.seg.Segmentation(complete, pixels, **said).save_as(stream)
    except Exception as error:  # highdicom and pydicom quote the tags that they refuse
        _refused(error)
    return stream.getvalue()


def _segment(hd: Any, number: int, structure: str, author: Author) -> Any:
    concept = hd.sr.CodedConcept
    algorithm = hd.AlgorithmIdentificationSequence(
        name=author.name, version=author.version, family=concept(*codes.FAMILY), source="Parfocal",
        parameters={"checksum": author.checksum},
    )  # fmt: skip
    return hd.seg.SegmentDescription(
        segment_number=number,
        segment_label=structure,
        segmented_property_category=concept(*codes.CATEGORY),
        segmented_property_type=concept(*codes.code(structure)),
        algorithm_type=hd.seg.SegmentAlgorithmTypeValues.AUTOMATIC,
        algorithm_identification=algorithm,
        tracking_uid=import_module("pydicom.uid").generate_uid(prefix=None),
        tracking_id=structure,
    )


def _schemes(masks: Masks) -> list[Any] | None:
    if all(codes.code(name).scheme != codes.SCHEME for name in masks):
        return None
    item = import_module("highdicom.coding_schemes").CodingSchemeIdentificationItem
    return [
        item(
            codes.SCHEME, name="Structures that DICOM has no code for", version="1", responsible_organization="Parfocal"
        )
    ]


def refuse_lacking(one: Any, where: str = "") -> None:
    """Refuse a source that a segmentation cannot refer to.

    Raises:
        DataContractError: it lacks one of `ONE`, or has several frames.
    """
    missing = [name for name in ONE if not _value(one, name)]
    if missing:
        raise DataContractError(
            f"a DICOM file without {', '.join(missing)}", where=where, expected="what a segmentation refers to",
            next="send the object as the device or the archive stored it, or ask for masks as png",
        )  # fmt: skip
    if _value(one, "NumberOfFrames") not in (None, "", 1):
        raise DataContractError("a DICOM file of several frames", where=where, expected="one picture or slice a file")


def _completed(one: Any) -> Any:
    """A copy with every attribute that may be empty, and without what no reader would take."""
    found = import_module("pydicom").Dataset(one)
    found.file_meta = one.file_meta
    for name in TWO:
        if _value(found, name) is None:
            setattr(found, name, "")
    if found.PatientSex not in ("M", "F", "O"):
        found.PatientSex = ""
    return found


def _thick(sources: list[Any]) -> list[Any]:
    """Slices that do not say how thick they are (type 2) are as thick as they are apart, as far as they say where."""
    places = [_value(one, "ImagePositionPatient") for one in sources]
    if len(sources) > 1 and all(place is not None and len(place) == 3 for place in places):
        apart = float(np.linalg.norm(np.array(places[1], float) - np.array(places[0], float)))
        for one in sources:
            if not _value(one, "SliceThickness") and apart > 0:
                one.SliceThickness = f"{apart:.10g}"
    return sources


def _value(one: Any, name: str) -> Any:
    """An attribute; None where it is missing, or cannot be read as what it should be."""
    try:
        return one.get(name)
    except Exception:
        return None


def _refused(error: Exception) -> NoReturn:
    if isinstance(error, AttributeError) and error.name:
        raise DataContractError(
            f"a DICOM file without {error.name}", expected="what its kind of object has to have",
            next="export it again, or ask for masks as png",
        ) from None  # fmt: skip
    if "Frame Of Reference" in str(error):
        raise DataContractError(
            "a DICOM slice without a frame of reference (0020,0052)", expected="what its kind of object has to have",
            next="export it again, or ask for masks as png",
        ) from None  # fmt: skip
    raise DataContractError(
        "its patient, study or place is not as DICOM has it", expected="values that PS3.3 allows",
        next="export it again, or ask for masks as png",
    ) from None  # fmt: skip


@cache
def _highdicom() -> Any:
    """The package, silent: what it and pydicom warn of is what tags hold."""
    try:
        found = import_module("highdicom")
    except ModuleNotFoundError:
        raise UsageError("DICOM SEG needs highdicom", next="pip install 'parfocal[dicom]'") from None
    for name in ("highdicom", "pydicom"):
        warnings.filterwarnings("ignore", module=rf"{name}(\.|$)")
        logging.getLogger(name).setLevel(logging.CRITICAL)
    return found
