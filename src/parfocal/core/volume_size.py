"""How large a volume file says it is, read before ITK makes room for it: a megabyte of gzip can become a thousand."""

from __future__ import annotations

import math
import zlib
from collections.abc import Mapping
from pathlib import Path

from parfocal.core import nifti
from parfocal.core.errors import DataContractError

LARGEST = 4_000_000_000
"""Bytes of a volume's voxels: a CT of 512 x 512 pixels and 7,600 slices of 16 bits."""
DENSEST = 1032
"""Bytes that one byte of DEFLATE can become at most (https://zlib.net/zlib_tech.html, Maximum Compression Factor)."""
GZIP = b"\x1f\x8b"
_HEAD = 1 << 16
_MHA = {"CHAR": 1, "SHORT": 2, "INT": 4, "LONG": 4, "LONG_LONG": 8, "FLOAT": 4, "DOUBLE": 8}
_NRRD = {"char": 1, "short": 2, "int": 4, "long": 8, "float": 4, "double": 8}
_NRRD |= {"int8": 1, "int16": 2, "int32": 4, "int64": 8}


def refuse_huge(file: Path) -> None:
    """Refuse a NIfTI, NRRD or MHA file that claims more than `LARGEST`, or more than its bytes can hold.

    What is no such file, or has no readable header, is left to who reads it.

    Raises:
        DataContractError: it does.
    """
    claimed = claims(file)
    if claimed > LARGEST:
        raise DataContractError(
            f"{claimed / 1e9:,.1f} GB of voxels", where=file, expected=f"at most {LARGEST / 1e9:g} GB",
            next="cut the volume in parts, or keep its voxels in 16 bits",
        )  # fmt: skip
    if claimed > DENSEST * file.stat().st_size:
        raise DataContractError("unreadable or cut short", where=file, next="copy the file again from its origin")


def claims(file: Path) -> int:
    """Bytes of voxels that the header of a volume file claims, decompressed; 0 when it says nothing readable."""
    name = file.name.lower()
    with file.open("rb") as stream:
        head = stream.read(_HEAD)
    try:
        if name.endswith((".nii", ".nii.gz")):
            found = nifti.header(inflated(head, nifti.LENGTH))
            return max(found.content, 0) if found else 0
        if name.endswith(".mha"):
            return mha_bytes(mha_fields(head))
        if name.endswith(".nrrd"):
            fields = dict(_pairs(head.partition(b"\n\n")[0], ":"))
            words = fields.get("type", "").removesuffix("_t").replace("unsigned ", "").replace("signed ", "").split()
            return _bytes(fields.get("sizes", "0"), _NRRD.get(words[0].removeprefix("u"), 8) if words else 8)
    except (ValueError, zlib.error):
        return 0
    return 0


def inflated(data: bytes, most: int) -> bytes:
    """The first `most` bytes of what may be compressed with gzip; never more, whatever it would become.

    Raises:
        zlib.error: it is no gzip, though it begins as one.
    """
    return zlib.decompressobj(wbits=31).decompress(data, most) if data.startswith(GZIP) else data[:most]


def mha_fields(head: bytes) -> dict[str, str]:
    """The fields of a MetaImage header before its data."""
    return dict(_pairs(head.partition(b"ElementDataFile")[0], "="))


def mha_bytes(fields: Mapping[str, str]) -> int:
    """Bytes of the voxels of a MetaImage with these fields; of a type that is not known, those of the largest.

    Raises:
        ValueError: a size that is no number.
    """
    kind = fields.get("ElementType", "").removeprefix("MET_").removeprefix("U")
    return _bytes(fields.get("DimSize", "0"), _MHA.get(kind, 8)) * int(fields.get("ElementNumberOfChannels", "1"))


def _pairs(head: bytes, sign: str) -> list[tuple[str, str]]:
    lines = (line.partition(sign) for line in head.decode("latin-1").splitlines())
    return [(key.strip(), value.strip()) for key, _, value in lines]


def _bytes(sizes: str, element: int) -> int:
    return math.prod(max(int(size), 0) for size in sizes.split()) * element
