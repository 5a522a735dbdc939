from pathlib import Path

import numpy as np
import pytest
from data_kit import champion, circle, dataset, patients, source, write

from parfocal.core.errors import DataContractError
from parfocal.core.types import Split
from parfocal.evaluation.frozen import frozen_cases, frozen_test
from parfocal.preprocessing.shards import read_dataset


def made(tmp_path: Path, name: str, *, cups: bool = True, seed: int = 0, count: int = 12, **kwargs: object) -> Path:
    folder = source(tmp_path / f"source-{name}", patients(count), cups=cups, seed=seed)
    dataset(folder, tmp_path / name, **kwargs)  # type: ignore[arg-type]
    return tmp_path / name


def test_they_are_the_test_cases_alone_with_truth_in_source_pixels(tmp_path: Path) -> None:
    folder = made(tmp_path, "A")
    found = frozen_cases([folder])
    assert [case.case.id for case in found] == sorted(case.id for case in read_dataset(folder).on(Split.TEST))
    masks = found[0].read_masks()
    assert masks.keys() == {"disc", "cup"}
    assert masks["disc"].dtype == np.bool_
    assert masks["disc"].shape == found[0].read_image().shape[:2] == (60, 80)


def test_a_structure_that_a_later_dataset_adds_joins_the_same_case(tmp_path: Path) -> None:
    first = made(tmp_path, "A", cups=False)
    known = champion(tmp_path / "champion", first)
    later = made(tmp_path, "A2", champion=known)
    before, after = frozen_cases([first]), frozen_cases([first, later])
    assert [case.case.id for case in before] == [case.case.id for case in after]
    assert all(case.read_masks().keys() == {"disc", "cup"} for case in after)
    assert frozen_test(before, 0).checksum != frozen_test(after, 0).checksum


def test_a_case_whose_truth_differs_between_datasets_is_refused(tmp_path: Path) -> None:
    first = made(tmp_path, "A")
    again = source(tmp_path / "again", patients(12))
    for name in patients(12):
        write(again / "disc" / f"{name}.png", circle(14))
    dataset(again, tmp_path / "A2")
    with pytest.raises(DataContractError, match="has another disc mask here"):
        frozen_cases([first, tmp_path / "A2"])


def test_a_case_whose_photograph_differs_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataContractError, match="has another image here"):
        frozen_cases([made(tmp_path, "A"), made(tmp_path, "A2", seed=9)])


def test_the_checksum_is_of_the_cases_and_not_of_their_order_or_place(tmp_path: Path) -> None:
    first, second = made(tmp_path, "A"), made(tmp_path, "B", seed=1, instrument="B")
    cases = frozen_cases([first, second])
    assert [case.instrument for case in cases] == sorted(case.instrument for case in cases)
    mine = [case for case in cases if case.instrument == "A"]
    found = frozen_test(mine, uses=2)
    assert found.checksum == frozen_test(mine[::-1], 0).checksum == read_dataset(first).test_checksum
    assert (found.cases, found.patients, found.uses) == (len(mine), len(mine), 2)
    assert frozen_test(mine[1:], 0).checksum != found.checksum
