"""The distance: what it sees, and what must not alarm it."""

import numpy as np
import pytest

from parfocal.drift.mahalanobis import fit


def cases(count: int, seed: int = 0) -> np.ndarray:
    """Thirty columns, most of whose variation is in three directions."""
    rng = np.random.default_rng(seed)
    mixing = np.random.default_rng(42).normal(size=(3, 30)) * 3
    return rng.normal(size=(count, 3)) @ mixing + rng.normal(size=(count, 30))


def test_a_difference_only_off_the_components_is_seen() -> None:
    usual = cases(400)
    model = fit(usual, components=3, shrinkage=0.1)
    off = np.linalg.svd(model.axes)[2][-1]  # at right angles to every component
    moved = cases(50, 1) + 8.0 * off * model.scale
    assert np.allclose((off @ model.axes.T), 0)
    assert model.distances(moved).min() > np.quantile(model.distances(cases(400, 2)), 0.99)


def test_a_difference_only_along_the_components_is_seen() -> None:
    model = fit(cases(400), components=3, shrinkage=0.1)
    moved = cases(50, 1) + 8.0 * np.sqrt(model.variances[0]) * model.axes[0] * model.scale
    assert model.distances(moved).min() > np.quantile(model.distances(cases(400, 2)), 0.99)


def test_each_of_the_two_terms_is_about_one_for_its_own_cases() -> None:
    model = fit(cases(2000), components=3, shrinkage=0.01)
    assert model.distances(cases(2000, 1)).mean() == pytest.approx(2.0, rel=0.05)


def test_the_unit_of_a_column_is_of_no_consequence() -> None:
    factors = np.geomspace(1, 50, 30)
    one, other = fit(cases(200), components=5, shrinkage=0.1), fit(cases(200) * factors, components=5, shrinkage=0.1)
    new = cases(20, 1)
    assert other.distances(new * factors) == pytest.approx(one.distances(new), rel=1e-6)


def test_a_column_that_hardly_varies_does_not_alarm_on_rounding() -> None:
    nearly = 0.75 + 1e-9 * np.random.default_rng(0).normal(size=(300, 1))
    still = np.hstack([cases(300), np.full((300, 1), 0.98), nearly])
    model = fit(still, components=8, shrinkage=0.1, resolution=0.01)
    new = still.copy()
    new[:, 30:] += [0.004, 1e-4]
    assert model.distances(new) == pytest.approx(model.distances(still), rel=0.05, abs=0.05)


def test_constant_cases_have_finite_distances() -> None:
    model = fit(np.ones((40, 6)), components=16, shrinkage=0.1)
    assert model.distances(np.ones((1, 6))).tolist() == [0.0]
    assert np.isfinite(model.distances(np.full((1, 6), 1.5))).all()


def test_few_cases_in_many_columns_keep_few_components() -> None:
    model = fit(cases(12), components=16, shrinkage=0.1)
    assert model.axes.shape == (3, 30)
    assert model.residual > 0


def test_a_row_that_is_not_finite_is_infinitely_far() -> None:
    rows = cases(3)
    rows[1, 4] = np.nan
    rows[2, 0] = np.inf
    assert np.isinf(fit(cases(100), components=3, shrinkage=0.1).distances(rows)).tolist() == [False, True, True]
