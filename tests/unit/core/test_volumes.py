"""Volumes: cut the same way up however they are stored, labels back voxel on voxel, and never in the wrong place."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from reader_kit import own_locale

from parfocal.core import dicom
from parfocal.core.errors import DataContractError
from parfocal.core.volumes import acquired, grid, labels_like, open_labels, open_volume, to_uint16

sitk = pytest.importorskip("SimpleITK")
RNG = np.random.default_rng(0)


def image(
    shape: tuple[int, int, int] = (4, 5, 6),
    spacing: tuple[float, float, float] = (0.5, 0.7, 3.0),
    direction: np.ndarray | None = None,
    dtype: str = "i2",
):
    made = sitk.GetImageFromArray(np.random.default_rng(1).integers(-900, 1500, shape).astype(dtype))
    made.SetSpacing(spacing)
    made.SetOrigin((10.0, -20.0, 30.0))
    made.SetDirection((np.eye(3) if direction is None else direction).ravel().tolist())
    return made


def written(made, file: Path) -> Path:
    sitk.WriteImage(made, str(file))
    return file


def turned(order: tuple[int, int, int], signs: tuple[int, int, int], degrees: tuple[float, float, float]) -> np.ndarray:
    """Axes in another order, some of them flipped, then turned about x, y and z."""
    turn = np.eye(3)
    for axis, angle in enumerate(np.radians(degrees)):
        one, i, j = np.eye(3), (axis + 1) % 3, (axis + 2) % 3
        one[i, i] = one[j, j] = np.cos(angle)
        one[i, j], one[j, i] = -np.sin(angle), np.sin(angle)
        turn = turn @ one
    return turn @ (np.eye(3)[:, list(order)] * np.array(signs))


@settings(deadline=None, max_examples=40)
@given(
    st.permutations([0, 1, 2]),
    st.tuples(*[st.sampled_from([-1, 1])] * 3),
    st.tuples(*[st.floats(-20, 20)] * 3),
    st.sampled_from(["acquired", "axial", "coronal", "sagittal"]),
    st.sampled_from([".nii.gz", ".nrrd", ".mha"]),
)
def test_labels_cut_like_a_volume_come_back_on_the_same_voxels(
    tmp_path_factory: pytest.TempPathFactory, order: list[int], signs, degrees, plane: str, suffix: str
) -> None:
    made = image(direction=turned(tuple(order), signs, degrees))
    file = written(made, tmp_path_factory.mktemp("v") / f"v{suffix}")
    volume = open_volume(file, plane)
    back = labels_like(volume, volume.array)
    assert np.array_equal(sitk.GetArrayFromImage(back), sitk.GetArrayFromImage(made))
    for property_of in ("GetSize", "GetSpacing", "GetOrigin", "GetDirection"):
        assert np.allclose(getattr(back, property_of)(), getattr(made, property_of)(), atol=1e-4)
    labels = labels_like(volume, (volume.array > 300).astype(np.uint8))
    again = open_labels(written(labels, file.with_name(f"l{suffix}")), volume)
    assert np.array_equal(again, volume.array > 300)


@pytest.mark.parametrize("plane", ["axial", "coronal", "sagittal"])
@pytest.mark.parametrize("order", [(0, 1, 2), (2, 0, 1), (1, 2, 0)])
@pytest.mark.parametrize("signs", [(1, 1, 1), (-1, 1, -1), (1, -1, 1)])
def test_a_slice_shows_the_patient_the_same_way_up_however_the_file_keeps_it(plane: str, order, signs) -> None:
    """Columns lead to the left (sagittal: to the back), rows to the back (axial) or to the feet."""
    made = image((7, 8, 9), (1, 1, 1), turned(order, signs, (0, 0, 0)))
    corner = np.array(made.TransformContinuousIndexToPhysicalPoint([0.0] * 3))
    array = sitk.GetArrayFromImage(made)
    for k, j, i in np.ndindex(array.shape):  # a number that grows to the left, ten times as fast to the back, ...
        x, y, z = np.array(made.TransformIndexToPhysicalPoint((i, j, k))) - corner
        array[k, j, i] = round(x + 20 * y + 400 * z)
    filled = sitk.GetImageFromArray(array)
    filled.CopyInformation(made)
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        cut = open_volume(written(filled, Path(folder) / "v.nrrd"), plane).array.astype(int)
    steps = [int(np.diff(cut, axis=axis).ravel()[0]) for axis in (2, 1, 0)]
    assert steps == {"axial": [1, 20, 400], "coronal": [1, -400, 20], "sagittal": [20, -400, 1]}[plane]


def test_slices_are_cut_across_the_thickest_spacing_and_axially_when_none_stands_out(tmp_path: Path) -> None:
    assert acquired(image(spacing=(3, 0.5, 0.5))) == "sagittal"
    assert acquired(image(spacing=(0.5, 3, 0.5))) == "coronal"
    assert acquired(image(spacing=(0.5, 0.5, 3))) == "axial"
    assert acquired(image(spacing=(1.2, 1, 1))) == "axial"
    volume = open_volume(written(image(spacing=(3, 0.5, 0.7)), tmp_path / "v.nrrd"))
    assert (volume.plane, volume.array.shape) == ("sagittal", (6, 4, 5))
    assert np.allclose(volume.spacing, (3, 0.7, 0.5))
    assert np.array_equal(sitk.GetArrayFromImage(grid(volume)), volume.array)


@pytest.mark.parametrize("suffix", [".nrrd", ".mha"])
@pytest.mark.parametrize("part", [0.0, 0.2, 0.6, 0.95])
def test_a_volume_that_was_cut_short_is_refused(tmp_path: Path, suffix: str, part: float) -> None:
    file = written(image((20, 30, 30)), tmp_path / f"v{suffix}")
    whole = file.read_bytes()
    file.write_bytes(whole[: int(part * len(whole))])
    with pytest.raises(DataContractError):
        open_volume(file)


def test_what_is_no_volume_is_refused_with_its_reason(tmp_path: Path) -> None:
    flat = sitk.GetImageFromArray(np.zeros((5, 6), np.int16))
    colour = sitk.GetImageFromArray(np.zeros((4, 5, 6, 3), np.uint8), isVector=True)
    for made, reason in ((flat, "2 dimensions"), (colour, "colour")):
        with pytest.raises(DataContractError, match=reason):
            open_volume(written(made, tmp_path / "v.nrrd"))
    with pytest.raises(DataContractError, match="unreadable"):
        open_volume(tmp_path / "absent.nii.gz")


def test_a_file_that_does_not_say_how_it_lies_is_refused_instead_of_taken_for_one_millimetre(tmp_path: Path) -> None:
    header = "NRRD0004\ntype: uint8\ndimension: 3\nsizes: 2 3 4\nencoding: raw\n\n"
    (tmp_path / "v.nrrd").write_bytes(header.encode() + bytes(range(24)))
    with pytest.raises(DataContractError, match="how the volume lies"):
        open_volume(tmp_path / "v.nrrd")
    assert open_volume(written(image(), tmp_path / "w.nrrd")).spacing is not None
    assert open_volume(written(image(spacing=(1, 1, 1)), tmp_path / "v.nii")).spacing == (1, 1, 1)


def test_labels_on_another_grid_or_between_whole_numbers_are_refused(tmp_path: Path) -> None:
    volume = open_volume(written(image(), tmp_path / "v.nrrd"))
    moved = image(dtype="u1")
    moved.SetOrigin((12, -20, 30))
    for made, reason in (
        (image((4, 5, 7), dtype="u1"), "size"), (image(spacing=(0.5, 0.8, 3), dtype="u1"), "spacing"),
        (moved, "origin"), (image(direction=np.diag([-1.0, -1, 1]), dtype="u1"), "direction"),
    ):  # fmt: skip
        with pytest.raises(DataContractError, match=reason):
            open_labels(written(made, tmp_path / "l.nrrd"), volume)
    soft = image(dtype="f4") * 0 + 0.5
    with pytest.raises(DataContractError, match="whole numbers"):
        open_labels(written(soft, tmp_path / "l.nrrd"), volume)


def test_sixteen_bits_keep_hounsfield_units_and_whole_numbers_and_scale_the_rest() -> None:
    units = np.array([-3024, -1024, 0, 70_000], np.int32)
    assert to_uint16(units, "ct").tolist() == [0, 0, 1024, 65535]
    assert to_uint16(np.array([0, 7, 4095], np.int16), "mr").tolist() == [0, 7, 4095]
    assert to_uint16(np.array([0.0, 7.0, 300.0]), "mr").tolist() == [0, 7, 300]
    assert to_uint16(np.array([-1.0, 0.0, 1.0]), "mr").tolist() == [0, 32768, 65535]
    for values, modality, reason in (
        ([0, 100, 3000], "ct", "below 0 HU"), ([5, 5], "mr", "every voxel"), ([np.nan, 1], "mr", "no number"),
    ):  # fmt: skip
        with pytest.raises(DataContractError, match=reason):
            to_uint16(np.array(values), modality)


# ---- DICOM -----------------------------------------------------------------------------------------------------------


def series(folder: Path, places: list[float], uid: str = "1.2.3", **tags: str) -> Path:
    """Slices at these places along z, made by hand; tags of None are left out."""
    folder.mkdir(exist_ok=True)
    writer = sitk.ImageFileWriter()
    writer.KeepOriginalImageUIDOn()
    for number, place in enumerate(places):
        one = sitk.GetImageFromArray(np.full((1, 5, 6), int(place) - 1000, np.int16))
        one.SetSpacing((0.5, 0.7, 2.0))
        values = {
            "0008|0060": "CT", "0020|000e": uid, "0008|0018": f"{uid}.{number}", "0020|0013": str(number),
            "0020|0032": f"0\\0\\{place}", "0020|0037": "1\\0\\0\\0\\1\\0", "0028|1052": "0", "0028|1053": "1", **tags,
        }  # fmt: skip
        for key, value in values.items():
            one.SetMetaData(key, value)
        writer.SetFileName(str(folder / f"{uid}-{len(places) - number}.dcm"))
        with own_locale():  # writing a DICOM file leaves the process in the locale C
            writer.Execute(one)
    return folder


def test_a_series_is_stacked_by_place_and_not_by_the_files_names(tmp_path: Path) -> None:
    volume = open_volume(series(tmp_path / "s", [0.0, 2.0, 4.0, 6.0]))
    assert volume.array[:, 0, 0].tolist() == [-1000, -998, -996, -994]
    assert np.allclose(volume.spacing, (2, 0.7, 0.5))


def test_a_missing_or_doubled_slice_is_refused_instead_of_a_wrong_scale(tmp_path: Path) -> None:
    for places in ([0.0, 2.0, 6.0, 8.0], [0.0, 2.0, 2.0, 4.0]):
        with pytest.raises(DataContractError, match="missing, or there twice"):
            open_volume(series(tmp_path / str(len(list(tmp_path.iterdir()))), places))


def test_of_several_series_one_has_to_be_named(tmp_path: Path) -> None:
    folder = series(tmp_path / "s", [0.0, 2.0])
    series(folder, [0.0, 3.0, 6.0], "1.2.4")
    with pytest.raises(DataContractError, match=r"(?s)2 DICOM series.*1\.2\.3"):
        open_volume(folder)
    name = next(name for name, files in dicom.series(folder).items() if len(files) == 3)
    assert open_volume(folder, series=name).array.shape == (3, 5, 6)
    with pytest.raises(DataContractError, match="no DICOM series"):
        open_volume(tmp_path)
