"""What camera took a picture, as its file says: of EXIF and DICOM the tags that name a camera, and nothing else.

Tags are taken by their number from a short list, so nothing that is said of a patient, an operator or a place can come
along. A serial number is one camera's for ever and is not told: its hash is, together with make and model.

Exif 2.32 (CIPA DC-008), TIFF 6.0; DICOM PS3.3, C.7.5.1.
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Iterator, Mapping

from parfocal.core.image_size import JPEG, PNG, TIFF

EXIF: Mapping[int, str] = {0x010F: "make", 0x0110: "model", 0xA434: "lens", 0xA431: "serial"}
"""Make and Model stand in the first directory; LensModel and BodySerialNumber in the one that `_INNER` points to."""
DICOM: Mapping[str, str] = {"0008|0070": "make", "0008|1090": "model", "0018|1000": "serial"}
"""Manufacturer, ManufacturerModelName, DeviceSerialNumber, as ITK writes tags."""
LONGEST = 64
"""Letters of a name; DICOM's long strings have as many."""
ENTRIES = 200
"""Of a directory: a real one has some dozens."""
BEGINNING = 1 << 17
"""Bytes of a JPEG or PNG file in which EXIF is looked for: it stands in front of the pixels, in 64 KB at most."""
_INNER, _ASCII, _LONG = 0x8769, 2, 4


def of_file(data: bytes) -> dict[str, str]:
    """`make`, `model`, `lens` and `device` of a JPEG, PNG or TIFF file, those that are there; {} for any other file.

    A damaged directory gives what was read of it: this is no reason to refuse a picture.
    """
    tiff = data if data.startswith(TIFF) else _exif(data[:BEGINNING])
    found: dict[str, str] = {}
    try:
        for tag, text in _texts(tiff):
            found.setdefault(EXIF[tag], text)
    except (struct.error, IndexError):
        pass
    return _told(found)


def of_dicom(tags: Mapping[str, str]) -> dict[str, str]:
    """`make`, `model` and `device` of a DICOM file's tags, by ``group|element``."""
    return _told({name: tags[tag] for tag, name in DICOM.items() if tag in tags})


def _told(found: Mapping[str, str]) -> dict[str, str]:
    names = {name: _clean(text) for name, text in found.items()}
    told = {name: text for name, text in names.items() if text and name != "serial"}
    if names.get("serial"):
        whole = "\n".join(names.get(name, "") for name in ("make", "model", "serial"))
        told["device"] = hashlib.sha256(whole.encode()).hexdigest()[:12]
    return told


def _clean(text: str) -> str:
    return " ".join("".join(letter if letter.isprintable() else " " for letter in text).split())[:LONGEST]


def _exif(data: bytes) -> bytes:
    """The TIFF structure inside the beginning of a JPEG or PNG file; b"" where there is none."""
    if data.startswith(JPEG):
        at = 2
        while at + 4 <= len(data) and data[at] == 0xFF and data[at + 1] != 0xDA:
            length = int.from_bytes(data[at + 2 : at + 4], "big")
            if data[at + 1] == 0xE1 and data[at + 4 : at + 10] == b"Exif\0\0":
                return data[at + 10 : at + 2 + length]
            at += 2 + length
    elif data.startswith(PNG):
        at = len(PNG)
        while at + 8 <= len(data):
            length = int.from_bytes(data[at : at + 4], "big")
            if data[at + 4 : at + 8] == b"eXIf":
                return data[at + 8 : at + 8 + length]
            at += 12 + length
    return b""


def _texts(tiff: bytes) -> Iterator[tuple[int, str]]:
    """Number and text of the wanted tags of the first directory and of the one inside it.

    Raises:
        struct.error: the file ends before what it announces.
    """
    order = {b"II": "<", b"MM": ">"}.get(tiff[:2])
    if order is None or struct.unpack_from(f"{order}H", tiff, 2)[0] != 42:  # BigTIFF, 43, is no photograph's
        return
    inner = 0
    for tag, kind, count, value in _directory(tiff, order, struct.unpack_from(f"{order}I", tiff, 4)[0]):
        if tag == _INNER and kind == _LONG:
            inner = struct.unpack_from(f"{order}I", tiff, value)[0]
        elif tag in EXIF and kind == _ASCII:
            yield tag, _text(tiff, order, count, value)
    for tag, kind, count, value in _directory(tiff, order, inner) if inner else ():
        if tag in EXIF and kind == _ASCII:
            yield tag, _text(tiff, order, count, value)


def _directory(tiff: bytes, order: str, at: int) -> Iterator[tuple[int, int, int, int]]:
    """Tag, kind, count, and where its four bytes of value stand, of every entry."""
    for place in range(min(struct.unpack_from(f"{order}H", tiff, at)[0], ENTRIES)):
        entry = at + 2 + 12 * place
        tag, kind, count = struct.unpack_from(f"{order}HHI", tiff, entry)
        yield tag, kind, count, entry + 8


def _text(tiff: bytes, order: str, count: int, value: int) -> str:
    start = value if count <= 4 else struct.unpack_from(f"{order}I", tiff, value)[0]
    return tiff[start : start + min(count, 4 * LONGEST)].split(b"\0")[0].decode("utf-8", "replace")
