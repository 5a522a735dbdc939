"""What segments are called in DICOM: codes of SNOMED CT as DICOM PS3.16 lists them, and own ones where it has none.

The codes are those of DICOM's own subset of SNOMED CT (PS3.16, annex D and its context groups), which may be used and
passed on without a licence of SNOMED International; looked up in pydicom 3.0, which is generated from PS3.16. That
subset has no optic cup: a code of the project's own scheme stands there, and the object says whose scheme it is, as
PS3.16 chapter 8 asks.
"""

from __future__ import annotations

from typing import NamedTuple

SCHEME = "99PARFOCAL"
"""Own codes: designators that begin with 99 are nobody's (PS3.16, 8.2)."""


class Code(NamedTuple):
    """A concept."""

    value: str
    scheme: str
    meaning: str


CATEGORY = Code("91723000", "SCT", "Anatomical Structure")
"""Of every segment (CID 7150, Segmentation Property Category)."""
FAMILY = Code("123110", "DCM", "Artificial Intelligence")
"""Of the algorithm (CID 7162, Surface Processing Algorithm Family)."""
STRUCTURES = {
    "disc": Code("81016008", "SCT", "Optic nerve head"),
    "cup": Code("optic-cup", SCHEME, "Optic cup"),
    "lung": Code("39607008", "SCT", "Lung"),
    "prostate": Code("41216001", "SCT", "Prostate"),
    "bone": Code("272673000", "SCT", "Bone"),
    "vertebrae": Code("51282000", "SCT", "Vertebra"),
}
"""Segmented property types by the structures of `core.task`."""


def code(structure: str) -> Code:
    """The code of a structure; of one that is not in the table an own one that repeats its name."""
    return STRUCTURES.get(structure, Code(structure[:16], SCHEME, structure[:64]))
