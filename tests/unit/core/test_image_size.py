"""The size in a file's header is the size of what is decoded, whoever wrote the file."""

import struct

import cv2
import numpy as np
import pytest

from parfocal.core.errors import DataContractError
from parfocal.core.image_size import image_size, refuse_huge

PIXELS = np.random.default_rng(0).integers(0, 255, (37, 53, 3), dtype=np.uint8)


@pytest.mark.parametrize("kind", [".png", ".jpg", ".tif", ".bmp"])
def test_the_header_says_what_the_decoder_finds(kind: str) -> None:
    assert image_size(cv2.imencode(kind, PIXELS)[1].tobytes()) == (53, 37)


def test_a_progressive_jpeg_and_one_with_a_thumbnail_are_read_at_their_own_frame() -> None:
    small = cv2.imencode(".jpg", PIXELS[:8, :8])[1].tobytes()
    data = cv2.imencode(".jpg", PIXELS, [cv2.IMWRITE_JPEG_PROGRESSIVE, 1])[1].tobytes()
    assert image_size(data[:2] + b"\xff\xe1" + struct.pack(">H", len(small) + 2) + small + data[2:]) == (53, 37)


def test_a_big_endian_tiff_with_short_numbers_is_read() -> None:
    entries = struct.pack(">HHIHH", 256, 3, 1, 53, 0) + struct.pack(">HHII", 257, 4, 1, 37)
    assert image_size(b"MM\0*" + struct.pack(">I", 8) + struct.pack(">H", 2) + entries) == (53, 37)


@pytest.mark.parametrize(
    "data", [b"", b"GIF89a", b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"II*\0", b"II*\0" + b"\xff" * 40, b"BM"], ids=repr
)
def test_what_has_no_header_has_no_size(data: bytes) -> None:
    assert image_size(data) is None


def test_a_bitmap_may_be_stored_from_the_top_down() -> None:
    data = bytearray(cv2.imencode(".bmp", PIXELS)[1].tobytes())
    data[22:26] = struct.pack("<i", -37)
    assert image_size(bytes(data)) == (53, 37)
    data[18:26] = struct.pack("<ii", 40_000, -40_000)
    with pytest.raises(DataContractError, match="40000 x 40000 pixels"):
        refuse_huge(bytes(data))


def test_what_cannot_be_measured_is_not_decoded() -> None:
    png = cv2.imencode(".png", PIXELS)[1].tobytes()
    refuse_huge(png)
    lying = png[:33] + struct.pack(">I", 2**31 - 1) + png[37:]
    for data in (cv2.imencode(".webp", PIXELS)[1].tobytes(), b"P5 40000 40000 255\n", b"", lying, png[:-12]):
        with pytest.raises(DataContractError, match="unreadable or cut short") as error:
            refuse_huge(data)
        assert error.value.expected
        assert error.value.next
