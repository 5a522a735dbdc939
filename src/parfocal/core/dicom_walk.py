"""Whether a DICOM file is as long as its elements say, before a library makes room for what they say.

GDCM allocates an element's length before it reads it, so one wrong byte in 30 kilobytes can cost seconds and gigabytes.
Here every length is held against what is left of the file (PS3.5, 7.1 and 7.5; PS3.10, 7.1).
"""

from __future__ import annotations

import struct

from parfocal.core.errors import DataContractError

START = 132
"""Bytes before the first element: the preamble and DICM."""
IMPLICIT, BIG = b"1.2.840.10008.1.2", b"1.2.840.10008.1.2.2"
_SYNTAX, _PIXELS = (0x0002, 0x0010), (0x7FE0, 0x0010)
_ITEM, _ITEM_END, _END = (0xFFFE, 0xE000), (0xFFFE, 0xE00D), (0xFFFE, 0xE0DD)
_UNKNOWN = 0xFFFFFFFF
_LONG = {b"OB", b"OD", b"OF", b"OL", b"OV", b"OW", b"SQ", b"SV", b"UC", b"UN", b"UR", b"UT", b"UV"}
_SHORT = {
    b"AE", b"AS", b"AT", b"CS", b"DA", b"DS", b"DT", b"FD", b"FL", b"IS", b"LO", b"LT", b"PN", b"SH", b"SL", b"SS",
    b"ST", b"TM", b"UI", b"UL", b"US",
}  # fmt: skip
DEEPEST = 16
"""Sequences inside one another."""


class _Damaged(Exception):  # noqa: N818  becomes a DataContractError
    """A length that the file does not have, or an element that is none."""


class _Walk:
    """One pass over the elements."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._explicit, self._order = True, "<"

    def run(self) -> None:
        at, syntax = START, b""
        while struct.unpack_from("<H", self._data, at)[0] == 2:
            tag, _vr, length, at = self._head(at)
            self._inside(at, length, len(self._data))
            if tag == _SYNTAX:
                syntax = self._data[at : at + length].rstrip(b"\0 ")
            at += length
        self._explicit, self._order = syntax != IMPLICIT, ">" if syntax == BIG else "<"
        self._elements(at, len(self._data), 0)

    def _elements(self, at: int, end: int, depth: int) -> int:
        """Walk to `end`, or to the item's delimiter; where that was."""
        if depth > DEEPEST:
            raise _Damaged
        before = (0, 0)
        while end - at >= 8:
            tag, vr, length, at = self._head(at)
            if tag == _ITEM_END:
                return at
            if tag <= before:  # in ascending order (PS3.5, 7.1); anything else is read as one likes
                raise _Damaged
            before = tag
            if length == _UNKNOWN:
                explicit, self._explicit = self._explicit, self._explicit and vr != b"UN"  # PS3.5, 6.2.2, note 2
                at = self._items(at, end, depth, pixels=tag == _PIXELS)
                self._explicit = explicit
            else:
                self._inside(at, length, end)
                if vr == b"SQ":
                    self._items(at, at + length, depth, pixels=False)
                at += length
        return end

    def _items(self, at: int, end: int, depth: int, *, pixels: bool) -> int:
        while end - at >= 8:
            tag, length = self._tag(at), struct.unpack_from(f"{self._order}I", self._data, at + 4)[0]
            at += 8
            if tag == _END:
                return at
            if tag != _ITEM:
                raise _Damaged
            if length == _UNKNOWN:
                if pixels:
                    raise _Damaged
                at = self._elements(at, end, depth + 1)
                continue
            self._inside(at, length, end)
            if not pixels:
                self._elements(at, at + length, depth + 1)
            at += length
        return end

    def _head(self, at: int) -> tuple[tuple[int, int], bytes, int, int]:
        """Tag, value representation, length, and where the value begins."""
        tag = self._tag(at)
        if tag[0] == 0xFFFE or not self._explicit:
            return tag, b"", struct.unpack_from(f"{self._order}I", self._data, at + 4)[0], at + 8
        vr = self._data[at + 4 : at + 6]
        if vr in _SHORT:
            return tag, vr, struct.unpack_from(f"{self._order}H", self._data, at + 6)[0], at + 8
        if vr not in _LONG:
            raise _Damaged
        return tag, vr, struct.unpack_from(f"{self._order}I", self._data, at + 8)[0], at + 12

    def _tag(self, at: int) -> tuple[int, int]:
        group, element = struct.unpack_from(f"{self._order}HH", self._data, at)
        return group, element

    @staticmethod
    def _inside(at: int, length: int, end: int) -> None:
        if at + length > end:
            raise _Damaged


def refuse(data: bytes) -> None:
    """Refuse a DICOM file with an element that is longer than what holds it, or that is no list of elements.

    Raises:
        DataContractError: it is.
    """
    try:
        _Walk(data).run()
    except (_Damaged, struct.error):
        raise DataContractError(
            "unreadable or cut short", expected="a whole DICOM file", next="copy the file again"
        ) from None
