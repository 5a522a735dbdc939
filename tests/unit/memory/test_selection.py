import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from parfocal.core.errors import DataContractError
from parfocal.memory.selection import at_random, important_and_diverse


def test_the_most_important_case_comes_first_and_twins_last() -> None:
    importance = [0.9, 0.8, 0.7]
    features = np.array([[0.0], [0.0], [5.0]])
    assert important_and_diverse(importance, features, 3) == [0, 2, 1]


def test_what_is_not_important_cannot_win_by_being_strange() -> None:
    importance = [0.9, 0.8, 0.7, 0.6, 0.1]
    features = np.array([[0.0], [1.0], [2.0], [3.0], [100.0]])
    assert important_and_diverse(importance, features, 2) == [0, 3]
    assert important_and_diverse(importance, features, 2, pool=1) == [0, 1]
    assert important_and_diverse(importance, features, 2, pool=9) == [0, 4]


def test_every_group_of_looks_is_represented() -> None:
    rng = np.random.default_rng(0)
    group = np.repeat(np.arange(4), 10)
    features = np.eye(4)[group] * 10 + rng.normal(0, 0.1, (40, 4))
    chosen = important_and_diverse(rng.random(40), features, 4, pool=10)
    assert sorted(group[chosen]) == [0, 1, 2, 3]


def test_no_unit_of_a_feature_dominates() -> None:
    features = np.array([[0.0, 0.0], [0.0, 1.0], [300.0, 0.1], [300.0, 0.9]])
    scaled = features * [1e6, 1e-6]
    assert important_and_diverse([4, 3, 2, 1], features, 3) == important_and_diverse([4, 3, 2, 1], scaled, 3)


@given(st.integers(0, 12), st.integers(0, 12), st.integers(0, 3), st.integers(0, 2**32 - 1))
@settings(max_examples=100, deadline=None)
def test_it_gives_as_many_different_rows_as_there_are(count: int, size: int, width: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    importance, features = rng.integers(0, 3, count), rng.integers(0, 2, (count, width)).astype(float)
    chosen = important_and_diverse(importance, features, size)
    assert len(chosen) == len(set(chosen)) == min(size, count)
    assert set(chosen) <= set(range(count))
    assert important_and_diverse(importance, features, size) == chosen


@pytest.mark.parametrize(
    ("importance", "features"),
    [([1.0], np.zeros((2, 3))), ([1.0, np.nan], np.zeros((2, 3))), ([1.0, 1.0], np.full((2, 3), np.inf))],
)
def test_numbers_that_mean_nothing_are_refused(importance: list[float], features: np.ndarray) -> None:
    with pytest.raises(DataContractError):
        important_and_diverse(importance, features, 1)


def test_a_random_choice_is_a_function_of_its_generator_and_reaches_every_case() -> None:
    chosen = at_random(10, 4, np.random.default_rng(5))
    assert chosen == at_random(10, 4, np.random.default_rng(5))
    assert len(set(chosen)) == 4
    counts = np.bincount([row for seed in range(200) for row in at_random(10, 4, np.random.default_rng(seed))])
    assert counts.min() > 50
    assert at_random(3, 9, np.random.default_rng(0)) == [0, 1, 2]
