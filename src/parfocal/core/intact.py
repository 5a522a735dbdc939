"""Whether a volume file is whole and says how it lies, before ITK opens it.

ITK 5.4 reads a NIfTI file that was cut short without a word and fills the rest with zeros, makes zero (in CT: water)
of what is no number, and takes a compressed MHA with a wrong byte. It also answers 1 mm and the identity for files
that say neither. Each would be a wrong slice or a slice of another plane, so the bytes are read here first.
"""

from __future__ import annotations

import gzip
import zlib
from pathlib import Path
from typing import BinaryIO

import numpy as np

from parfocal.core import nifti, volume_size
from parfocal.core.errors import DataContractError

SUFFIXES = (".nii", ".nii.gz", ".nrrd", ".mha")
"""One file each: NRRD and MetaImage with detached data (.nhdr, .mhd) are not read."""
_FLOATS = {16: "f4", 64: "f8"}
BEYOND = 100_000_000
"""Bytes of a NIfTI file that may lie before its voxels, or behind them: extensions."""


def check(file: Path) -> None:
    """Refuse a volume file that is huge, cut short, corrupt, or silent about voxel size (NIfTI) or orientation.

    Raises:
        DataContractError: it is.
    """
    volume_size.refuse_huge(file)
    name = file.name.lower()
    if name.endswith((".nii", ".nii.gz")):
        _nifti(file)
    elif name.endswith(".mha"):
        _mha(file)
    elif name.endswith(".nrrd"):
        _nrrd(file)


def _nifti(file: Path) -> None:
    with file.open("rb") as stored:
        packed = stored.read(2) == volume_size.GZIP
        stored.seek(0)
        stream: BinaryIO = gzip.GzipFile(fileobj=stored) if packed else stored  # type: ignore[assignment]
        try:
            found, voxels = _voxels(stream)
        except (EOFError, OSError, zlib.error):
            found = None
    if found is None:
        raise _cut(file)
    kind = f"{found.order}{_FLOATS.get(found.kind)}"
    if found.kind in _FLOATS and not np.isfinite(np.frombuffer(voxels, kind, found.voxels)).all():
        raise DataContractError("voxels that are no number", where=file, next="replace NaN by what air has")
    if not any(found.codes):
        raise DataContractError("the header does not say how the volume lies (qform and sform are 0)", where=file)
    if not all(step > 0 for step in found.steps[1:4]):
        raise DataContractError("the header does not say how large a voxel is (pixdim)", where=file)


def _voxels(stream: BinaryIO) -> tuple[nifti.Header | None, bytes]:
    """Header and voxels, and no more than they are; to the end of the file, where gzip has its checksum.

    None instead of a header where the file is cut short, or goes on for longer than extensions do.
    """
    found = nifti.header(head := stream.read(nifti.LENGTH))
    if found is None or not 0 < found.dims[0] < 8 or found.voxels < 1 or not 0 <= found.offset <= BEYOND:
        return None, b""
    begin, end = int(found.offset), int(found.offset) + found.content
    data = head + stream.read(max(end - len(head), 0))
    beyond = 0
    while (more := len(stream.read(1 << 20))) and beyond <= BEYOND:
        beyond += more
    return (None, b"") if len(data) < end or beyond > BEYOND else (found, data[begin:end])


def _mha(file: Path) -> None:
    data = file.read_bytes()
    header, found, rest = data.partition(b"ElementDataFile")
    fields = volume_size.mha_fields(header)
    where, _, payload = rest.partition(b"\n")
    if not found or b"LOCAL" not in where:
        raise DataContractError("not an MHA file with its data inside", where=file, next="save it again as .mha")
    if not {"TransformMatrix", "Orientation", "Rotation"} & set(fields):
        raise DataContractError("the header does not say how the volume lies (TransformMatrix)", where=file)
    try:
        wanted = volume_size.mha_bytes(fields)
        if fields.get("CompressedData", "False") == "True":
            unzip = zlib.decompressobj()
            payload = unzip.decompress(payload, wanted + 1)
            if not unzip.eof or len(payload) > wanted:  # more than the header says, or no checksum
                raise _cut(file)
    except (ValueError, zlib.error):
        raise _cut(file) from None
    if len(payload) < wanted:
        raise _cut(file)


def _nrrd(file: Path) -> None:
    """ITK refuses a NRRD that is cut short by itself."""
    with file.open("rb") as stream:
        head = stream.read(1 << 16).partition(b"\n\n")[0]
    if b"\nspace:" not in head or b"\nspace directions:" not in head:
        raise DataContractError("the header does not say how the volume lies (space, space directions)", where=file)


def _cut(file: Path) -> DataContractError:
    return DataContractError("unreadable or cut short", where=file, next="copy the file again from its origin")
