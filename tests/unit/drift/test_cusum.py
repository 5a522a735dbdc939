"""The CUSUM: pure, exact over chunks, and its alarm stays."""

import math

import numpy as np
import pytest

from parfocal.drift.conformal import p_values
from parfocal.drift.cusum import State, advance, normal_scores


def test_it_is_pages_recursion() -> None:
    state, path = advance(State(), np.array([1.0, -3.0, 2.0, 2.0, 0.5]), threshold=2.9, k=0.5)
    assert path.tolist() == [0.5, 0.0, 1.5, 3.0, 3.0]
    assert state == State(3.0, 5, 4)


def test_cases_in_several_calls_end_exactly_where_they_do_in_one() -> None:
    z = np.random.default_rng(0).normal(0.3, 1, 500)
    whole, path = advance(State(), z, threshold=5, k=0.5)
    state, parts = State(), []
    for chunk in np.split(z, [1, 1, 70, 333]):
        state, part = advance(state, chunk, threshold=5, k=0.5)
        parts.append(part)
    assert state == whole
    assert np.array_equal(np.concatenate(parts), path)
    assert whole.alarm_at is not None


def test_the_alarm_is_at_the_first_case_and_stays_when_the_statistic_falls() -> None:
    begun = State(statistic=4.0, observations=10)
    state, _ = advance(begun, np.array([2.0, 3.0, -9.0]), threshold=5.0, k=0.5)
    assert state == State(0.0, 13, 11)
    later, _ = advance(state, np.full(20, 2.0), threshold=5.0, k=0.5)
    assert later.alarm_at == 11
    assert later.statistic == pytest.approx(30.0)
    assert begun == State(4.0, 10)


def test_reaching_the_threshold_is_an_alarm_and_an_infinite_one_is_never_reached() -> None:
    z = np.full(3, 1.5)
    assert advance(State(), z, threshold=2.0, k=0.5)[0].alarm_at == 2
    assert advance(State(), z, threshold=math.inf, k=0.5)[0].alarm_at is None


def test_no_cases_change_nothing() -> None:
    state, path = advance(State(1.0, 3, None), np.array([]), threshold=5, k=0.5)
    assert state == State(1.0, 3, None)
    assert path.shape == (0,)


def test_a_nan_is_an_error_and_not_a_quiet_zero() -> None:
    with pytest.raises(ValueError, match="NaN"):
        advance(State(), np.array([1.0, math.nan, 1.0]), threshold=5, k=0.5)


def test_normal_scores_are_large_for_small_p_and_always_finite() -> None:
    z = normal_scores(np.array([0.0, 0.025, 0.5, 0.975, 1.0]))
    assert np.isfinite(z).all()
    assert (np.diff(z) < 0).all()
    assert z[1:4] == pytest.approx([1.959964, 0.0, -1.959964])


def test_a_conformal_p_value_counts_held_out_scores_at_or_above() -> None:
    p = p_values(np.array([0.0, 1.0, 2.5, 3.0, 9.0, np.inf]), np.array([1.0, 2.0, 3.0, 3.0]))
    assert p.tolist() == [1.0, 1.0, 3 / 5, 3 / 5, 1 / 5, 1 / 5]


def test_held_out_cases_that_cannot_be_measured_make_such_cases_usual() -> None:
    assert p_values(np.array([5.0, np.inf]), np.array([1.0, np.inf, np.inf])).tolist() == [3 / 4, 3 / 4]
