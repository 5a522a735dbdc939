"""The gate's error rates are what it declares, on challengers whose truth is known."""

from dataclasses import replace

import numpy as np
import pytest

from parfocal.evaluation.statistics import paired_interval
from parfocal.promotion.policy import GatePolicy
from parfocal.promotion.population import Population
from parfocal.promotion.simulation import DECLARED, Rates, creep, predicted, scenarios, simulate

POLICY = GatePolicy()
PEOPLE = Population()
HARM, USELESS, GOOD = scenarios(POLICY, PEOPLE)


def rates(kind: object, patients: int, runs: int, policy: GatePolicy = POLICY, **people: float) -> Rates:
    return simulate(kind, replace(PEOPLE, patients=patients, **people), policy, runs=runs)  # type: ignore[arg-type]


def test_the_population_has_the_change_the_spread_and_the_skewness_that_it_says() -> None:
    drawn = replace(PEOPLE, patients=200_000).differences(np.random.default_rng(0), -0.02)
    assert drawn.mean() == pytest.approx(-0.02, abs=0.001)
    assert drawn.std() == pytest.approx(0.06, abs=0.001)
    assert np.mean(((drawn - drawn.mean()) / drawn.std()) ** 3) == pytest.approx(-2, abs=0.1)


def test_harm_at_the_margin_passes_no_oftener_than_declared() -> None:
    """One old cell, the least favourable: nothing else stands in a harmful challenger's way."""
    found = rates(HARM, 25, 400, old=1)
    assert found.held, found
    assert found.promote <= found.error
    assert rates(HARM, 25, 100, GatePolicy(level=0.6, interval="bca"), old=1).held is False  # this can fail


def test_a_challenger_that_learned_nothing_passes_no_oftener_than_declared() -> None:
    assert rates(USELESS, 25, 300, old=1).held


def test_a_good_one_is_seldom_refused_and_few_patients_leave_it_to_a_person() -> None:
    few, many = rates(GOOD, 25, 120), rates(GOOD, 100, 40)
    assert few.held, few
    assert many.held, many
    assert few.inconclusive > 0.8
    assert many.promote > few.promote + 0.3
    assert rates(GOOD, 19, 20).inconclusive > 0.8  # under the minimum nothing is promoted
    assert rates(GOOD, 19, 20).promote == 0


def test_power_is_as_printed_where_differences_are_not_skewed_and_less_where_they_are() -> None:
    printed = predicted(replace(PEOPLE, patients=40), POLICY)
    assert printed == pytest.approx(0.62, abs=0.01)
    assert rates(GOOD, 40, 150, old=1, skew=0.0).no_loss == pytest.approx(printed, abs=0.12)
    assert rates(GOOD, 40, 150, old=1).no_loss <= printed + 0.05


def test_small_losses_add_up_to_little_more_than_the_limit_of_creep() -> None:
    found = creep(PEOPLE, POLICY, runs=6)
    assert found.lost[0] < POLICY.creep + 0.015
    assert found.lost_unlimited[0] > found.lost[0] + 0.02
    assert found.over == 0


def misses(method: str, patients: int, skew: float, samples: int) -> float:
    """How often the lower bound of the policy's interval lies above the truth."""
    people, rng = replace(PEOPLE, patients=patients, skew=skew), np.random.default_rng(patients)
    found = [
        paired_interval(people.differences(rng, 0.0), level=POLICY.level, method=method).low > 0  # type: ignore[arg-type]
        for _ in range(samples)
    ]
    return float(np.mean(found))


@pytest.mark.slow
@pytest.mark.parametrize("patients", [20, 25, 40, 60, 100])
def test_the_policys_bound_holds_95_percent_from_20_patients_on_and_bca_does_not(patients: int) -> None:
    noise = 3 * (DECLARED * (1 - DECLARED) / 8000) ** 0.5
    for skew in (0.0, -2.0):
        assert misses("studentised", patients, skew, 8000) <= DECLARED + noise
    if patients <= 25:
        assert misses("bca", patients, -2.0, 8000) > DECLARED + noise


@pytest.mark.slow
@pytest.mark.parametrize("skew", [-2.0, 0.0])
def test_every_error_rate_is_what_the_gate_declares_at_full_size(skew: float) -> None:
    for patients in (20, 25, 40, 60, 100):
        for kind in (HARM, USELESS, GOOD):
            found = rates(kind, patients, 3000, skew=skew)
            assert found.held, found
    found = creep(replace(PEOPLE, skew=skew), POLICY, runs=300)
    assert found.lost[1] < POLICY.creep + POLICY.margin
    assert found.over <= 0.01


@pytest.mark.slow
def test_harm_that_no_test_patient_has_is_not_seen() -> None:
    """Where one patient in twenty loses .24: what docs/gate.md says of it."""
    rng, passed = np.random.default_rng(3), {}
    for patients in (25, 60, 100):
        noise, lost = 0.03 * rng.standard_normal((4000, patients)), 0.24 * (rng.random((4000, patients)) < 0.05)
        found = [paired_interval(one, level=POLICY.level, method=POLICY.interval).low for one in noise - lost + 0.012]
        passed[patients] = float(np.mean(np.array(found) > 0))
    assert passed[25] == pytest.approx(0.15, abs=0.03)
    assert passed[60] == pytest.approx(0.06, abs=0.02)
    assert passed[100] <= DECLARED
