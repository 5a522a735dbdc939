"""The window's discrepancy: equal to the plain computation however it came about, and a threshold that holds."""

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from parfocal.drift import mmd, mmd_threshold, packing
from parfocal.drift.mmd import Window, sample, statistic
from parfocal.drift.mmd_threshold import Detector, detector


def plain(reference: np.ndarray, window: np.ndarray, bandwidth: float) -> float:
    """Gretton 2012, equation 3, by loops over pairs."""

    def k(x: np.ndarray, y: np.ndarray) -> float:
        return math.exp(-sum((x - y) ** 2) / (2 * bandwidth**2))

    n, m = len(reference), len(window)
    own = sum(k(x, y) for i, x in enumerate(reference) for j, y in enumerate(reference) if i != j) / (n * (n - 1))
    new = sum(k(x, y) for i, x in enumerate(window) for j, y in enumerate(window) if i != j) / (m * (m - 1))
    return own + new - 2 * sum(k(x, y) for x in reference for y in window) / (n * m)


def test_by_hand() -> None:
    """Reference 0 and 2, window 1 and 1: bandwidth 2, so k = exp(-d^2 / 8)."""
    reference = sample(np.array([[0.0], [2.0]]))
    assert reference.bandwidth == 2
    assert reference.within == pytest.approx(math.exp(-0.5))
    expected = math.exp(-0.5) + 1 - 2 * math.exp(-1 / 8)
    assert statistic(reference, np.array([[1.0], [1.0]])) == pytest.approx(expected)
    window = Window(reference, 2)
    assert math.isnan(window.push(np.array([1.0])))
    assert window.push(np.array([1.0])) == pytest.approx(expected)


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10_000), st.integers(2, 9), st.integers(2, 12), st.integers(1, 4), st.integers(0, 40))
def test_case_by_case_it_is_the_plain_computation(seed: int, size: int, count: int, width: int, more: int) -> None:
    rng = np.random.default_rng(seed)
    reference = sample(rng.normal(size=(count, width)))
    cases = rng.normal(size=(size + more, width)) * rng.choice([0.1, 1.0, 30.0])
    window = Window(reference, size)
    found = [window.push(case) for case in cases]
    assert np.isnan(found[: size - 1]).all()
    assert found[-1] == pytest.approx(plain(reference.rows, cases[-size:], reference.bandwidth), abs=1e-9)
    assert found[-1] == pytest.approx(statistic(reference, cases[-size:]), abs=1e-9)


def test_after_a_long_time_rounding_has_not_gathered() -> None:
    rng = np.random.default_rng(0)
    reference = sample(rng.normal(size=(40, 3)))
    window, cases = Window(reference, 20), rng.normal(size=(20_000, 3)) * np.geomspace(1e-3, 1e3, 20_000)[::-1, None]
    last = [window.push(case) for case in cases][-1]
    assert last == pytest.approx(statistic(reference, cases[-20:]), abs=1e-12)


@pytest.mark.parametrize("seen", [3, 8, 11, 16])
def test_a_window_goes_on_from_its_rows(seen: int) -> None:
    rng = np.random.default_rng(1)
    fitted = _detector(rng.normal(size=(200, 4)), window=8)
    window, cases = fitted.start(), rng.normal(size=(seen + 20, fitted.reference.rows.shape[1]))
    for case in cases[:seen]:
        window.push(case)
    again = fitted.start(window.rows)
    for case in cases[seen:]:
        assert again.push(case) == pytest.approx(window.push(case), abs=1e-12, nan_ok=True)


def _detector(rows: np.ndarray, arl0: float = 200, window: int = 16, seed: int = 0) -> Detector:
    found = detector(rows, window=window, arl0=arl0, components=8, shrinkage=0.1, seed=seed)
    assert found is not None
    return found


