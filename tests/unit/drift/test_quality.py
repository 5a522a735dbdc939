"""The predicted Dice: its interval covers what it says, and it tells harm from none."""

import numpy as np
import pytest

from parfocal.core.types import Interval
from parfocal.drift import quality
from parfocal.drift.quality import HARMLESS, SMALLEST, Quality, fit

FEATURES = 5


def cases(count: int, rng: np.random.Generator, *, moved: float = 0.0) -> tuple[np.ndarray, np.ndarray]:
    """Features and Dice; the Dice falls with the first feature, and is less certain where the second is large."""
    features = rng.normal(size=(count, FEATURES))
    features[:, 0] += moved
    noise = 0.03 * np.exp(0.4 * features[:, 1]) * rng.normal(size=count)
    return features, np.clip(0.85 - 0.04 * features[:, 0] + noise, 0, 1)


def fitted(count: int, seed: int) -> tuple[Quality, np.random.Generator]:
    rng = np.random.default_rng([seed, count])
    found = fit(*cases(count, rng), seed=seed)
    assert found is not None
    return found, rng


@pytest.mark.parametrize("count", [60, 300])
def test_intervals_cover_nine_in_ten_cases(count: int) -> None:
    """A little more with few labelled cases: each is predicted by a regression that saw fewer still."""
    inside = []
    for seed in range(40):
        found, rng = fitted(count, seed)
        features, dice = cases(100, rng)
        inside += [one.low <= true <= one.high for one, true in zip(found.cases(features), dice, strict=True)]
    assert 0.885 < np.mean(inside) < 0.94


def test_the_mean_of_an_instrument_is_covered_nine_times_in_ten() -> None:
    inside = []
    for seed in range(150):
        found, rng = fitted(80, seed)
        features, dice = cases(40, rng)
        seen = found.mean_of(features)
        inside.append(seen.low <= dice.mean() <= seen.high)
    assert np.mean(inside) == pytest.approx(0.9, abs=0.07)


def test_less_certain_cases_have_wider_intervals() -> None:
    found, _ = fitted(600, 0)
    sure, unsure = np.zeros((1, FEATURES)), np.zeros((1, FEATURES))
    sure[0, 1], unsure[0, 1] = -1.5, 2.0
    widths = [one.high - one.low for one in (*found.cases(sure), *found.cases(unsure))]
    assert widths[1] > 1.3 * widths[0]


def test_drift_that_does_no_harm_is_told_from_drift_that_does() -> None:
    found, rng = fitted(300, 1)
    usual, _ = cases(100, rng)
    better, worse = cases(100, rng, moved=-2.0)[0], cases(100, rng, moved=2.0)[0]
    assert found.harm(found.mean_of(better)) == "none"
    assert found.harm(found.mean_of(worse)) == "likely"
    assert found.harm(found.mean_of(usual)) == "none"
    limit = found.usual - HARMLESS
    assert found.harm(Interval(limit, limit - 0.01, limit + 0.01)) == "unclear"


def test_what_cannot_be_measured_is_predicted_nothing_and_may_be_anything() -> None:
    found, rng = fitted(100, 2)
    features, _ = cases(4, rng)
    features[1, 2] = np.nan
    features[2] = np.inf
    seen = found.cases(features)
    assert [(one.estimate, one.low, one.high) for one in seen[1:3]] == [(0.0, 0.0, 1.0)] * 2
    assert seen[0].estimate == pytest.approx(found.cases(features[:1])[0].estimate)
    whole, part = found.mean_of(features[[0, 3]]), found.mean_of(features)
    assert part.estimate == pytest.approx(whole.estimate / 2)


def test_nobody_follows_a_straight_line_out_of_the_picture() -> None:
    found, rng = fitted(100, 3)
    features, _ = cases(2, rng)
    features[0, 0], features[1, 0] = 1e3, 1e6
    features[1, 1:] = features[0, 1:]
    one, other = found.cases(features)
    assert one == other
    assert 0 <= one.low <= one.estimate <= one.high <= 1


def test_too_few_labelled_cases_predict_nothing() -> None:
    features, dice = cases(SMALLEST, np.random.default_rng(0))
    assert fit(features, dice, seed=0) is not None
    features[0] = np.nan
    assert fit(features, dice, seed=0) is None
    assert fit(features[:0], dice[:0], seed=0) is None


def test_plain_arrays_and_back() -> None:
    found, rng = fitted(100, 4)
    features, _ = cases(10, rng)
    again = quality.quality({name: array.copy() for name, array in found.arrays().items()})
    assert again.cases(features) == found.cases(features)
    assert again.mean_of(features) == found.mean_of(features)
    with pytest.raises(ValueError, match="do not fit"):
        quality.quality({**found.arrays(), "weights": np.zeros((2, 3))})


def test_a_ridge_by_hand() -> None:
    """One feature -1, 1 and Dice 0.2, 0.8: slope 0.6 / (2 + 1) of the penalised least squares, constant 0.5."""
    found = quality._ridge(np.array([[-1.0], [1.0]]), np.array([0.2, 0.8]))
    assert found.weights[0] == pytest.approx([0.2, 0.5])
