import json
import re
from pathlib import Path

import cv2
import numpy as np
import pytest

from parfocal.core.errors import DataContractError, UsageError
from parfocal.readers.folder import FolderReader
from parfocal.readers.phantom import PhantomReader


def scan(folder: Path, recipe: dict[str, object], work: str = "work"):
    folder.mkdir(exist_ok=True)
    (folder / "phantom.json").write_text(json.dumps(recipe))
    return PhantomReader().scan(folder, folder / work, task="fundus", instrument="camera-7")


def test_what_another_recipe_left_in_the_folder_is_not_taken_along(tmp_path: Path) -> None:
    scan(tmp_path, {"instrument": "B", "patients": [0, 2]})
    assert [case.patient for case in scan(tmp_path, {"instrument": "C", "patients": [9, 1]}).cases] == ["P0009"]


def test_the_size_of_a_pixel_is_the_one_that_the_folder_reader_reads(tmp_path: Path) -> None:
    found = scan(tmp_path, {"instrument": "D", "patients": [3, 2]})
    there = FolderReader().scan(tmp_path / "work", tmp_path, task="fundus", instrument="camera-7")
    assert [case.spacing for case in found.cases] == [case.spacing for case in there.cases]
    assert all(0.005 < size < 0.05 for case in found.cases for size in case.spacing or ())


def test_an_instrument_of_several_words_gives_ids_that_can_name_files(tmp_path: Path) -> None:
    (tmp_path / "phantom.json").write_text('{"instrument": "B", "patients": [0, 1]}')
    (case,) = PhantomReader().scan(tmp_path, tmp_path / "w", task="fundus", instrument="clinic 2 / left").cases
    assert case.instrument == "clinic 2 / left"
    assert re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9._-]*", case.id)


def test_without_a_name_of_its_own_the_instrument_is_the_camera(tmp_path: Path) -> None:
    (tmp_path / "phantom.json").write_text('{"instrument": "B", "patients": [0, 1]}')
    (case,) = PhantomReader().scan(tmp_path / "phantom.json", tmp_path / "w", task="fundus", instrument="").cases
    assert (case.instrument, case.id) == ("B", "B-P0000")


def test_a_recipe_becomes_cases_with_both_masks(tmp_path: Path) -> None:
    found = scan(tmp_path, {"instrument": "B", "patients": [5, 3], "seed": 1})
    assert [case.patient for case in found.cases] == ["P0005", "P0006", "P0007"]
    assert {case.instrument for case in found.cases} == {"camera-7"}
    assert all(case.masks["disc"].is_file() and case.masks["cup"].is_file() for case in found.cases)
    assert found.problems == ()


def test_the_same_recipe_gives_the_same_bytes_and_another_seed_does_not(tmp_path: Path) -> None:
    first, again, other = (
        [case.checksum for case in scan(tmp_path, {"instrument": "A", "patients": [0, 2], "seed": seed}, work).cases]
        for seed, work in ((1, "w1"), (1, "w2"), (2, "w3"))
    )
    assert first == again != other


def test_a_broken_recipe_is_refused_with_an_example(tmp_path: Path) -> None:
    with pytest.raises(DataContractError, match=r"phantom\.json"):
        scan(tmp_path, {"instrument": "A"})
    with pytest.raises(DataContractError, match="patients"):
        scan(tmp_path, {"instrument": "A", "patients": [0, 0]})
    with pytest.raises(DataContractError, match=r"phantom\.json"):
        PhantomReader().scan(tmp_path / "nowhere", tmp_path, task="fundus", instrument="A")


def test_an_unknown_camera_lists_the_known_ones(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="A, B, C, D"):
        scan(tmp_path, {"instrument": "Z", "patients": [0, 1]})


def volumes(folder: Path, task: str, recipe: dict[str, object], instrument: str = ""):
    (folder / "phantom.json").write_text(json.dumps(recipe))
    return PhantomReader().scan(folder, folder / "work", task=task, instrument=instrument)


