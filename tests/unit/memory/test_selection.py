import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from parfocal.core.errors import DataContractError
from parfocal.memory.selection import (
    SELECTIONS,
    Pool,
    at_random,
    choose,
    important_and_diverse,
    most_important,
    reservoir,
)


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


def test_in_a_reservoir_every_case_of_all_increments_is_equally_likely() -> None:
    """Three increments of 7, 12 and 5 cases, 4 places: each of the 24 is kept with probability 4 / 24.

    6,000 runs: the standard error of a frequency is 0.0048, so four of them are 0.019.
    """
    runs, counts = 6000, np.zeros(24)
    for seed in range(runs):
        kept: list[int] = []
        first = 0
        for fresh in (7, 12, 5):
            rng = np.random.default_rng([seed, first])
            everything = [*kept, *range(first, first + fresh)]
            kept = [everything[row] for row in reservoir(len(kept), first, fresh, 4, rng)]
            first += fresh
        counts[kept] += 1
    np.testing.assert_allclose(counts / runs, 4 / 24, atol=0.019)


def test_a_reservoir_with_room_takes_all_and_one_that_shrank_keeps_some() -> None:
    rng = np.random.default_rng(0)
    assert reservoir(2, 2, 3, 9, rng) == [0, 1, 2, 3, 4]
    assert set(reservoir(6, 6, 0, 3, rng)) < set(range(6))
    assert reservoir(0, 0, 5, 0, rng) == []


def test_the_steepest_cases_come_first() -> None:
    assert most_important([0.1, 3.0, 2.0, 3.0], 3) == [1, 3, 2]
    with pytest.raises(DataContractError, match="not finite"):
        most_important([1.0, np.nan], 1)


@pytest.mark.parametrize("name", SELECTIONS)
@pytest.mark.parametrize(("count", "size"), [(7, 3), (2, 5), (3, 0)])
def test_every_selection_gives_as_many_different_rows_as_there_are(name: str, count: int, size: int) -> None:
    scores = np.arange(count, dtype=float)
    pool = Pool(count, size, np.random.default_rng(1), 1, 4, lambda: scores, lambda: scores, lambda: scores[:, None])
    chosen = choose(name, pool)
    assert len(set(chosen)) == len(chosen) == min(count, size)
    assert set(chosen) <= set(range(count))
