"""A file's camera is told and nothing else of what it says: by hand-made EXIF, and whatever bytes there are."""

import struct
import zlib

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from parfocal.inference import camera

PATIENT = "Erika Mustermann"
MAKE, MODEL, DESCRIPTION, ARTIST, COPYRIGHT, COMMENT, OWNER, SERIAL, LENS, INNER = (
    0x010F, 0x0110, 0x010E, 0x013B, 0x8298, 0x9286, 0xA430, 0xA431, 0xA434, 0x8769,
)  # fmt: skip
OUTER = {DESCRIPTION: PATIENT, MAKE: "Topcon", MODEL: "TRC-50DX", ARTIST: PATIENT, COPYRIGHT: PATIENT}
INSIDE = {COMMENT: PATIENT, OWNER: PATIENT, SERIAL: "4711", LENS: "Nikkor 50"}


def tiff(outer: dict[int, str], inside: dict[int, str], order: str = "<") -> bytes:
    """A TIFF structure: header, first directory, the one inside it, then the texts."""

    def directory(entries: list[tuple[int, int, int, bytes]]) -> bytes:
        packed = b"".join(struct.pack(f"{order}HHI", tag, kind, n) + value for tag, kind, n, value in entries)
        return struct.pack(f"{order}H", len(entries)) + packed + b"\0\0\0\0"

    first, second = 8, 8 + 2 + 12 * (len(outer) + 1) + 4
    at, texts = second + 2 + 12 * len(inside) + 4, b""

    def entry(tag: int, text: str) -> tuple[int, int, int, bytes]:
        nonlocal texts
        data = text.encode() + b"\0"
        if len(data) <= 4:
            return tag, 2, len(data), data.ljust(4, b"\0")
        place = at + len(texts)
        texts += data
        return tag, 2, len(data), struct.pack(f"{order}I", place)

    pointer = (INNER, 4, 1, struct.pack(f"{order}I", second))
    head = (b"II" if order == "<" else b"MM") + struct.pack(f"{order}HI", 42, first)
    one = directory(sorted([*(entry(*each) for each in outer.items()), pointer]))
    return head + one + directory(sorted(entry(*each) for each in inside.items())) + texts


def jpeg(exif: bytes) -> bytes:
    plain = cv2.imencode(".jpg", np.zeros((40, 40, 3), np.uint8))[1].tobytes()
    body = b"Exif\0\0" + exif
    return plain[:2] + b"\xff\xe1" + struct.pack(">H", len(body) + 2) + body + plain[2:]


def png(exif: bytes) -> bytes:
    plain = cv2.imencode(".png", np.zeros((40, 40, 3), np.uint8))[1].tobytes()
    chunk = b"eXIf" + exif
    return plain[:33] + struct.pack(">I", len(exif)) + chunk + struct.pack(">I", zlib.crc32(chunk)) + plain[33:]


@pytest.mark.parametrize("order", "<>")
@pytest.mark.parametrize("wrap", [jpeg, png, lambda exif: exif], ids=["jpeg", "png", "tiff"])
def test_make_model_lens_and_a_hash_of_the_serial_number_are_told_and_no_patient(wrap, order: str) -> None:  # type: ignore[no-untyped-def]
    found = camera.of_file(wrap(tiff(OUTER, INSIDE, order)))
    assert {name: found[name] for name in ("make", "model", "lens")} == {
        "make": "Topcon", "model": "TRC-50DX", "lens": "Nikkor 50",
    }  # fmt: skip
    assert set(found) == {"make", "model", "lens", "device"}
    assert PATIENT not in str(found)
    assert "4711" not in str(found)
    other = camera.of_file(wrap(tiff(OUTER, {**INSIDE, SERIAL: "4712"}, order)))
    assert found["device"] != other["device"]
    assert (
        found["device"]
        == camera.of_dicom({"0008|0070": "Topcon", "0008|1090": "TRC-50DX", "0018|1000": "4711"})["device"]
    )


def test_of_dicom_the_cameras_three_tags_are_told() -> None:
    said = {
        "0010|0010": PATIENT, "0010|0020": "4711", "0008|0080": "Clinic", "0008|1010": "Station", "0008|1070": "Ada",
        "0008|0070": "ZEISS ", "0008|1090": "CLARUS 500", "0018|1000": "7",
    }  # fmt: skip
    found = camera.of_dicom(said)
    assert found.pop("device") == camera.of_dicom(said)["device"]
    assert found == {"make": "ZEISS", "model": "CLARUS 500"}
    assert camera.of_dicom({"0010|0010": PATIENT}) == {}


def test_a_picture_without_tags_names_no_camera() -> None:
    assert camera.of_file(jpeg(b"")) == camera.of_file(b"") == camera.of_file(b"DICM" * 50) == {}
    assert camera.of_file(tiff({MAKE: "  \t"}, {})) == {}


def test_names_are_short_and_printable() -> None:
    found = camera.of_file(tiff({MAKE: "a\x07b" + "c" * 500, MODEL: "X1"}, {}))
    assert found == {"make": ("a b" + "c" * 61), "model": "X1"}


@given(st.binary(max_size=80), st.integers(0, 200), st.integers(0, 255))
def test_whatever_a_damaged_file_says_nothing_is_raised(data: bytes, place: int, byte: int) -> None:
    whole = bytearray(tiff(OUTER, INSIDE))
    whole[place % len(whole)] = byte
    for exif in (b"II*\0" + data, bytes(whole), bytes(whole)[:place]):
        found = camera.of_file(jpeg(exif))
        assert set(found) <= {"make", "model", "lens", "device"}
