"""How large an image file says it is, read before a pixel is decoded: some kilobytes can claim, and fill, gigabytes."""

from __future__ import annotations

from typing import Literal

from parfocal.core.errors import DataContractError

PNG = b"\x89PNG\r\n\x1a\n"
JPEG = b"\xff\xd8\xff"
TIFF = (b"II*\0", b"MM\0*")
BMP = b"BM"
MOST_PIXELS = 150_000_000
"""More than any camera, detector or scanner gives; a file of some kilobytes can claim, and fill, gigabytes."""
_NO_FRAME = {0xC4, 0xC8, 0xCC}
"""Markers among JPEG's C0-CF that do not start a frame: tables and a reserved one."""
_WIDTH, _HEIGHT, _SHORT = 256, 257, 3
"""Tags of TIFF, and the type of a number of two bytes; the other one that a size may have is of four."""


def refuse_huge(data: bytes) -> None:
    """Refuse a picture of more than `MOST_PIXELS`, or whose size is not known, before it is decoded.

    OpenCV knows twenty formats more, whatever a file is called.

    Raises:
        DataContractError: it is, or is no JPEG, PNG, TIFF or BMP file.
    """
    size = image_size(data)
    if size is None or (data.startswith(PNG) and not whole_png(data)):
        raise DataContractError(
            "unreadable or cut short",
            expected="a JPEG, PNG, TIFF or BMP file",
            next="copy the file again from its origin",
        )
    refuse_size(size)


def refuse_size(size: tuple[int, int]) -> None:
    """Refuse a (width, height) of more than `MOST_PIXELS`.

    Raises:
        DataContractError: it is.
    """
    if size[0] * size[1] > MOST_PIXELS:
        raise DataContractError(
            f"{size[0]} x {size[1]} pixels", expected=f"at most {MOST_PIXELS:,}", next="is this a picture of a patient?"
        )


def image_size(data: bytes) -> tuple[int, int] | None:
    """(width, height) that a JPEG, PNG, TIFF or BMP file claims, before EXIF turns it; None for anything else."""
    if data.startswith(PNG):
        if len(data) < 24 or data[12:16] != b"IHDR":
            return None
        return int.from_bytes(data[16:20]), int.from_bytes(data[20:24])
    if data.startswith(JPEG):
        return _jpeg(data)
    if data.startswith(BMP):
        return _bmp(data)
    return _tiff(data) if data.startswith(TIFF) else None


def whole_png(data: bytes) -> bool:
    """Whether every chunk up to IEND is in the file (PNG, 5.3): length, type, data, checksum. OpenCV makes room for a
    chunk before it reads it."""
    at = len(PNG)
    while len(data) - at >= 12:
        length = int.from_bytes(data[at : at + 4])
        if data[at + 4 : at + 8] == b"IEND":
            return True
        at += 12 + length
    return False


def _jpeg(data: bytes) -> tuple[int, int] | None:
    """From the frame header (ITU T.81, B.2.2), found by walking over the segments before it."""
    at = 2
    while at + 9 <= len(data):
        if data[at] != 0xFF:
            return None
        marker = data[at + 1]
        if marker == 0xFF:  # a fill byte
            at += 1
        elif marker == 0x01 or 0xD0 <= marker <= 0xD8:  # markers without a segment
            at += 2
        elif 0xC0 <= marker <= 0xCF and marker not in _NO_FRAME:
            return int.from_bytes(data[at + 7 : at + 9]), int.from_bytes(data[at + 5 : at + 7])
        else:
            at += 2 + int.from_bytes(data[at + 2 : at + 4])
    return None


def _bmp(data: bytes) -> tuple[int, int] | None:
    """From the header after the file's own 14 bytes: OS/2's of 12 bytes, or Windows', in which rows from the top down
    have a negative height (BITMAPCOREHEADER and BITMAPINFOHEADER)."""
    if len(data) < 26:
        return None
    if int.from_bytes(data[14:18], "little") == 12:
        return int.from_bytes(data[18:20], "little"), int.from_bytes(data[20:22], "little")
    sides = (int.from_bytes(data[at : at + 4], "little", signed=True) for at in (18, 22))
    width, height = (abs(side) for side in sides)
    return width, height


def _tiff(data: bytes) -> tuple[int, int] | None:
    """From the first image's directory (TIFF 6.0, section 2), which is the one that is decoded."""
    order: Literal["little", "big"] = "little" if data.startswith(b"II") else "big"

    def number(at: int, size: int) -> int:
        return int.from_bytes(data[at : at + size], order)

    start = number(4, 4)
    found: dict[int, int] = {}
    for entry in range(start + 2, start + 2 + 12 * number(start, 2), 12):
        tag = number(entry, 2)
        if tag in (_WIDTH, _HEIGHT):
            found[tag] = number(entry + 8, 2 if number(entry + 2, 2) == _SHORT else 4)
    return (found[_WIDTH], found[_HEIGHT]) if len(found) == 2 else None
