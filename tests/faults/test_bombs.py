"""Small files that claim, and would fill, gigabytes: refused before a pixel is decoded, wherever the claim stands."""

import itertools
import struct
import zlib
from pathlib import Path

import cv2
import numpy as np
import pytest
import reader_kit
import serving_kit as kit
from parfocal_serving.segmenter import codecs
from parfocal_serving.segmenter.problems import RequestError

from parfocal.core import dicom, dicom_bombs
from parfocal.core.errors import DataContractError
from parfocal.inference import sources
from parfocal.readers.dicom import DicomReader
from parfocal.readers.dicom_headers import refuse_unfit_folder

pytest.importorskip("SimpleITK")
MOST = 2_000_000
PICTURE = np.ascontiguousarray(kit.picture(1)[..., ::-1])


def lying(data: bytes, height: int = 60000, width: int = 60000) -> bytes:
    """The same JPEG, wherever it is, with another size in its frame header."""
    at = data.index(b"\xff\xc0") + 5
    return data[:at] + struct.pack(">HH", height, width) + data[at + 4 :]


def fragments(data: bytes, *cuts: int) -> bytes:
    """A DICOM file of the JPEG family whose one fragment is cut in pieces at these bytes of the JPEG's header."""
    start = data.index(b"\xff\xd8\xff")
    length = struct.unpack("<I", data[start - 4 : start])[0]
    picture, rest = data[start : start + length], data[start + length :]
    edges = [0, *cuts, length]
    items = [picture[a:b] for a, b in itertools.pairwise(edges)]
    return data[: start - 8] + b"".join(b"\xfe\xff\x00\xe0" + struct.pack("<I", len(i)) + i for i in items) + rest


def jpeg2000(width: int, height: int) -> bytes:
    return b"\xff\x4f\xff\x51" + struct.pack(">HHIIIIIIIIH", 47, 0, width, height, 0, 0, width, height, 0, 0, 3)


