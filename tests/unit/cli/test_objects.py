"""`parfocal segment --dicom-seg`: what it wrote, read back and compared with the masks that it wrote beside."""

from pathlib import Path

import cv2
import interop_kit
import numpy as np
import pytest
import reader_kit
import serving_kit
import SimpleITK as sitk
from click.testing import CliRunner, Result

from parfocal.cli import parfocal
from parfocal.preprocessing.exchange import dicom_seg_files

hd = pytest.importorskip("highdicom", reason="needs parfocal[dicom]")
pydicom = pytest.importorskip("pydicom")


def segment(*words: object) -> Result:
    return CliRunner().invoke(parfocal, ["segment", *map(str, words), "--quiet"])


def test_a_series_gets_one_object_of_all_its_slices(tmp_path: Path) -> None:
    names = {number: f"IM{9 - number:04}" for number in range(5)}  # in the reverse order of place
    series = reader_kit.series(tmp_path / "ct", reader_kit.hu(0, (5, 40, 56)), names=names.__getitem__)
    for file in series.iterdir():
        one = pydicom.dcmread(file)
        one.FrameOfReferenceUID = "1.2.9"
        one.save_as(file)
    model = interop_kit.bone(tmp_path)
    done = segment(series, "--model", model, "--out", tmp_path / "out", "--dicom-seg", tmp_path / "objects")
    assert done.exit_code == 0, done.output
    labels = sitk.GetArrayFromImage(sitk.ReadImage(str(tmp_path / "out" / "ct-labels.nii.gz")))
    assert labels.any(), "an empty volume proves nothing"
    made = hd.seg.segread(tmp_path / "objects" / "ct.dcm")
    uids = [pydicom.dcmread(series / names[number]).SOPInstanceUID for number in range(5)]
    back = made.get_pixels_by_source_instance(uids, assert_missing_frames_are_empty=True)
    np.testing.assert_array_equal(back[..., 0], labels == 1)
    assert made.PatientID == "P1"


def test_a_photograph_gets_one_and_what_is_no_dicom_is_refused_before_anything_is_drawn(tmp_path: Path) -> None:
    photo = np.ascontiguousarray(serving_kit.picture(1, 120, 160)[..., ::-1])
    eye = reader_kit.dicom(tmp_path / "eye.dcm", photo, x0008_0060="OP")
    model = serving_kit.bundle(tmp_path / "model", 4)
    done = segment(eye, "--model", model, "--out", tmp_path / "out", "--dicom-seg", tmp_path / "objects")
    assert done.exit_code == 0, done.output
    back = hd.seg.segread(tmp_path / "objects" / "eye.dcm")
    pixels = back.get_pixels_by_source_instance([pydicom.dcmread(eye).SOPInstanceUID])[0]
    for place, name in enumerate(("disc", "cup")):
        mask = cv2.imread(str(tmp_path / "out" / f"eye-{name}.png"), cv2.IMREAD_UNCHANGED)
        np.testing.assert_array_equal(pixels[..., place], mask // 255)
    (tmp_path / "plain.jpg").write_bytes(serving_kit.jpeg(photo))
    refused = segment(tmp_path / "plain.jpg", "--model", model, "--out", tmp_path / "no", "--dicom-seg", tmp_path / "n")
    assert "no DICOM" in str(refused.exception)
    assert not (tmp_path / "no").exists()


def test_an_outer_structure_has_the_voxels_of_the_inner_one() -> None:
    assert dicom_seg_files._within("disc", {"disc": 1, "cup": 2}, {"cup": "disc", "disc": None}) == ["disc", "cup"]
    assert dicom_seg_files._within("cup", {"disc": 1, "cup": 2}, {"cup": "disc", "disc": None}) == ["cup"]
