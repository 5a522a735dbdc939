"""What to label: training cases for what they teach, test cases by lot, and no patient on both sides."""

import numpy as np
import pytest

from parfocal.core.types import Split
from parfocal.triggers.labels import Waiting, cases_worth_labelling

KEY = "secret"


def waiting(count: int, *, cases_a_patient: int = 1, seed: int = 0) -> list[Waiting]:
    rng = np.random.default_rng(seed)
    return [
        Waiting(
            f"c{i:03d}", f"p{i // cases_a_patient:03d}", float(rng.uniform(0.4, 0.95)), float(rng.exponential()),
            tuple(rng.normal(size=3).tolist()),
        )
        for i in range(count)
    ]  # fmt: skip


def test_no_patient_is_on_both_sides_and_all_come_when_all_are_asked_for() -> None:
    cases = waiting(120, cases_a_patient=3)
    plan = cases_worth_labelling(cases, train=120, test=120, key=KEY)
    patient = {case.id: case.patient for case in cases}
    assert sorted(plan.train + plan.test) == [case.id for case in cases]
    assert not {patient[id_] for id_ in plan.train} & {patient[id_] for id_ in plan.test}


def test_training_cases_have_a_low_predicted_dice_and_test_cases_any() -> None:
    cases = waiting(600)
    plan = cases_worth_labelling(cases, train=20, test=60, key=KEY)
    dice = {case.id: case.dice or 0.0 for case in cases}
    usual = np.mean(list(dice.values()))
    assert np.mean([dice[id_] for id_ in plan.train]) < usual - 0.2
    assert np.mean([dice[id_] for id_ in plan.test]) == pytest.approx(usual, abs=0.06)


def test_what_is_measured_does_not_decide_what_is_tested() -> None:
    cases = waiting(100)
    other = [Waiting(one.id, one.patient, 1 - (one.dice or 0), 1 / one.distance) for one in cases]
    one, two = (cases_worth_labelling(each, train=10, test=10, key=KEY) for each in (cases, other))
    assert one.test == two.test
    assert one.train != two.train
    assert cases_worth_labelling(cases, train=0, test=10, key="another").test != one.test


def test_sides_do_not_change_when_cases_arrive_or_are_labelled() -> None:
    cases = waiting(80)
    before = cases_worth_labelling(cases[:40], train=40, test=40, key=KEY)
    after = cases_worth_labelling(cases[::-1], train=80, test=80, key=KEY)
    assert set(before.train) <= set(after.train)
    assert set(before.test) <= set(after.test)


def test_a_frozen_side_counts_more_than_the_lot() -> None:
    cases = waiting(30)
    known = {case.patient: Split.TEST for case in cases[:10]} | {cases[10].patient: Split.VALIDATION}
    plan = cases_worth_labelling(cases, train=30, test=30, key=KEY, known=known)
    assert {case.id for case in cases[:10]} <= set(plan.test)
    assert cases[10].id in plan.train


def test_of_equally_bad_cases_the_farther_and_then_the_different_come_first() -> None:
    same = [Waiting(f"s{i}", f"s{i}", 0.5, 1.0, (0.0, 0.01 * i)) for i in range(30)]
    apart = Waiting("apart", "apart", 0.5, 9.0, (50.0, 50.0))
    plan = cases_worth_labelling([*same, apart], train=2, test=0, key=KEY, share=0.0)
    assert plan.train[0] == "apart"
    good = [Waiting(f"g{i}", f"g{i}", 0.9, 1.0, (float(i), 0.0)) for i in range(10)]
    plan = cases_worth_labelling([*same, *good], train=3, test=0, key=KEY, share=0.0)
    assert {id_[0] for id_ in plan.train} == {"s"}


def test_cases_without_numbers_are_chosen_too_and_none_is_no_error() -> None:
    blind = [Waiting(f"b{i}", "", None, float("inf")) for i in range(5)]
    plan = cases_worth_labelling([*blind, *waiting(5)], train=10, test=0, key=KEY, share=0.0)
    assert len(plan.train) == 10
    assert cases_worth_labelling([], train=3, test=3, key=KEY).train == ()
