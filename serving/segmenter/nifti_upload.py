"""An uploaded NIfTI file to one slice: in memory, bounded before it is decompressed, and cut as the volume reader cuts.

The header is read here first: its dimensions bound what is decompressed, and only what it must say goes on to ITK. The
file that ITK reads has no place on any disk (memfd_create); a link of the right name leads to it.
"""

from __future__ import annotations

import os
import struct
import tempfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from parfocal_serving.segmenter.forms import Cut
from parfocal_serving.segmenter.problems import RequestError

from parfocal.core import nifti, volume_size, volumes
from parfocal.core.dicom import simpleitk
from parfocal.core.errors import DataContractError, UsageError
from parfocal.core.task import task as known_task
from parfocal.core.volumes import Volume
from parfocal.preprocessing.images import Picture

LARGEST = 256_000_000
"""Bytes of a whole volume, decompressed: a CT of 512 x 512 x 480 voxels of 16 bits."""
MODALITIES = ("ct", "mr")
"""What volumes are of; the other modalities' pictures are photographs."""
_BITS = {2: 8, 4: 16, 8: 32, 16: 32, 64: 64, 256: 8, 512: 16, 768: 32}
"""NIfTI's types of one whole or floating number a voxel (nifti1.h, DT_*), and their bits."""
Check = Callable[[tuple[int, int]], None]
Slice = tuple[Picture, tuple[float, float] | None, None, dict[str, Any]]


class _Header(NamedTuple):
    """Bytes of the header, where the voxels begin and end, and the axes' lengths."""

    size: int
    begin: int
    end: int
    axes: tuple[int, ...]


def decode(data: bytes, task: str, cut: Cut, check: Check) -> Slice:
    """One slice as the networks of the task have learned slices, uint16 [H, W].

    Args:
        data: a .nii or .nii.gz file.
        task: whose modality it must be of.
        cut: which slice; may be left out where the volume is one.
        check: refuses a (width, height) before anything is decompressed.

    Returns:
        The slice, (row, column) of a pixel in millimetres, nothing of an eye, and `place`.

    Raises:
        RequestError: 415 no NIfTI, the task is not of volumes, or no SimpleITK; 413 too large; 400 everything else.
    """
    modality = known_task(task).modality
    head = _inflated(data, 1024)
    if head[344:348] != b"n+1\0" and head[4:8] != b"n+2\0":
        raise RequestError(415, "this is compressed, and no NIfTI file", where="image", expected=".nii or .nii.gz")
    if modality not in MODALITIES:
        raise RequestError(
            415, f"a NIfTI file, and the task {task} is for pictures: {modality}", where="image",
            expected="a photograph or an X-ray",
        )  # fmt: skip
    header = _header(head)
    check(_sides(header.axes))
    try:
        volume = _opened(_alone(_inflated(data, header.end), header), cut)
        height, width = volume.array.shape[1:]
        check((width, height))
        number = _number(volume, cut)
        stored = volumes.to_uint16(volume.array, modality)[number]  # a slice's numbers are scaled with its volume's
    except UsageError as error:
        raise RequestError(415, "NIfTI cannot be read here: SimpleITK is missing", next=error.next) from None
    except DataContractError as error:
        raise RequestError(400, error.what, where="image", expected=error.expected, next=error.next) from None
    spacing = volume.spacing[1:] if volume.spacing else None
    return np.ascontiguousarray(stored), spacing, None, place(volume, number)


def place(volume: Volume, number: int) -> dict[str, Any]:
    """Where a slice lies: `plane`, `number`, `slices`, and `volumes.place`."""
    where = volumes.place(volumes.grid(volume), number)
    return {"plane": volume.plane, "number": number, "slices": len(volume.array), **where}


