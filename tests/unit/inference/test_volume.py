"""Whole volumes: what the slices say lies on the voxels of the source."""

from pathlib import Path

import numpy as np
import pytest

from parfocal.core.bundle import Bundle, StructureModel
from parfocal.core.errors import DataContractError, UsageError
from parfocal.inference.predictor import Prediction, Predictor
from parfocal.inference.volume import segment_volume

sitk = pytest.importorskip("SimpleITK")
OBLIQUE = np.array([[0.96, 0.0, 0.28], [0.0, 1.0, 0.0], [-0.28, 0.0, 0.96]])


def spec(task: str = "bone", *structures: str, **recipe: object) -> Bundle:
    names = structures or ("bone",)
    return Bundle(
        task=task, structures={name: StructureModel(folder=name) for name in names}, instruments=("A",), datasets=(),
        recipe={"name": "ct", "size": 32, "tiles_a_slice": 1, "windows": [[0, 1000]], **recipe},
    )  # fmt: skip


def bright(level: float):
    return lambda batch: (batch[:, :1] >= level).astype(np.float32)


def ct(direction: np.ndarray, shape: tuple[int, int, int] = (12, 40, 50)):
    """A bone of 700 HU with a marrow of 100, off the middle in every direction, and its truth."""
    k, j, i = np.mgrid[: shape[0], : shape[1], : shape[2]]
    away = np.sqrt((3 * (k - 7)) ** 2 + (j - 14) ** 2 + (i - 30) ** 2)
    units = np.where(away < 9, 700, np.where(away < 30, 40, -1000)).astype(np.int16)
    units[away < 4] = 100
    image = sitk.GetImageFromArray(units)
    image.SetSpacing((0.8, 0.8, 2.4))
    image.SetOrigin((-11.0, 7.0, 100.0))
    image.SetDirection(direction.ravel().tolist())
    return image, units == 700


@pytest.mark.parametrize(
    "direction",
    [np.eye(3), np.diag([-1.0, -1.0, 1.0]), np.diag([1.0, -1.0, -1.0]), np.eye(3)[[1, 2, 0]], OBLIQUE],
    ids=["plain", "turned", "upside down", "permuted", "oblique"],
)
@pytest.mark.parametrize("suffix", [".nii", ".nii.gz", ".nrrd", ".mha"])
def test_an_oracles_labels_are_the_truth_voxel_on_voxel(tmp_path: Path, direction: np.ndarray, suffix: str) -> None:
    image, truth = ct(direction)
    sitk.WriteImage(image, str(tmp_path / f"scan{suffix}"))
    predictor = Predictor.from_networks(spec(), {"bone": bright(0.6)})
    told = segment_volume(tmp_path / f"scan{suffix}", predictor, tmp_path / f"labels{suffix}")
    written = sitk.ReadImage(str(tmp_path / f"labels{suffix}"))
    assert np.array_equal(sitk.GetArrayFromImage(written) == 1, truth)
    source = sitk.ReadImage(str(tmp_path / f"scan{suffix}"))
    for property_of in ("GetSize", "GetSpacing", "GetOrigin", "GetDirection"):
        assert np.allclose(getattr(written, property_of)(), getattr(source, property_of)(), atol=1e-5)
    assert told.voxels == {"bone": int(truth.sum())}
    assert told.millilitres is not None
    assert np.isclose(told.millilitres["bone"], truth.sum() * 0.8 * 0.8 * 2.4 / 1000, rtol=1e-4)
    assert not [file for file in tmp_path.iterdir() if file.name.startswith(".")]


def test_slices_come_as_they_were_learned_in_order_and_progress_is_told(tmp_path: Path) -> None:
    image, _ = ct(np.eye(3))
    sitk.WriteImage(image, str(tmp_path / "scan.nrrd"))
    seen, heard = [], []

    class Listener:
        bundle = spec()

        def predict(self, picture: np.ndarray) -> Prediction:
            seen.append(picture)
            return Prediction({"bone": np.zeros(picture.shape, bool)}, {"bone": None}, {})

    told = segment_volume(
        tmp_path / "scan.nrrd",
        Listener(),
        tmp_path / "out.nrrd",
        progress=lambda done, total: heard.append((done, total)),
    )
    assert np.array_equal(np.stack(seen), sitk.GetArrayFromImage(image).astype(int) + 1024)
    assert seen[0].dtype == np.uint16
    assert heard == [(i, 12) for i in range(1, 13)]
    assert (told.plane, told.slices) == ("axial", 12)


def test_several_structures_are_numbered_and_an_inner_one_lies_over_its_outer_one(tmp_path: Path) -> None:
    image, bone = ct(np.eye(3))
    sitk.WriteImage(image, str(tmp_path / "scan.nrrd"))
    made = spec("bone", "bone", "cortex")
    predictor = Predictor.from_networks(made, {"bone": bright(0.02), "cortex": bright(0.6)})
    told = segment_volume(tmp_path / "scan.nrrd", predictor, tmp_path / "both.nrrd")
    labels = sitk.GetArrayFromImage(sitk.ReadImage(str(tmp_path / "both.nrrd")))
    assert told.labels == {"bone": 1, "cortex": 2}
    assert (labels[bone] == 2).all()
    assert told.voxels["bone"] == (labels > 0).sum()
    segment_volume(tmp_path / "scan.nrrd", predictor, tmp_path / "one.nrrd", structure="cortex")
    assert np.array_equal(sitk.GetArrayFromImage(sitk.ReadImage(str(tmp_path / "one.nrrd"))), labels == 2)


@pytest.mark.parametrize("suffix", [".nii", ".nii.gz", ".nrrd", ".mha"])
@pytest.mark.parametrize("part", [0.0, 0.3, 0.9])
def test_a_scan_that_was_cut_short_is_refused_and_not_filled_with_zeros(
    tmp_path: Path, suffix: str, part: float
) -> None:
    file = tmp_path / f"scan{suffix}"
    sitk.WriteImage(ct(np.eye(3))[0], str(file))
    file.write_bytes(file.read_bytes()[: int(part * file.stat().st_size)])
    with pytest.raises(DataContractError):
        segment_volume(file, Predictor.from_networks(spec(), {"bone": bright(0.6)}), tmp_path / "out.nrrd")
    assert [entry.name for entry in tmp_path.iterdir()] == [file.name]


def test_wrong_names_and_wrong_modalities_are_refused_and_nothing_is_written(tmp_path: Path) -> None:
    image, _ = ct(np.eye(3))
    sitk.WriteImage(image, str(tmp_path / "scan.nrrd"))
    sitk.WriteImage(sitk.Abs(image), str(tmp_path / "mr.nrrd"))
    predictor = Predictor.from_networks(spec(), {"bone": bright(0.6)})
    with pytest.raises(UsageError, match="no structure 'lung'"):
        segment_volume(tmp_path / "scan.nrrd", predictor, tmp_path / "out.nrrd", structure="lung")
    with pytest.raises(UsageError, match="not the name of a volume"):
        segment_volume(tmp_path / "scan.nrrd", predictor, tmp_path / "out.png")
    with pytest.raises(UsageError, match="there already"):
        segment_volume(tmp_path / "scan.nrrd", predictor, tmp_path / "mr.nrrd")
    with pytest.raises(DataContractError, match=r"(?s)below 0 HU.*mr\.nrrd"):
        segment_volume(tmp_path / "mr.nrrd", predictor, tmp_path / "out.nrrd")
    assert sorted(file.name for file in tmp_path.iterdir()) == ["mr.nrrd", "scan.nrrd"]
