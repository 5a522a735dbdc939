"""Whether a volume file is whole and says how it lies, before ITK opens it.

ITK 5.4 reads a NIfTI file that was cut short without a word and fills the rest with zeros, makes zero (in CT: water)
of what is no number, and takes a compressed MHA with a wrong byte. It also answers 1 mm and the identity for files
that say neither. Each would be a wrong slice or a slice of another plane, so the bytes are read here first.
"""

from __future__ import annotations

import gzip
import math
import struct
import zlib
from pathlib import Path

import numpy as np

from parfocal.core.errors import DataContractError

SUFFIXES = (".nii", ".nii.gz", ".nrrd", ".mha")
"""One file each: NRRD and MetaImage with detached data (.nhdr, .mhd) are not read."""
_FLOATS = {16: "f4", 64: "f8"}
_BYTES = {"CHAR": 1, "UCHAR": 1, "SHORT": 2, "USHORT": 2, "INT": 4, "UINT": 4, "FLOAT": 4, "DOUBLE": 8}


def check(file: Path) -> None:
    """Refuse a volume file that is cut short, corrupt, or silent about voxel size (NIfTI) or orientation.

    Raises:
        DataContractError: it is.
    """
    name = file.name.lower()
    if name.endswith((".nii", ".nii.gz")):
        _nifti(file)
    elif name.endswith(".mha"):
        _mha(file)
    elif name.endswith(".nrrd"):
        _nrrd(file)


def _nifti(file: Path) -> None:
    """NIfTI-1 (348-byte header) and NIfTI-2 (540), https://nifti.nimh.nih.gov."""
    data = _content(file)
    head, size = data[:1024], len(data)
    order = next((o for o in "<>" if len(head) >= 540 and struct.unpack(f"{o}i", head[:4])[0] in (348, 540)), None)
    if order is None:
        raise _cut(file)
    if struct.unpack(f"{order}i", head[:4])[0] == 348:
        dims = struct.unpack(f"{order}8h", head[40:56])
        (kind, bits), steps = struct.unpack(f"{order}2h", head[70:74]), struct.unpack(f"{order}8f", head[76:108])
        offset, codes = struct.unpack(f"{order}f", head[108:112])[0], struct.unpack(f"{order}2h", head[252:256])
    else:
        (kind, bits), dims = struct.unpack(f"{order}2h", head[12:16]), struct.unpack(f"{order}8q", head[16:80])
        steps, offset = struct.unpack(f"{order}8d", head[104:168]), struct.unpack(f"{order}q", head[168:176])[0]
        codes = struct.unpack(f"{order}2i", head[344:352])
    count = math.prod(dims[1 : dims[0] + 1])
    if not 0 < dims[0] < 8 or size < offset + count * bits // 8:
        raise _cut(file)
    if kind in _FLOATS and not np.isfinite(np.frombuffer(data, f"{order}{_FLOATS[kind]}", count, int(offset))).all():
        raise DataContractError("voxels that are no number", where=file, next="replace NaN by what air has")
    if not any(codes):
        raise DataContractError("the header does not say how the volume lies (qform and sform are 0)", where=file)
    if not all(step > 0 for step in steps[1:4]):
        raise DataContractError("the header does not say how large a voxel is (pixdim)", where=file)


def _content(file: Path) -> bytes:
    """All bytes, decompressed (which checks gzip's checksum)."""
    data = file.read_bytes()
    if not file.name.lower().endswith(".gz"):
        return data
    try:
        return gzip.decompress(data)
    except (EOFError, OSError, zlib.error):
        raise _cut(file) from None


def _mha(file: Path) -> None:
    data = file.read_bytes()
    header, found, rest = data.partition(b"ElementDataFile")
    lines = (line.partition("=") for line in header.decode("latin-1").splitlines())
    fields = {key.strip(): value.strip() for key, _, value in lines}
    where, _, payload = rest.partition(b"\n")
    if not found or b"LOCAL" not in where:
        raise DataContractError("not an MHA file with its data inside", where=file, next="save it again as .mha")
    if not {"TransformMatrix", "Orientation", "Rotation"} & set(fields):
        raise DataContractError("the header does not say how the volume lies (TransformMatrix)", where=file)
    if fields.get("CompressedData", "False") == "True":
        try:
            payload = zlib.decompress(payload)
        except zlib.error:
            raise _cut(file) from None
    wanted = math.prod(int(size) for size in fields.get("DimSize", "0").split())
    if len(payload) < wanted * _BYTES.get(fields.get("ElementType", "").removeprefix("MET_"), 1):
        raise _cut(file)


def _nrrd(file: Path) -> None:
    """ITK refuses a NRRD that is cut short by itself."""
    with file.open("rb") as stream:
        head = stream.read(1 << 16).partition(b"\n\n")[0]
    if b"\nspace:" not in head or b"\nspace directions:" not in head:
        raise DataContractError("the header does not say how the volume lies (space, space directions)", where=file)


def _cut(file: Path) -> DataContractError:
    return DataContractError("unreadable or cut short", where=file, next="copy the file again from its origin")