@pytest.fixture(scope="module")
def compressed(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    file = tmp_path_factory.mktemp("dicom") / "a.dcm"
    return reader_kit.dicom(file, PICTURE, reader_kit.JPEG, x0008_0060="OP").read_bytes()


def refused(data: bytes) -> tuple[int, str]:
    with pytest.raises(RequestError) as caught:
        codecs.decode(data, MOST, "fundus")
    return caught.value.status, caught.value.what


def test_a_jpeg_inside_dicom_is_measured_before_it_is_decoded(compressed: bytes) -> None:
    assert codecs.decode(compressed, MOST, "fundus")[0].shape == PICTURE.shape
    assert refused(lying(compressed)) == (413, "60000 x 60000 pixels are too many")


def test_nor_does_it_help_to_cut_its_header_in_two(compressed: bytes) -> None:
    at = compressed.index(b"\xff\xc0") - compressed.index(b"\xff\xd8\xff")
    at += 4 + at % 2  # inside the frame header; fragments are even
    evil = fragments(lying(compressed), at)
    assert (60000, 60000) not in dicom_bombs._claims(evil), "it can be seen only when they are put together"
    assert refused(evil)[0] == 413


def test_a_jpeg_2000_and_a_second_picture_elsewhere_in_the_file_are_looked_at(compressed: bytes) -> None:
    assert refused(compressed + jpeg2000(1 << 20, 1 << 20))[0] == 413
    assert refused(compressed + lying(kit.jpeg(kit.picture(1))))[0] == 413


def test_pixel_data_in_a_thousand_places_is_not_looked_through_a_thousand_times(compressed: bytes) -> None:
    place = b"\xe0\x7f\x10\x00OB\0\0\xff\xff\xff\xff" + b"\xfe\xff\x00\xe0\0\0\0\0"
    assert refused(compressed + 1000 * place) == (400, "pixel data in many places")


def test_a_deflated_dicom_file_is_refused(tmp_path: Path) -> None:
    plain = reader_kit.dicom(tmp_path / "a.dcm", PICTURE, x0008_0060="OP").read_bytes()
    at = 144 + struct.unpack("<I", plain[140:144])[0]
    packed = zlib.compressobj(9, zlib.DEFLATED, -15)
    head = plain[:at].replace(b"1.2.840.10008.1.2.1\0", b"1.2.840.10008.1.2.1.99")
    assert refused(head + packed.compress(plain[at:]) + packed.flush()) == (400, "a deflated DICOM file")


@pytest.mark.parametrize("change", [{"x0028_0002": 65535}, {"x0028_0100": 64}])
def test_samples_and_bits_that_no_picture_has_are_refused(tmp_path: Path, change: dict[str, int]) -> None:
    status, what = refused(reader_kit.dicom(tmp_path / "a.dcm", PICTURE, x0008_0060="OP", **change).read_bytes())
    assert status == 400
    assert "bits a pixel" in what or "unreadable" in what


def test_of_a_tiff_of_many_pages_the_first_alone_is_decoded() -> None:
    pages = cv2.imencodemulti(".tiff", [np.full((64, 64, 3), 9 * (i == 0), np.uint8) for i in range(500)])[1].tobytes()
    assert codecs.decode(pages, MOST)[0].max() == 9


def test_a_png_that_hides_megabytes_in_a_text_is_a_png() -> None:
    png = cv2.imencode(".png", kit.picture(1))[1].tobytes()
    body = b"Comment\0\0" + zlib.compress(bytes(50_000_000), 9)
    chunk = struct.pack(">I", len(body)) + b"zTXt" + body + struct.pack(">I", zlib.crc32(b"zTXt" + body))
    assert codecs.decode(png[:33] + chunk + png[33:], MOST)[0].shape == (240, 320, 3)


def _long_element(data: bytes) -> bytes:
    """The patient's name (0010,0020) says that it is longer than the file."""
    at = data.index(b"\x10\0\x20\0LO") + 6
    return data[:at] + struct.pack("<H", 60_000) + data[at + 2 :]


def _deflated(data: bytes) -> bytes:
    return data.replace(b"1.2.840.10008.1.2.4.50", b"1.2.840.10008.1.2.1.99")


LIES = {
    "a frame larger than Rows and Columns": (lying, "60000 x 60000 pixels"),
    "JPEG 2000 beside it": (lambda data: data + jpeg2000(1 << 20, 1 << 20), "1048576 x 1048576 pixels"),
    "an element longer than the file": (_long_element, "unreadable or cut short"),
    "a deflated data set": (_deflated, "a deflated DICOM file"),
}


@pytest.mark.parametrize("name", LIES)
def test_folders_are_read_with_the_guards_that_uploads_have(name: str, compressed: bytes, tmp_path: Path) -> None:
    change, says = LIES[name]
    file = tmp_path / "source" / "in" / "a.dcm"
    file.parent.mkdir(parents=True)
    file.write_bytes(change(compressed))
    found = DicomReader().scan(_with_a_sound_one(file), tmp_path / "work", task="fundus", instrument="A")
    (problem,) = found.problems
    assert (problem.file, says in problem.reason, bool(problem.next)) == (file, True, True)
    for ask in (lambda: sources.decoded(file, "colour fundus photograph"), lambda: dicom.series(file.parent)):
        with pytest.raises(DataContractError, match=says) as error:
            ask()
        assert error.value.where == str(file)
        assert error.value.expected
        assert error.value.next


def _with_a_sound_one(file: Path) -> Path:
    reader_kit.dicom(file.parent.with_name("sound") / "b.dcm", PICTURE, x0008_0060="OP")
    return file.parent.parent


@pytest.mark.parametrize(
    ("tags", "says"),
    [
        ({"x0028_0008": str(2**31 - 1)}, "pixels"),
        ({"x0028_0010": 65535, "x0028_0011": 65535}, "65535 x 65535 pixels"),
        ({"x0028_0002": 65535}, "bits a pixel|unreadable|not a readable"),
    ],
)
def test_a_slice_that_claims_what_it_has_not_is_refused_before_its_series_is_read(
    tags: dict[str, str | int], says: str, tmp_path: Path
) -> None:
    folder = reader_kit.series(tmp_path / "ct", reader_kit.hu(0))
    place = {"x0020_0032": "-11\\7\\46", "x0020_0037": "1\\0\\0\\0\\1\\0", "x0028_0030": "0.8\\0.7"}
    reader_kit.dicom(folder / "IM0002", reader_kit.hu(0)[2], uid="1.2.3.4.3", **place, **tags)
    for ask in (lambda: refuse_unfit_folder(folder, "", "ct"), lambda: dicom.read(folder)):
        with pytest.raises(DataContractError, match=says) as error:
            ask()
        assert error.value.where == str(folder / "IM0002")
