"""Bad input from one end to the other: a clear error or a right answer, and never a wrong one."""

import struct
import zlib
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
from data_kit import circle, picture, source, write
from reader_kit import PLAIN, RLE, ball, dicom, hu, image, label_map, save, series

from parfocal.core.bundle import Bundle, StructureModel
from parfocal.core.errors import DataContractError, UsageError
from parfocal.core.task import task
from parfocal.core.volumes import open_volume, to_uint16
from parfocal.inference.predictor import Prediction
from parfocal.inference.volume import segment_volume
from parfocal.preprocessing.framing import frames_of
from parfocal.preprocessing.images import decode_mask
from parfocal.preprocessing.recipes import FAMILY, Recipe
from parfocal.readers.dicom import DicomReader
from parfocal.readers.folder import FolderReader
from parfocal.readers.labelmap import LabelMapReader
from parfocal.readers.pictures import levels
from parfocal.readers.slices import note, write_png

sitk = pytest.importorskip("SimpleITK")


class Brighter:
    """Answers with what is above 300 HU."""

    def __init__(self, of: str) -> None:
        structures = {name: StructureModel(folder=name, threshold=0.5) for name in task(of).names}
        self.bundle = Bundle(task=of, structures=structures, recipe={}, instruments=(), datasets=())

    def predict(self, picture: np.ndarray) -> Prediction:
        return Prediction(dict.fromkeys(self.bundle.structures, picture > 1324), {}, {})


def answered(file: Path, of: str = "bone", **more: str):
    return segment_volume(file, Brighter(of), file.parent / f"{file.name}-labels.nrrd", **more)


def other_slice(folder: Path, **changes: str) -> Path:
    """A sound series of which one slice differs."""
    series(folder, hu(0))
    tags = {"x0020_0013": "3", "x0020_0032": "-11\\7\\46", "x0020_0037": "1\\0\\0\\0\\1\\0", "x0028_0030": "0.8\\0.7",
            "x0028_1052": "0", "x0028_1053": "1", "x0020_000e": "1.2.3.4"}  # fmt: skip
    dicom(folder / "IM0002", hu(0)[2], PLAIN, uid="1.2.3.4.3", **{**tags, **changes})
    return folder


def cut_last(folder: Path) -> Path:
    """A series whose last file was cut short: GDCM leaves it out without a word."""
    last = series(folder, hu(0)) / "IM0004"
    last.write_bytes(last.read_bytes()[:-300])
    return folder


SERIES: dict[str, tuple[Callable[[Path], Path], str]] = {
    "tilted gantry": (lambda f: series(f, hu(0), step=(0, 1.0, 3.0)), "tilted"),
    "another modality": (lambda f: series(f, hu(0), x0008_0060="MR"), "modality MR"),
    "screenshots": (lambda f: series(f, hu(0), x0008_0016="1.2.840.10008.5.1.4.1.1.7"), "screenshots"),
    "inverted greys": (lambda f: series(f, hu(0), x0028_0004="MONOCHROME1"), "MONOCHROME1"),
    "no pixel size": (lambda f: series(f, hu(0), x0028_0030=None), "no pixel size"),
    "pixels of no size": (lambda f: series(f, hu(0), x0028_0030="0\\0"), "no pixel size"),
    "a place in words": (lambda f: series(f, hu(0), x0020_0032="a\\b\\c"), "where it is"),
    "half an orientation": (lambda f: series(f, hu(0), x0020_0037="1\\0\\0"), "where it is"),
    "skewed axes": (lambda f: series(f, hu(0), x0020_0037="1\\0\\0\\0.6\\0.8\\0"), "right angles"),
    "an unknown syntax": (lambda f: series(f, hu(0), syntax="1.2.840.10008.1.2.4.90"), "unreadable"),
    "a slope of its own": (lambda f: other_slice(f, x0028_1053="2"), "slope 2"),
    "an intercept of its own": (lambda f: other_slice(f, x0028_1052="-1000"), "intercept -1000"),
    "a pixel size of its own": (lambda f: other_slice(f, x0028_0030="0.9\\0.7"), "pixel size"),
    "the last slice cut short": (cut_last, "cut short"),
}


