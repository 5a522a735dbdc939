"""Bytes to pixels: rotated as tagged, never half an image, never a mask that could mean something else."""

import struct
import zlib

import cv2
import numpy as np
import pytest
from data_kit import circle, picture

from parfocal.core.errors import DataContractError
from parfocal.preprocessing.images import decode_image, decode_mask, encode_mask, mask_checksum, shown


def encoded(suffix: str, pixels: np.ndarray) -> bytes:
    return cv2.imencode(suffix, pixels)[1].tobytes()


def turned(jpeg: bytes, orientation: int) -> bytes:
    """The JPEG with an EXIF tag that says how a viewer has to turn it."""
    tag = struct.pack("<HHIHH", 0x0112, 3, 1, orientation, 0)
    exif = b"Exif\0\0II*\0" + struct.pack("<IH", 8, 1) + tag + struct.pack("<I", 0)
    return jpeg[:2] + b"\xff\xe1" + struct.pack(">H", len(exif) + 2) + exif + jpeg[2:]


@pytest.mark.parametrize("suffix", [".png", ".tif", ".bmp"])
def test_lossless_formats_come_back_as_they_were(suffix: str) -> None:
    assert np.array_equal(decode_image(encoded(suffix, picture(1))), picture(1))


def test_the_exif_tag_turns_the_image_as_a_viewer_would() -> None:
    jpeg = encoded(".jpg", picture(1))
    assert np.array_equal(decode_image(turned(jpeg, 6)), np.rot90(decode_image(jpeg), k=-1))


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".tif", ".bmp"])
@pytest.mark.parametrize("part", [0.0, 0.1, 0.5, 0.97])
def test_a_file_that_was_cut_short_is_refused(suffix: str, part: float) -> None:
    whole = encoded(suffix, picture(1))
    with pytest.raises(DataContractError, match="unreadable or cut short"):
        decode_image(whole[: int(part * len(whole))])


@pytest.mark.parametrize("suffix", [".png", ".tif"])
def test_sixteen_bit_grey_keeps_its_numbers(suffix: str) -> None:
    levels = np.random.default_rng(0).integers(0, 65536, (9, 12)).astype(np.uint16)
    read = decode_image(encoded(suffix, levels))
    assert read.dtype == np.uint16
    assert np.array_equal(read, levels)


def test_sixteen_bit_colour_and_floating_point_are_refused() -> None:
    colour = np.random.default_rng(0).integers(0, 4096, (9, 12, 3)).astype(np.uint16)
    with pytest.raises(DataContractError, match="uint16 colour"):
        decode_image(encoded(".png", colour))
    with pytest.raises(DataContractError):
        decode_image(encoded(".tif", np.full((9, 9), 0.5, np.float32)))


def test_a_file_that_claims_more_pixels_than_any_camera_has_is_refused_before_it_is_decoded(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", 30_000, 30_000, 8, 0, 0, 0, 0))
    rows = zlib.compress(bytes(30_001 * 100), 9)
    monkeypatch.setattr(cv2, "imdecode", lambda *_: pytest.fail("it was decoded"))
    for decode in (decode_image, decode_mask):
        with pytest.raises(DataContractError, match="30000 x 30000 pixels"):
            decode(b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", rows) + chunk(b"IEND", b""))


def test_a_palette_of_black_and_one_colour_is_a_mask_and_one_of_more_colours_is_not() -> None:
    inside = circle(9) > 0

    def palette(*colours: tuple[int, int, int], indices: np.ndarray) -> bytes:
        def chunk(kind: bytes, data: bytes) -> bytes:
            return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

        height, width = indices.shape
        rows = b"".join(b"\0" + row.tobytes() for row in indices.astype(np.uint8))
        parts = [
            chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 3, 0, 0, 0)),
            chunk(b"PLTE", b"".join(bytes(colour) for colour in colours)),
            chunk(b"IDAT", zlib.compress(rows)),
            chunk(b"IEND", b""),
        ]
        return b"\x89PNG\r\n\x1a\n" + b"".join(parts)

    for colour in ((128, 0, 0), (255, 255, 255), (1, 1, 1)):
        assert np.array_equal(decode_mask(palette((0, 0, 0), colour, indices=inside)), inside)
    three = inside.astype(int) + (circle(4) > 0)
    with pytest.raises(DataContractError, match="coloured"):
        decode_mask(palette((0, 0, 0), (128, 0, 0), (0, 128, 0), indices=three))
    with pytest.raises(DataContractError, match="coloured"):
        decode_mask(palette((68, 1, 84), (253, 231, 37), indices=inside))


def test_what_a_person_is_shown_of_sixteen_bits_spans_black_to_white() -> None:
    levels = np.linspace(1000, 1400, 60 * 80).reshape(60, 80).astype(np.uint16)
    seen = shown(levels)
    assert (seen.shape, seen.dtype, seen.min(), seen.max()) == ((60, 80, 3), np.uint8, 0, 255)
    assert np.array_equal(shown(picture(1)), picture(1))


def test_grey_becomes_three_equal_channels() -> None:
    grey = picture(1)[..., 0]
    assert np.array_equal(decode_image(encoded(".png", grey)), np.repeat(grey[..., None], 3, axis=2))


@pytest.mark.parametrize("value", [1, 255])
def test_masks_of_0_and_1_or_0_and_255_read_alike_also_in_three_channels(value: int) -> None:
    mask = (circle(9) > 0).astype(np.uint8)
    for stored in (mask * value, cv2.merge([mask * value] * 3)):
        read = decode_mask(encoded(".png", stored.astype(np.uint8)))
        assert read.dtype == np.uint8
        assert np.array_equal(read, mask)


@pytest.mark.parametrize(
    ("mask", "reason"),
    [
        (np.where(circle(9) > 0, 2, 0).astype(np.uint8), "values 0, 2"),
        (np.where(circle(9) > 0, 128, circle(14)).astype(np.uint8), "values 0, 128, 255"),
        (np.zeros((60, 80), np.uint8), "empty"),
        (255 - circle(9), "inverted"),
        (np.full((60, 80), 255, np.uint8), "inverted"),
        (circle(9).astype(np.uint16), "uint16"),
        (cv2.merge([circle(9), circle(9), circle(3)]), "coloured"),
    ],
)
def test_a_mask_that_could_mean_something_else_is_refused(mask: np.ndarray, reason: str) -> None:
    with pytest.raises(DataContractError, match=reason):
        decode_mask(encoded(".png", mask))


def test_a_mask_that_reaches_some_corners_is_not_called_inverted() -> None:
    mask = np.zeros((60, 80), np.uint8)
    mask[:, :40] = 255
    assert decode_mask(encoded(".png", mask)).sum() == 60 * 40


def test_masks_survive_the_disk_and_their_checksum_is_of_pixels_not_of_files() -> None:
    mask = decode_mask(encoded(".png", circle(9)))
    assert np.array_equal(decode_mask(encode_mask(mask)), mask)
    assert mask_checksum(mask) == mask_checksum(decode_mask(encoded(".png", mask)))
    assert mask_checksum(mask) != mask_checksum(mask.T)
    assert mask_checksum(np.ones((2, 6), np.uint8)) != mask_checksum(np.ones((3, 4), np.uint8))
