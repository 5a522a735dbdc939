"""Stacks worked by hand: which slices, what stands in, and what counts."""

import numpy as np
import pytest

from parfocal.core.errors import DataContractError
from parfocal.core.types import Slice
from parfocal.preprocessing.shards import Arrays
from parfocal.preprocessing.stacks import around, averaged, covering, volumes, window


def arrays(*places: tuple[str, str, int]) -> Arrays:
    n = len(places)
    return Arrays(
        np.zeros((n, 4, 4, 3), np.uint8), np.zeros((n, 4, 4), np.uint8), tuple(case for case, _, _ in places),
        slices=tuple(Slice(volume, number) for _, volume, number in places),
    )  # fmt: skip


@pytest.mark.parametrize(
    ("number", "expected"), [(0, [0, 1, 2, 3]), (1, [0, 1, 2, 3]), (3, [1, 2, 3, 4]), (5, [2, 3, 4, 5])]
)
def test_a_stack_is_around_its_slice_and_clamped_at_the_ends(number: int, expected: list[int]) -> None:
    stack = around(range(6), number, 4)
    assert stack.slices.tolist() == expected
    assert stack.there.all()


def test_a_short_volume_repeats_its_edge_and_a_gap_its_nearest_slice_and_both_are_said_to_be_missing() -> None:
    short = around([7, 8], 8, 4)
    assert short.slices.tolist() == [0, 1, 1, 1]
    assert short.there.tolist() == [True, True, False, False]
    gap = window([0, 1, 4, 5], 0, 6)
    assert gap.slices.tolist() == [0, 1, 1, 2, 2, 3]
    assert gap.there.tolist() == [True, True, False, False, True, True]


def test_stacks_cover_a_volume_by_half_steps_and_end_with_it() -> None:
    starts = [one.slices[0] for one in covering(range(9), 4)]
    assert starts == [0, 2, 4, 5]
    assert [one.slices.tolist() for one in covering(range(9), 4, step=4)] == [[0, 1, 2, 3], [4, 5, 6, 7], [5, 6, 7, 8]]
    assert len(covering([3], 4)) == 1


def test_an_answer_is_the_mean_over_the_stacks_and_that_of_a_stand_in_does_not_count() -> None:
    def place_in_stack(slices: np.ndarray) -> np.ndarray:
        return np.arange(len(slices), dtype=np.float32)[:, None]

    found = averaged(place_in_stack, range(6), 4)  # stacks 0..3 and 2..5
    assert found[:, 0].tolist() == [0, 1, (2 + 0) / 2, (3 + 1) / 2, 2, 3]
    assert averaged(place_in_stack, [5, 6], 4)[:, 0].tolist() == [0, 1]


def test_volumes_are_put_in_order_and_of_a_case_its_first_row_of_the_latest_dataset_counts() -> None:
    found = volumes(arrays(("b", "v", 2), ("b", "v", 2), ("a", "v", 1), ("c", "w", 0), ("b", "v", 2)))
    assert found["v"].numbers.tolist() == [1, 2]
    assert found["v"].rows.tolist() == [2, 4]
    assert found["w"].rows.tolist() == [3]


def test_pictures_without_a_volume_and_slices_that_are_there_twice_are_refused() -> None:
    with pytest.raises(DataContractError, match=r"no slice of a volume(?s:.*)where: a"):
        volumes(Arrays(np.zeros((1, 4, 4, 3), np.uint8), np.zeros((1, 4, 4), np.uint8), ("a",)))
    with pytest.raises(DataContractError, match="slice 1 of v is there twice"):
        volumes(arrays(("a", "v", 1), ("b", "v", 1)))