@pytest.mark.parametrize("name", list(SERIES))
def test_a_series_that_would_not_be_learned_from_is_not_answered_either(name: str, tmp_path: Path) -> None:
    make, reason = SERIES[name]
    folder = make(tmp_path / "ct")
    with pytest.raises(DataContractError, match=reason):
        answered(folder)
    assert list(tmp_path.glob("*labels*")) == []
    scan = DicomReader().scan(tmp_path, tmp_path / "work", task="bone", instrument="A")
    assert scan.problems


@pytest.mark.parametrize("syntax", [PLAIN, RLE])
def test_a_sound_series_is_answered_on_its_voxels_without_asking_for_a_patient(syntax: str, tmp_path: Path) -> None:
    folder = series(tmp_path / "ct", hu(0), syntax=syntax, x0010_0020=None)
    written = answered(folder)
    assert written.voxels["bone"] == np.count_nonzero(hu(0) > 300)
    assert written.millilitres is not None
    assert written.millilitres["bone"] == pytest.approx(written.voxels["bone"] * 0.8 * 0.7 * 3 / 1000)


def test_of_two_series_in_a_folder_the_named_one_counts_with_its_own_pixel_size(tmp_path: Path) -> None:
    folder = series(tmp_path / "ct", hu(0))
    series(folder, hu(1), x0020_000e="1.1.1", names=lambda number: f"A{number}", x0028_0030=None)
    with pytest.raises(DataContractError, match="2 DICOM series"):
        answered(folder)
    assert open_volume(folder, series="1.1.1").spacing is None
    assert answered(folder, series="1.2.3.4").millilitres is not None


@pytest.mark.parametrize(
    ("array", "of", "reason"),
    [
        (hu(0) / 1500, "bone", "too narrow"),
        ((hu(0) - 200) / 700, "bone", "too narrow"),
        (hu(0) + 1024, "bone", "below 0 HU"),
        (hu(0) - 5000, "bone", "below air"),
        (hu(0), "prostate", "Hounsfield"),
        (hu(0) + 0.25, "prostate", "Hounsfield"),
        (hu(0), "lung", "for pictures"),
        (hu(0), "fundus", "for pictures"),
    ],
)
def test_a_volume_of_another_modality_or_scale_is_not_answered(
    array: np.ndarray, of: str, reason: str, tmp_path: Path
) -> None:
    kind = np.int16 if array.dtype.kind == "i" else np.float32
    file = save(tmp_path / "v.nii.gz", image(array.astype(kind)))
    with pytest.raises(DataContractError, match=reason):
        answered(file, of)


def test_labels_go_into_a_folder_that_is_not_there_yet(tmp_path: Path) -> None:
    file = save(tmp_path / "v.nii.gz", image(hu(0)))
    segment_volume(file, Brighter("bone"), tmp_path / "new" / "labels.nii.gz")
    assert (tmp_path / "new" / "labels.nii.gz").is_file()


def test_radiographs_may_have_negative_numbers() -> None:
    assert to_uint16(np.array([-1000, 0, 3000], np.int16), "x-ray").tolist() == [0, 16384, 65535]


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def huge() -> bytes:
    """A PNG of 30,000 x 30,000 in some kilobytes."""
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", 30_000, 30_000, 8, 0, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(bytes(30_001 * 100), 9)) + chunk(b"IEND", b"")


def turned(png: bytes, orientation: int) -> bytes:
    """The PNG with an EXIF tag (chunk eXIf) that says how a viewer has to turn it."""
    tag = struct.pack("<HHIHH", 0x0112, 3, 1, orientation, 0)
    exif = b"II*\0" + struct.pack("<IH", 8, 1) + tag + struct.pack("<I", 0)
    return png[:33] + chunk(b"eXIf", exif) + png[33:]


@pytest.mark.parametrize("folder", ["Images", "Masks"])
def test_a_public_set_with_a_picture_of_30000_by_30000_is_refused_before_it_is_decoded(
    folder: str, tmp_path: Path
) -> None:
    write(tmp_path / "Images" / "1.png", picture(0))
    write(tmp_path / "Masks" / "1.png", label_map(0, 1, 2))
    (tmp_path / folder / "1.png").write_bytes(huge())
    scan = LabelMapReader().scan(tmp_path, tmp_path / "work", task="fundus", instrument="A")
    assert [(p.file.parent.name, "30000 x 30000" in p.reason) for p in scan.problems] == [(folder, True)]
    assert not scan.cases