def test_the_threshold_keeps_the_declared_run_length_over_references(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each reference is drawn anew; a window that alarms is emptied. Cautious by up to one half, never below."""
    monkeypatch.setattr(mmd_threshold, "RUNS", 200)
    alarms = cases = 0
    for seed in range(24):
        rng = np.random.default_rng([seed, 5])
        fitted = _detector(rng.normal(size=(200, 4)), seed=seed)
        window = fitted.start()
        for case in fitted.coordinates(rng.normal(size=(600, 4))):
            seen = window.push(case)
            cases += not math.isnan(seen)
            if seen >= fitted.threshold:
                alarms, window = alarms + 1, fitted.start()
    assert 200 * 0.8 < cases / alarms < 200 * 1.9


def test_cases_that_are_each_usual_and_together_are_not_are_found() -> None:
    """Every case lies near the middle: no distance is strange, but the variety is gone."""
    rng = np.random.default_rng(3)
    fitted = _detector(rng.normal(size=(400, 4)), arl0=2000, window=32)
    window = fitted.start()
    found = [window.push(case) for case in fitted.coordinates(0.3 * rng.normal(size=(64, 4)))]
    assert found[-1] > fitted.threshold
    window = fitted.start()
    assert max(window.push(case) for case in fitted.coordinates(rng.normal(size=(64, 4)))[:32][-1:]) != math.inf


def test_few_cases_make_none_and_a_run_length_beyond_the_simulation_is_not_promised() -> None:
    rng = np.random.default_rng(0)
    assert detector(rng.normal(size=(99, 4)), window=8, arl0=200, components=8, shrinkage=0.1, seed=0) is None
    far = _detector(rng.normal(size=(120, 4)), arl0=1e9)
    assert far.threshold == math.inf
    assert "cannot tell one false alarm" in far.reason


def test_another_run_length_has_the_threshold_of_its_own_rate() -> None:
    """By hand: of 50 runs, blocks of 10 and 100 cases; a block of 10 is exceeded with 1 - exp(-10 / 20) = 0.3935."""
    rows = np.random.default_rng(0).normal(size=(120, 4))
    fitted = replace(
        _detector(rows), blocks=np.array([10.0, 100.0]), highest=np.array([np.arange(50.0), 100 + np.arange(50.0)])
    )
    assert fitted.declaring(20).threshold == pytest.approx(49 * math.exp(-0.5))
    assert fitted.declaring(100).threshold == pytest.approx(100 + 49 * math.exp(-1))
    assert fitted.declaring(5).threshold == pytest.approx(49 * math.exp(-2)), "the shortest block serves"
    beyond = fitted.declaring(1000)
    assert (beyond.threshold, beyond.arl0) == (math.inf, 1000)
    assert "50 runs of 100 cases cannot tell" in beyond.reason
    assert (beyond.declaring(20).threshold, beyond.declaring(20).reason) == (fitted.declaring(20).threshold, "")
    none = replace(fitted, blocks=np.zeros(0), highest=np.zeros((0, 0)))
    assert none.declaring(20) is none, "a reference that kept none goes on with its own"


def test_a_fitted_detector_says_for_its_own_run_length_what_it_was_fitted_with() -> None:
    fitted = _detector(np.random.default_rng(0).normal(size=(120, 4)), arl0=2000)
    assert fitted.blocks.tolist() == [10, 100, 1000]
    assert fitted.declaring(2000).threshold == fitted.threshold
    found = [fitted.declaring(arl0).threshold for arl0 in (50, 200, 2000, 20_000)]
    assert found == sorted(set(found))
    assert packing.detector("x", packing.detector_arrays("x", fitted), packing.detector_header(fitted)).declaring(
        50
    ).threshold == pytest.approx(found[0])


def test_a_case_that_cannot_be_measured_is_left_out() -> None:
    fitted = _detector(np.random.default_rng(0).normal(size=(120, 4)))
    assert len(fitted.coordinates(np.array([[0.0, 1, 2, 3], [np.nan] * 4, [1.0, 1, 1, 1]]))) == 2


def test_equal_arguments_give_an_equal_threshold() -> None:
    rows = np.random.default_rng(0).normal(size=(120, 4))
    assert _detector(rows).threshold == _detector(rows).threshold
    assert _detector(rows).threshold != _detector(rows, seed=1).threshold


def test_the_simulated_blocks_are_those_of_a_window() -> None:
    """One run, no weights to speak of: the fast sums against a window that is pushed."""
    rng = np.random.default_rng(4)
    reference, held_out = sample(rng.normal(size=(30, 2))), rng.normal(size=(4000, 2))
    fast = mmd_threshold.block_maxima(reference, held_out, 8, [60], 40, np.random.default_rng(0))[0]
    slow = []
    for _ in range(200):
        window = mmd.Window(reference, 8)
        cases = held_out[rng.integers(0, len(held_out), 68)]
        slow.append(max([window.push(case) for case in cases][8:]))
    assert np.median(fast) == pytest.approx(np.median(slow), rel=0.15)
