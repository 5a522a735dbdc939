"""The header of a NIfTI file: of NIfTI-1 (348 bytes, nifti1.h) and NIfTI-2 (540, nifti2.h), in either byte order."""

from __future__ import annotations

import math
import struct
from typing import NamedTuple

LENGTH = 540
"""Bytes that hold the header of either version."""


class Header(NamedTuple):
    """What a header claims; nothing of it has been looked at yet.

    Attributes:
        size: of the header in bytes, 348 or 540.
        order: ``<`` or ``>``, as `struct` writes byte orders.
        dims: number of axes, then the length of each of seven.
        kind: of a voxel (nifti1.h, DT_*).
        bits: of a voxel.
        steps: pixdim; the three after the first are the sides of a voxel.
        offset: where the voxels begin, in bytes; may be no number.
        codes: qform and sform.
    """

    size: int
    order: str
    dims: tuple[int, ...]
    kind: int
    bits: int
    steps: tuple[float, ...]
    offset: float
    codes: tuple[int, ...]

    @property
    def axes(self) -> tuple[int, ...]:
        """Lengths of the axes that it says it has."""
        return self.dims[1 : self.dims[0] + 1]

    @property
    def voxels(self) -> int:
        return math.prod(self.axes)

    @property
    def content(self) -> int:
        """Bytes of the voxels."""
        return self.voxels * self.bits // 8


def header(head: bytes) -> Header | None:
    """What the first bytes of a file, decompressed, say; None when they are no header of either version."""
    if len(head) < 348:
        return None
    for order in "<>":
        (size,) = struct.unpack(f"{order}i", head[:4])
        if size == 348:
            return _first(head, order)
        if size == LENGTH <= len(head):
            return _second(head, order)
    return None


def _first(head: bytes, order: str) -> Header:
    kind, bits = struct.unpack(f"{order}2h", head[70:74])
    (offset,) = struct.unpack(f"{order}f", head[108:112])
    dims, steps = struct.unpack(f"{order}8h", head[40:56]), struct.unpack(f"{order}8f", head[76:108])
    return Header(348, order, dims, kind, bits, steps, offset, struct.unpack(f"{order}2h", head[252:256]))


def _second(head: bytes, order: str) -> Header:
    kind, bits = struct.unpack(f"{order}2h", head[12:16])
    (offset,) = struct.unpack(f"{order}q", head[168:176])
    dims, steps = struct.unpack(f"{order}8q", head[16:80]), struct.unpack(f"{order}8d", head[104:168])
    return Header(LENGTH, order, dims, kind, bits, steps, offset, struct.unpack(f"{order}2i", head[344:352]))
