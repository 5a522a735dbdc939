"""DICOM files that would fill the memory: a compressed picture inside one says its size a second time.

GDCM makes room for what the picture inside claims, whatever Rows and Columns say: 40 kilobytes can ask for 11 GB. So
every claim in the file is looked at before GDCM sees it, by the service that is sent files and by what reads folders.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

from parfocal.core.errors import DataContractError

COMPRESSED = b"1.2.840.10008.1.2.4."
"""What the transfer syntaxes of the JPEG family begin with (PS3.5, A.4)."""
DEFLATED = b"1.2.840.10008.1.2.1.99"
"""The one in which the whole data set is compressed; it can grow a thousandfold."""
SAMPLES, BITS = "0028|0002", "0028|0100"
MOST_PLACES = 8
"""Where something may look like pixel data; a picture has one, and a thumbnail."""
_PIXELS = b"\xe0\x7f\x10\x00"
_ITEM = b"\xfe\xff\x00\xe0"
_FRAME = re.compile(rb"\xff[\xc0-\xc3\xc5-\xc7\xc9-\xcb\xcd-\xcf\xf7]\x00.[\x02-\x10](..)(..)[\x01-\x04]", re.DOTALL)
"""A frame header of JPEG (ITU T.81, B.2.2) or JPEG-LS: length, precision, height, width, components."""
_SIZE = re.compile(rb"\xff\x4f\xff\x51....(....)(....)", re.DOTALL)
"""The head of a JPEG 2000 codestream (ITU T.800, A.5.1): width and height of the reference grid."""


def refuse(data: bytes, check: Callable[[tuple[int, int]], None]) -> None:
    """Refuse a DICOM file by what the picture inside it claims.

    Args:
        data: the file.
        check: refuses a (width, height).

    Raises:
        DataContractError: its data set is deflated; whatever `check` raises.
    """
    if DEFLATED in data:
        raise DataContractError(
            "a deflated DICOM file", expected="one whose data set is not compressed as a whole",
            next="export it in another transfer syntax",
        )  # fmt: skip
    if COMPRESSED not in data:
        return
    for part in (data, *_frames(data)):
        for width, height in _claims(part):
            check((width, height))


def refuse_samples(samples: str, bits: str) -> None:
    """Refuse a picture of more samples a pixel than colours, or larger ones than numbers have bits.

    Raises:
        DataContractError: it is.
    """
    if samples.strip() not in ("1", "3", "4") or bits.strip() not in ("1", "8", "12", "16", "32"):
        raise DataContractError(
            f"{samples.strip()[:8]!a} samples of {bits.strip()[:8]!a} bits a pixel",
            expected="a grey or colour picture", next="export it again",
        )  # fmt: skip


def _claims(data: bytes) -> Iterator[tuple[int, int]]:
    """Every (width, height) that something in these bytes says of itself; no smaller than the smallest picture."""
    for found in _FRAME.finditer(data):
        yield max(int.from_bytes(found[2]), 64), max(int.from_bytes(found[1]), 64)
    for found in _SIZE.finditer(data):
        yield max(int.from_bytes(found[1]), 64), max(int.from_bytes(found[2]), 64)


def _frames(data: bytes) -> Iterator[bytes]:
    """What the fragments of anything that may be pixel data are together: a header may be cut in two by them."""
    at, places = data.find(_PIXELS), 0
    while at >= 0:
        item = data.find(_ITEM, at, at + 20)
        parts = []
        while item >= 0 and data[item : item + 4] == _ITEM:
            length = int.from_bytes(data[item + 4 : item + 8], "little")
            parts.append(data[item + 8 : item + 8 + length])
            item += 8 + length
        if parts and (places := places + 1) > MOST_PLACES:  # each is looked through as a whole
            raise DataContractError("pixel data in many places", expected="one picture", next="export it again")
        if len(parts) > 2:  # the table of offsets and one fragment are seen as they are
            yield b"".join(parts[1:])
        at = data.find(_PIXELS, at + 4)
