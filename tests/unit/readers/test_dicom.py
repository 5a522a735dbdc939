"""DICOM by its tags: slices in their places, photographs in their colours; what cannot be placed is refused."""

from pathlib import Path

import cv2
import numpy as np
import pytest
import reader_kit
import SimpleITK as sitk
from data_kit import circle, picture, write
from reader_kit import JPEG, RLE, ball, dicom, hu, image, own_locale, save, series

from parfocal.core.protocols import Scan
from parfocal.readers import FAMILY
from parfocal.readers.slices import note

LABEL = ball((5, 24, 32), (1, 2, 3))


def scan(root: Path, task: str = "bone", reader: str = "dicom") -> Scan:
    found: Scan = FAMILY.load(reader)().scan(root, root.parent / "work", task=task, instrument="A")
    return found


def pixels(file: Path) -> np.ndarray:
    return cv2.imread(str(file), cv2.IMREAD_UNCHANGED)


def reasons(found: Scan) -> str:
    return "\n".join(f"{p.file.name}: {p.reason}" for p in found.problems)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A folder with one series and its label volume."""
    series(tmp_path / "source" / "ct", hu(0))
    save(tmp_path / "source" / "ct" / "bone.nii.gz", image(LABEL))
    return tmp_path / "source"


def test_slices_are_ordered_by_place_not_by_name_and_carry_spacing_and_patient(tmp_path: Path) -> None:
    found = scan(reader_kit.dicoms(tmp_path / "source"))
    first = [case for case in found.cases if case.patient == "P1"]
    for case in first:
        number = note(case.image)["slice"]
        assert np.array_equal(pixels(case.image), hu(0)[number].astype(int) + 1024)
        assert np.array_equal(pixels(case.masks["bone"]) > 0, LABEL[number] > 0)
        assert note(case.image)["origin"] == pytest.approx([-11, 7, 40 + 3 * number])
    assert {case.spacing for case in first} == {(0.8, 0.7)}


def test_rescaled_and_rle_compressed_slices_give_the_same_numbers(root: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    series(other / "ct", (hu(0) + 1024).astype(np.int16), syntax=RLE, x0028_1052="-1024")
    save(other / "ct" / "bone.nii.gz", image(LABEL))
    for one, two in zip(scan(root).cases, scan(other).cases, strict=True):
        assert np.array_equal(pixels(one.image), pixels(two.image))


def test_a_jpeg_2000_series_is_read(tmp_path: Path) -> None:
    root = tmp_path / "source"
    series(root / "ct", hu(0))
    save(root / "ct" / "bone.nii.gz", image(LABEL))
    writer = sitk.ImageFileWriter()
    writer.KeepOriginalImageUIDOn()
    writer.UseCompressionOn()
    writer.SetCompressor("JPEG2000")
    for file in sorted((root / "ct").glob("IM*")):
        read = sitk.ReadImage(str(file))
        shrunk = sitk.Cast(read, sitk.sitkInt16)
        for key in read.GetMetaDataKeys():
            shrunk.SetMetaData(key, read.GetMetaData(key))
        writer.SetFileName(f"{file}.dcm")
        with own_locale():  # writing a DICOM file leaves the process in the locale C
            writer.Execute(shrunk)
        file.unlink()
    found = scan(root)
    assert not found.problems
    assert np.array_equal(pixels(found.cases[0].image), hu(0)[0].astype(int) + 1024)


def test_a_series_without_a_label_is_unlabelled(root: Path) -> None:
    (root / "ct" / "bone.nii.gz").unlink()
    found = scan(root)
    assert (len(found.cases), len(found.unlabelled), found.problems) == (0, 5, ())


def test_of_two_series_in_a_folder_the_label_belongs_to_the_one_that_it_fits(root: Path) -> None:
    series(root / "ct", hu(1, (4, 24, 32)), names=lambda n: f"B{n}", x0020_000e="1.2.3.5")
    found = scan(root)
    assert not found.problems
    assert len(found.cases) == 5
    assert len(found.unlabelled) == 4


def test_two_labels_that_fit_are_a_problem(root: Path) -> None:
    save(root / "ct_bone.nrrd", image(LABEL))
    found = scan(root)
    assert not found.cases
    assert "several label volumes fit" in reasons(found)


def test_a_label_of_another_grid_is_a_problem(root: Path) -> None:
    save(root / "ct" / "bone.nii.gz", image(LABEL, spacing=(0.7, 0.8, 3.5)))
    found = scan(root)
    assert not found.cases
    assert "another spacing" in reasons(found)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"x0028_0030": None}, "no pixel size"),
        ({"x0020_0032": None}, "does not say where it is"),
        ({"x0020_0037": None}, "does not say where it is"),
        ({"x0010_0020": None}, "no patient"),
        ({"x0010_0020": ""}, "no patient"),
        ({"x0008_0060": "MR"}, "modality MR; expected CT"),
        ({"x0008_0060": None}, "modality none"),
        ({"x0020_000e": None}, "no series"),
        ({"x0008_0016": reader_kit._CAPTURE}, "screenshots"),
        ({"x0028_0008": "7"}, "7 frames"),
        ({"step": (0, 1.0, 3.0)}, "gantry"),
        ({"step": (0, 0, 0)}, ""),
    ],
)
def test_a_series_that_cannot_be_trusted_gives_no_slice(tmp_path: Path, changes: dict, reason: str) -> None:
    root = tmp_path / "source"
    if changes == {"x0020_000e": None}:
        series(root / "ok", hu(3), x0020_000e="1.9")
    series(root / "ct", hu(0), **changes)
    save(root / "ct" / "bone.nii.gz", image(LABEL))
    found = scan(root)
    assert not found.cases
    assert reason in reasons(found)
    assert found.problems


def test_a_missing_slice_is_named(root: Path) -> None:
    (root / "ct" / "IM0002").unlink()
    found = scan(root)
    assert not found.cases
    assert not found.unlabelled
    assert "3 to 6" in reasons(found)


def test_a_slice_that_is_there_twice_is_refused(root: Path) -> None:
    (root / "ct" / "copy").write_bytes((root / "ct" / "IM0002").read_bytes())
    found = scan(root)
    assert not found.cases
    assert "the same picture as" in reasons(found)


@pytest.mark.parametrize("part", [0.3, 0.95])
def test_a_slice_that_is_cut_short_is_named_and_its_series_gives_no_labelled_slice(root: Path, part: float) -> None:
    file = root / "ct" / "IM0004"
    file.write_bytes(file.read_bytes()[: int(file.stat().st_size * part)])
    found = scan(root)
    assert not found.cases
    assert "IM0004" in reasons(found)


def test_other_scaling_or_another_patient_in_one_series_is_refused(root: Path) -> None:
    for change, reason in (({"x0028_1052": "-1024"}, "intercept -1024"), ({"x0010_0020": "P2"}, "patient P2")):
        place = {"x0020_0032": "-11\\7\\46", "x0020_0037": "1\\0\\0\\0\\1\\0", "x0028_0030": "0.8\\0.7"}
        tags = {**place, "x0028_1052": "0", "x0028_1053": "1", **change}
        dicom(root / "ct" / "IM0002", hu(0)[2], uid="1.2.3.4.3", **tags)
        found = scan(root)
        assert not found.cases
        assert reason in reasons(found)


def test_the_same_series_in_two_folders_is_a_problem(root: Path) -> None:
    series(root / "copy", hu(0))
    found = scan(root)
    assert "the same series" in reasons(found)
    assert len(found.cases) in (0, 3)


def test_a_label_that_lies_beside_nothing_is_a_problem(root: Path) -> None:
    save(root / "elsewhere" / "bone.nii.gz", image(LABEL))
    assert "bone.nii.gz: a label without a series" in reasons(scan(root))


def test_photographs_keep_their_colours_and_find_their_masks(tmp_path: Path) -> None:
    root = tmp_path / "source"
    photograph = picture(1)
    dicom(root / "a.dcm", photograph[..., ::-1].copy(), x0008_0060="OP")
    write(root / "a_disc.png", circle(12))
    dicom(root / "b.dcm", picture(2)[..., ::-1].copy(), x0008_0060="OP", x0010_0020="P2")
    found = scan(root, task="fundus")
    assert not found.problems
    (case,) = found.cases
    assert np.array_equal(pixels(case.image), photograph)
    assert (case.patient, set(case.masks), case.spacing) == ("P1", {"disc"}, None)
    assert len(found.unlabelled) == 1


def test_a_jpeg_compressed_photograph_keeps_its_colours(tmp_path: Path) -> None:
    smooth = cv2.GaussianBlur(picture(1), (0, 0), 4)
    smooth[..., 2] = 200
    tags = {"x0008_0060": "OP", "x0028_0004": "YBR_FULL_422"}
    dicom(tmp_path / "source" / "a.dcm", smooth[..., ::-1].copy(), JPEG, **tags)
    (case,) = scan(tmp_path / "source", task="fundus").unlabelled
    assert np.abs(pixels(case.image).astype(int) - smooth).mean() < 4


def test_a_photograph_in_ybr_without_compression_keeps_its_colours(tmp_path: Path) -> None:
    photograph = picture(1)
    ybr = cv2.cvtColor(photograph, cv2.COLOR_BGR2YCrCb)[..., [0, 2, 1]]
    tags = {"x0008_0060": "OP", "x0028_0004": "YBR_FULL"}
    dicom(tmp_path / "source" / "a.dcm", np.ascontiguousarray(ybr), **tags)
    found = scan(tmp_path / "source", task="fundus")
    difference = [np.abs(pixels(case.image).astype(int) - photograph).mean() for case in found.unlabelled]
    assert found.problems or difference[0] < 3


def test_a_grey_picture_or_a_mask_of_another_size_is_no_fundus_case(tmp_path: Path) -> None:
    root = tmp_path / "source"
    dicom(root / "grey.dcm", circle(9), x0008_0060="OP")
    dicom(root / "b.dcm", picture(1), x0008_0060="OP")
    write(root / "b_disc.png", circle(9, 61, 80))
    found = scan(root, task="fundus")
    assert not found.cases
    assert "expected a colour photograph" in reasons(found)
    assert "80 x 61" in reasons(found)


def test_an_x_ray_is_bright_where_little_passed_and_knows_its_detector_spacing(tmp_path: Path) -> None:
    root = tmp_path / "source"
    array = np.random.default_rng(0).integers(0, 4096, (24, 32)).astype(np.uint16)
    common = {"x0008_0060": "DX", "x0028_0101": 12, "x0028_0102": 11}
    dicom(root / "a.dcm", array, x0018_1164="0.2\\0.1", **common)
    dicom(root / "b.dcm", (4095 - array).astype(np.uint16), x0028_0004="MONOCHROME1", x0010_0020="P2", **common)
    for name in ("a", "b"):
        write(root / f"{name}_lung.png", circle(5, 24, 32))
    found = scan(root, task="lung")
    assert not found.problems
    assert all(np.array_equal(pixels(case.image), array) for case in found.cases)
    assert {case.patient: case.spacing for case in found.cases} == {"P1": (0.2, 0.1), "P2": None}
