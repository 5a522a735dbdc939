import json
import re
from pathlib import Path

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