@pytest.mark.parametrize(("orientation", "quarters"), [(3, 2), (6, -1)])
def test_a_mask_with_an_exif_tag_is_turned_as_its_photograph_is(
    orientation: int, quarters: int, tmp_path: Path
) -> None:
    corner = np.zeros((60, 80), np.uint8)
    corner[:10, :20] = 255
    data = turned(cv2.imencode(".png", corner)[1].tobytes(), orientation)
    assert np.array_equal(decode_mask(data), np.rot90(corner, quarters) > 0)
    (tmp_path / "m.png").write_bytes(data)
    assert np.array_equal(levels(tmp_path / "m.png"), np.rot90(corner, quarters))


def test_a_mask_drawn_in_the_transparency_alone_is_not_an_empty_one(tmp_path: Path) -> None:
    drawn = np.dstack([np.zeros((60, 80, 3), np.uint8), circle(9)])
    data = cv2.imencode(".png", drawn)[1].tobytes()
    with pytest.raises(DataContractError, match="transparent"):
        decode_mask(data, empty=True)
    (tmp_path / "m.png").write_bytes(data)
    with pytest.raises(DataContractError, match="transparent"):
        levels(tmp_path / "m.png")
    opaque = np.dstack([np.repeat(circle(9)[..., None], 3, 2), np.full((60, 80), 255, np.uint8)])
    assert np.array_equal(decode_mask(cv2.imencode(".png", opaque)[1].tobytes()), circle(9) > 0)


@pytest.mark.parametrize(
    ("recipe", "of"),
    [("ct", "prostate"), ("ct", "lung"), ("mr", "bone"), ("fundus", "lung"), ("retcam", "bone"), ("chest", "fundus")],
)
def test_a_recipe_for_another_modality_is_refused_with_those_that_fit(recipe: str, of: str) -> None:
    grey = np.arange(64 * 64, dtype=np.uint16).reshape(64, 64)
    mask = {task(of).names[0]: np.ones((64, 64), np.uint8)}
    with pytest.raises(UsageError, match=f"'{recipe}' is not for") as caught:
        frames_of(grey, mask, {}, task(of), Recipe.parse({"name": recipe, "size": 32}), np.random.default_rng(0))
    assert caught.value.expected


def test_every_recipe_says_what_it_is_for() -> None:
    assert all(FAMILY.load(name).modalities for name in FAMILY.table)


def test_a_ct_slice_keeps_a_note_that_tells_it_from_other_sixteen_bits(tmp_path: Path) -> None:
    from parfocal.inference.sources import _refuse_other_slices

    write_png(tmp_path / "mr.png", np.zeros((4, 4), np.uint16), {"stored": 0})
    write_png(tmp_path / "ct.png", np.zeros((4, 4), np.uint16), {"stored": 1024})
    write(tmp_path / "plain.png", picture(0))
    assert note(tmp_path / "ct.png")["stored"] == 1024
    for name, modality in (("mr.png", "ct"), ("ct.png", "mr"), ("ct.png", "x-ray")):
        with pytest.raises(DataContractError, match="CT"):
            _refuse_other_slices(tmp_path / name, modality)
    for name, modality in (("ct.png", "ct"), ("mr.png", "mr"), ("plain.png", "ct"), ("ct.png", "")):
        _refuse_other_slices(tmp_path / name, modality)


def test_a_label_volume_may_not_be_wider_than_the_series_that_it_belongs_to(tmp_path: Path) -> None:
    series(tmp_path / "ct", hu(0))
    save(tmp_path / "ct_bone.nii.gz", image(ball((5, 24, 33), (1, 2))))
    scan = DicomReader().scan(tmp_path, tmp_path / "work", task="bone", instrument="A")
    assert "size" in scan.problems[0].reason
    assert not scan.cases


@pytest.mark.parametrize(
    "table", ["name,patient\nx,Smith, John\ny,Smith, Ann\n", "name,patient,patient\nx,1,2\ny,2,3\n"]
)
def test_a_table_that_could_name_the_wrong_patient_gives_no_cases(table: str, tmp_path: Path) -> None:
    (source(tmp_path / "s", ["x", "y"]) / "cases.csv").write_text(table)
    try:
        scan = FolderReader().scan(tmp_path / "s", tmp_path / "work", task="fundus", instrument="A")
    except DataContractError as error:
        assert "patient, patient" in error.what
    else:
        assert not scan.cases
        assert "quotes" in scan.problems[0].reason