@pytest.mark.parametrize(("task", "scanner", "slices"), [("bone", "X", 3), ("lung", "S", 1), ("prostate", "Q", 2)])
def test_each_slice_of_a_volume_is_a_case_of_16_bits_with_its_mask(
    tmp_path: Path, task: str, scanner: str, slices: int
) -> None:
    recipe = {"task": task, "instrument": scanner, "patients": [5, 2], "unlabelled": [50, 1], "slices": slices}
    found = volumes(tmp_path, task, recipe)
    assert [case.patient for case in found.cases] == ["P0005"] * slices + ["P0006"] * slices
    assert [case.patient for case in found.unlabelled] == ["P0050"] * slices
    assert found.cases[0].id == f"{scanner}-P0005-000"
    assert len({case.id for case in found.cases}) == 2 * slices
    for case in found.cases:
        image, mask = (cv2.imread(str(file), cv2.IMREAD_UNCHANGED) for file in (case.image, case.masks[task]))
        assert (image.dtype, mask.dtype) == (np.uint16, np.uint8)
        assert image.shape == mask.shape
        assert set(np.unique(mask)) == {0, 255}
        assert case.spacing is not None
        assert all(0.5 < size < 2 for size in case.spacing)
        assert (case.task, case.instrument, case.grader) == (task, scanner, "phantom")


def test_the_slices_of_two_instruments_with_one_scanner_have_ids_of_their_own(tmp_path: Path) -> None:
    (case,) = volumes(tmp_path, "bone", {"instrument": "Y", "patients": [0, 1], "slices": 1}, "site 2").cases
    assert case.instrument == "site 2"
    assert re.fullmatch(r"site_2-P0000-000-[0-9a-f]{8}", case.id)


def test_points_alone_are_the_discs_centres_and_the_folder_reader_reads_the_same(tmp_path: Path) -> None:
    recipe = {"instrument": "R", "patients": [0, 3]}
    found = scan(tmp_path, {**recipe, "points_only": True}, "points")
    there = FolderReader().scan(tmp_path / "points", tmp_path, task="fundus", instrument="camera-7")
    assert there.problems == ()
    assert [case.points for case in there.cases] == [case.points for case in found.cases]
    for pointed, masked in zip(found.cases, scan(tmp_path, recipe, "masks").cases, strict=True):
        assert pointed.masks == {}
        assert masked.points == {}
        assert pointed.image.read_bytes() == masked.image.read_bytes()
        rows, columns = np.nonzero(cv2.imread(str(masked.masks["disc"]), cv2.IMREAD_GRAYSCALE))
        assert pointed.points["disc"] == pytest.approx((columns.mean(), rows.mean()), abs=1.0)


def test_photographs_without_labels_are_told_apart(tmp_path: Path) -> None:
    found = scan(tmp_path, {"instrument": "B", "patients": [0, 1], "unlabelled": [9, 2]})
    assert [case.patient for case in found.cases] == ["P0000"]
    assert [(case.patient, dict(case.masks)) for case in found.unlabelled] == [("P0009", {}), ("P0010", {})]


@pytest.mark.parametrize(
    ("task", "recipe", "message"),
    [
        ("bone", {"task": "lung", "instrument": "X"}, "for the task lung"),
        ("bone", {"instrument": "X", "points_only": True}, "volumes have no points"),
        ("fundus", {"instrument": "A", "slices": 4}, "photographs have no slices"),
    ],
)
def test_a_recipe_that_asks_for_what_its_task_has_not_is_refused(
    tmp_path: Path, task: str, recipe: dict[str, object], message: str
) -> None:
    with pytest.raises(DataContractError, match=message):
        volumes(tmp_path, task, {**recipe, "patients": [0, 1]})


def test_a_task_without_phantoms_lists_those_that_have_them(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="bone, lung, prostate"):
        volumes(tmp_path, "vertebrae", {"instrument": "X", "patients": [0, 1]})
