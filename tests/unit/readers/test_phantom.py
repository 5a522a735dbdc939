import json
from pathlib import Path

import pytest

from parfocal.core.errors import DataContractError, UsageError
from parfocal.readers.phantom import PhantomReader


def scan(folder: Path, recipe: dict[str, object], work: str = "work"):
    folder.mkdir(exist_ok=True)
    (folder / "phantom.json").write_text(json.dumps(recipe))
    return PhantomReader().scan(folder, folder / work, task="fundus", instrument="camera-7")


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
        PhantomReader().scan(tmp_path / "nowhere", tmp_path, task="fundus", instrument="A")


def test_an_unknown_camera_lists_the_known_ones(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="A, B, C, D"):
        scan(tmp_path, {"instrument": "Z", "patients": [0, 1]})