def _header(head: bytes) -> _Header:
    """What a header of NIfTI-1 or NIfTI-2 claims.

    Raises:
        RequestError: 413 more than `LARGEST`, 400 cut short, or nothing that has slices.
    """
    found = nifti.header(head)
    if found is None:
        raise _cut()
    _refuse_nowhere(head, found)
    axes = found.axes[:3]
    if not 3 <= found.dims[0] <= 7 or any(extra != 1 for extra in found.axes[3:]) or min(axes) < 1:
        raise RequestError(400, "no volume of three dimensions", where="image", expected="one slice, or a stack")
    if _BITS.get(found.kind) != found.bits:
        what = f"voxels of NIfTI's type {found.kind}"
        raise RequestError(400, what, where="image", expected="one real number a voxel")
    if not found.size <= found.offset <= found.size + 1_000_000:
        raise _cut()
    if found.content > LARGEST:
        raise RequestError(
            413, f"{found.content / 1e6:.0f} MB of voxels are too many", where="image",
            expected=f"at most {LARGEST / 1e6:g} MB", next="send one slice, or use parfocal segment VOLUME",
        )  # fmt: skip
    return _Header(found.size, int(found.offset), int(found.offset) + found.content, axes)


def _refuse_nowhere(head: bytes, found: nifti.Header) -> None:
    """ITK computes with a place that is no number, and says so on standard error."""
    kind, places = ("f4", ((76, 4), (256, 18))) if found.size == 348 else ("f8", ((104, 4), (352, 18)))
    for at, count in places:  # pixdim; the quaternion, its offset and the three rows
        if not np.isfinite(np.frombuffer(head, f"{found.order}{kind}", count, at)).all():
            raise RequestError(
                400, "a header whose voxels lie nowhere", where="image", expected="qform or sform in numbers"
            )


def _sides(axes: tuple[int, ...]) -> tuple[int, int]:
    """The two longest sides: no slice in any plane has more pixels."""
    _, middle, longest = sorted(axes)
    return longest, middle


def _inflated(data: bytes, most: int) -> bytes:
    """The first `most` bytes of a file, decompressed if it is; never more, whatever it would become."""
    try:
        return volume_size.inflated(data, most)
    except zlib.error:
        raise _cut() from None


def _alone(data: bytes, header: _Header) -> bytes:
    """The file without its extensions, which may say anything: header, four zeros, voxels."""
    if len(data) < header.end:
        raise _cut()
    head = bytearray(data[: header.size])
    order = "<" if struct.unpack("<i", head[:4])[0] == header.size else ">"
    begin = header.size + 4
    if header.size == 348:
        head[108:112] = struct.pack(f"{order}f", begin)
    else:
        head[168:176] = struct.pack(f"{order}q", begin)
    return bytes(head) + bytes(4) + data[header.begin : header.end]


def _opened(data: bytes, cut: Cut) -> Volume:
    simpleitk().ProcessObject.SetGlobalWarningDisplay(False)
    handle = os.memfd_create("upload", os.MFD_CLOEXEC)
    try:
        with os.fdopen(handle, "wb", closefd=False) as file:
            file.write(data)
        with tempfile.TemporaryDirectory(prefix="parfocal-") as folder:
            link = Path(folder) / "upload.nii"  # NIfTI's library goes by the name
            link.symlink_to(f"/proc/self/fd/{handle}")
            volume = volumes.open_volume(link, cut.plane)
            own = _thin(volume)
            if cut.plane == "acquired" and own not in (None, volume.plane):
                volume = volumes.open_volume(link, own)  # type: ignore[arg-type]
            return volume
    finally:
        os.close(handle)


def _thin(volume: Volume) -> str | None:
    """The plane of a volume that is one slice, whatever its spacing; None of any other."""
    thin = [axis for axis, length in enumerate(volume.source.GetSize()) if length == 1]
    if len(thin) != 1:
        return None
    towards = np.abs(np.reshape(volume.source.GetDirection(), (3, 3))[:, thin[0]])
    return ("sagittal", "coronal", "axial")[int(np.argmax(towards))]


def _number(volume: Volume, cut: Cut) -> int:
    slices = len(volume.array)
    if cut.number is None and slices == 1:
        return 0
    if cut.number is None or cut.number >= slices:
        what = f"a volume of {slices} {volume.plane} slices" + ("" if cut.number is None else f", and no {cut.number}")
        raise RequestError(
            400,
            what,
            where="slice",
            expected=f"`slice` from 0 to {slices - 1}",
            next="or parfocal segment VOLUME for all",
        )
    return cut.number


def _cut() -> RequestError:
    return RequestError(400, "unreadable or cut short", where="image", next="copy the file again")
