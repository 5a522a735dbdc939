"""Whether a PNG file is as long as its chunks say: OpenCV makes room for a chunk before it reads it."""

from __future__ import annotations

from parfocal.core.image_size import PNG


def whole(data: bytes) -> bool:
    """Whether every chunk up to IEND is in the file (PNG, 5.3): length, type, data, checksum."""
    at = len(PNG)
    while len(data) - at >= 12:
        length = int.from_bytes(data[at : at + 4])
        if data[at + 4 : at + 8] == b"IEND":
            return True
        at += 12 + length
    return False
