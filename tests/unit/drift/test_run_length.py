"""The run length to a false alarm: the chain against simulation and against known numbers, and what is promised."""

import math

import numpy as np
import pytest
from scipy.special import ndtr

from parfocal.drift import run_length
from parfocal.drift.run_length import SMALLEST, Threshold, arl0_for, chain_run_lengths, run_lengths, threshold
from parfocal.drift.simulation import simulate


def probabilities(references: np.ndarray) -> np.ndarray:
    """How often a standard normal case has each p-value against sorted references [R, n]: 1/(n+1) first."""
    cumulative = ndtr(np.sort(references, axis=1)[:, ::-1])
    ends = np.ones((len(references), 1))
    return np.diff(np.hstack([0 * ends, 1 - cumulative, ends]), axis=1)


@pytest.mark.parametrize(("size", "h"), [(30, 3.0), (100, 4.0), (500, 4.5)])
def test_the_chain_agrees_with_simulated_cases_of_one_reference(size: int, h: float) -> None:
    reference = np.random.default_rng(size).standard_normal((1, size))
    [expected] = chain_run_lengths(probabilities(reference), h, 0.5)
    runs = 4000
    lengths = simulate(h, size, runs=runs, limit=1_000_000, references=np.repeat(reference, runs, axis=0))
    assert abs(lengths.mean() - expected) < 3.5 * lengths.std() / math.sqrt(runs)


def test_with_a_very_large_reference_it_is_the_textbook_run_length() -> None:
    """One-sided, normal scores, k = 0.5: 336 cases at h = 4 and 930 at h = 5 (Hawkins and Olwell 1998)."""
    equal = np.full((1, 20_001), 1 / 20_001)
    assert chain_run_lengths(equal, 4.0, 0.5)[0] == pytest.approx(336, rel=0.015)
    assert chain_run_lengths(equal, 5.0, 0.5)[0] == pytest.approx(930, rel=0.015)


def test_the_chain_solves_the_matrix_of_brook_and_evans() -> None:
    """The recursion grows the states one at a time; here they are solved at once."""
    given = run_length._draw(50, 3)[:4]
    up, down = run_length._steps(given, 0.5)
    states = 41
    for reference in range(4):
        matrix = np.zeros((states, states))
        for i in range(states):
            for j in range(states):
                moves = up[:, reference] if j >= i else down[:, reference]
                matrix[i, j] = moves[abs(j - i)] if abs(j - i) < len(moves) else 0.0
            matrix[i, 0] = down[i:, reference].sum()
        lengths = np.linalg.solve(np.eye(states) - matrix, np.ones(states))
        found = chain_run_lengths(given[[reference]], (states - 0.5) * run_length.STEP, 0.5)
        assert found[0] == pytest.approx(lengths[0], rel=1e-9)


def test_the_rate_is_what_was_declared_over_references_and_runs() -> None:
    """Every simulated run has a reference of its own."""
    found = threshold(200, 100)
    horizon, runs = 40, 20_000
    late = simulate(found.h, 100, runs=runs, limit=2 * horizon, seed=5)
    early = (late <= horizon).sum()
    at_risk = runs - early
    rates = 1 / run_lengths(found.h, 100)
    alarms = ((late > horizon) & (late < 2 * horizon)).sum() / at_risk
    # References that alarm often are gone by then, so the hazard is the mean over those that survived the first cases.
    weights = np.exp(-rates * horizon)
    expected = 1 - np.exp(-(rates * weights).sum() / weights.sum() * (horizon - 1))
    assert alarms == pytest.approx(expected, rel=0.06)
    assert rates.mean() == pytest.approx(1 / 200, rel=0.01)


PUBLISHED = {36: (174, 79_645), 100: (236, 5_927), 500: (519, 2_763), 2000: (669, 1_802)}
"""5 % and 95 % of the run length at h = 5.07, nominal 1000, by another simulation, by held-out cases."""


@pytest.mark.parametrize("size", [500, 2000])
def test_the_spread_over_references_is_the_published_one(size: int) -> None:
    low, high = np.quantile(run_lengths(5.07, size), [0.05, 0.95])
    assert low == pytest.approx(PUBLISHED[size][0], rel=0.15)
    assert high == pytest.approx(PUBLISHED[size][1], rel=0.15)


@pytest.mark.parametrize(("size", "quieter"), [(36, 6.0), (100, 4.0)])
def test_a_small_reference_is_quieter_than_published_because_p_values_are_rounded_up(size: int, quieter: float) -> None:
    """The next test shows that this is why."""
    low, high = np.quantile(run_lengths(5.07, size), [0.05, 0.95])
    assert PUBLISHED[size][0] < low < 1.7 * PUBLISHED[size][0]
    assert PUBLISHED[size][1] < high < quieter * PUBLISHED[size][1]


@pytest.mark.parametrize("size", [36, 100])
def test_with_p_values_in_the_middle_of_their_step_a_small_reference_is_near_the_published(
    size: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        run_length, "_scores", lambda n: run_length.normal_scores((np.arange(1, n + 2) - 0.5) / (n + 1.0))
    )
    for found, published in zip(np.quantile(run_lengths(5.07, size), [0.05, 0.95]), PUBLISHED[size], strict=True):
        assert published / 1.8 < found < published * 1.8


def test_a_small_reference_gets_a_wider_threshold_and_a_wider_interval() -> None:
    small, middle, large = (threshold(20_000, size) for size in (36, 100, 1000))
    assert small.h > middle.h > large.h
    assert small.high / small.low > middle.high / middle.low > large.high / large.low
    assert all(found.promise and found.low < 20_000 < found.high for found in (small, middle, large))


def test_a_two_sigma_shift_is_found_within_eight_cases() -> None:
    found = threshold(20_000, 500)
    assert np.median(simulate(found.h, 500, shift=2.0, runs=2000, limit=500)) <= 8


@pytest.mark.parametrize(
    ("arl0", "size", "k"),
    [
        (20_000, SMALLEST - 1, 0.5),
        (20_000, 0, 0.5),
        (20_000, 100, 2.6),  # the strangest score of 100 cases is 2.33, and never lifts the statistic
        (1e12, 25, 0.5),
    ],
)
def test_what_cannot_be_promised_is_said(arl0: float, size: int, k: float) -> None:
    found = threshold(arl0, size, k)
    assert found.h == math.inf
    assert not found.promise
    assert found.reason.startswith("nothing can be promised: ")


def test_the_same_question_has_the_same_answer_at_once() -> None:
    first = threshold(5_000, 60, 0.5)
    assert threshold(5_000, 60, 0.5) is first
    threshold.cache_clear()
    assert threshold(5_000, 60, 0.5) == first
    assert isinstance(first, Threshold)


def test_a_longer_run_needs_a_higher_threshold() -> None:
    heights = [threshold(arl0, 200).h for arl0 in (100, 1_000, 10_000, 100_000)]
    assert heights == sorted(heights)
    assert heights[0] < heights[-1] - 3


def test_a_budget_of_one_false_alarm_a_month_gives_the_run_length_by_traffic_and_streams() -> None:
    assert arl0_for(1, 100, 2) == pytest.approx(6087.5)
    assert arl0_for(2, 100, 2) == pytest.approx(6087.5 / 2)
