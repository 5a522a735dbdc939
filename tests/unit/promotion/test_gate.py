"""Every condition of the gate: met, broken, or not to be said."""

import re

import numpy as np
import pytest
from promotion_kit import evaluation, scores

from parfocal.core.errors import DataContractError, UsageError
from parfocal.core.scores import Evaluation
from parfocal.core.types import Check, Decision, Outcome
from parfocal.promotion.gate import GatePolicy, decide, refuse_moved, take_over

PROMOTE, REFUSE, INCONCLUSIVE = Outcome.PROMOTE, Outcome.REFUSE, Outcome.INCONCLUSIVE
N = 40
WAVE = np.cos(2.4 * np.arange(N))
"""Sums to about nothing; times 0.02 it is a wobble with a standard deviation of 0.014."""
OLD, NEW = np.full(N, 0.94), np.full(N, 0.65)


def judge(change_a: object = 0.0, change_b: object = 0.2, best: dict[tuple[str, str], float] | None = None) -> Decision:
    return decide(case(change_a, change_b), GatePolicy(), best=best or {})


def case(change_a: object = 0.0, change_b: object = 0.2, **changes: object) -> Evaluation:
    return evaluation(
        scores("A", "disc", OLD + change_a + 0.02 * WAVE) + scores("B", "disc", NEW + change_b + 0.02 * WAVE),
        scores("A", "disc", OLD) + scores("B", "disc", NEW),
        **changes,
    )


def check(decision: Decision, name: str, instrument: str = "") -> Check:
    (found,) = [c for c in decision.checks if c.name == name and instrument in ("", c.instrument)]
    return found


def test_a_challenger_that_gains_and_keeps_is_promoted_on_every_condition() -> None:
    decision = judge()
    assert decision.outcome is PROMOTE
    assert {(c.name, c.instrument) for c in decision.checks} == {
        ("size", "A"), ("no-loss", "A"), ("rrp10", "A"), ("failures", "A"), ("creep", "A"), ("constant-mask", "A"),
        ("size", "B"), ("floor", "B"), ("gain", "B"), ("rrp10", "B"), ("failures", "B"), ("constant-mask", "B"),
        ("agreement", ""), ("latency", ""),
    }  # fmt: skip
    assert decision.reason == "All 14 conditions on 2 cells are met."


@pytest.mark.parametrize(
    ("change", "expected"),
    [(0.1, PROMOTE), (-0.1, REFUSE), (-0.001, REFUSE), (0.4 * WAVE, INCONCLUSIVE)],
)
def test_the_new_instrument_must_gain(change: object, expected: Outcome) -> None:
    assert check(judge(change_b=change), "gain").outcome is expected


def test_a_model_that_learned_nothing_is_refused_although_it_forgets_nothing() -> None:
    same = scores("A", "disc", OLD) + scores("B", "disc", NEW + 0.2)
    decision = decide(evaluation(same, same), GatePolicy(), best={})
    assert check(decision, "gain").outcome is REFUSE
    assert check(decision, "no-loss").outcome is PROMOTE


@pytest.mark.parametrize(
    ("change", "expected"),
    [(0.0, PROMOTE), (-0.01, PROMOTE), (-0.03, REFUSE), (-0.018, INCONCLUSIVE), (0.15 * WAVE, INCONCLUSIVE)],
)
def test_an_old_cell_may_not_lose_the_margin(change: object, expected: Outcome) -> None:
    found = check(judge(change_a=change), "no-loss", "A")
    assert found.outcome is expected
    assert found.interval is not None
    assert found.limit == -0.02


def test_no_loss_says_what_such_a_test_can_see() -> None:
    reason = check(judge(change_a=0.1 * WAVE), "no-loss").reason
    assert re.search(r"Standard deviation 0\.08\d of the paired differences over 40 patients", reason)
    assert re.search(r"a true equal would pass \d\d% of such tests, and four in five with 1\d\d patients", reason)


def test_small_losses_do_not_add_up() -> None:
    assert check(judge(best={("A", "disc"): 0.965}), "creep").outcome is PROMOTE
    fallen = judge(best={("A", "disc"): 0.975})
    assert check(fallen, "creep").outcome is REFUSE
    assert fallen.outcome is REFUSE
    assert "best ever promoted there was 0.975" in fallen.reason


def with_ratios(n: int, before: int, after: int) -> Evaluation:
    """`n` cases of A of which so many have the radius within 10 %."""
    ratio = lambda good: np.where(np.arange(n) < good, 1.05, 1.2)  # noqa: E731
    b = scores("B", "disc", NEW + 0.2)
    return evaluation(
        scores("A", "disc", np.full(n, 0.94), ratio(after)) + b,
        scores("A", "disc", np.full(n, 0.94), ratio(before)) + scores("B", "disc", NEW),
    )


@pytest.mark.parametrize(
    ("n", "before", "after", "expected"),
    [
        (40, 38, 36, PROMOTE), (40, 38, 35, INCONCLUSIVE), (40, 38, 32, REFUSE),
        (20, 18, 17, PROMOTE), (10, 9, 8, PROMOTE), (10, 9, 7, INCONCLUSIVE),
    ],
)  # fmt: skip
def test_rrp10_may_lose_five_points_or_one_case_and_is_refused_when_more_is_shown(
    n: int, before: int, after: int, expected: Outcome
) -> None:
    assert check(decide(with_ratios(n, before, after), GatePolicy(), best={}), "rrp10", "A").outcome is expected


@pytest.mark.parametrize(("failing", "expected"), [(1, PROMOTE), (2, REFUSE)])
def test_failed_cases_may_rise_by_one(failing: int, expected: Outcome) -> None:
    change = np.zeros(N)
    change[:failing] = -0.5
    assert check(judge(change_a=change), "failures", "A").outcome is expected


def test_a_second_failed_case_refuses_also_in_a_small_cell() -> None:
    small = evaluation(
        scores("A", "disc", [0.3, 0.3, *[0.95] * 8]) + scores("B", "disc", NEW + 0.2),
        scores("A", "disc", [0.95] * 10) + scores("B", "disc", NEW),
    )
    decision = decide(small, GatePolicy(), best={})
    assert check(decision, "size", "A").outcome is INCONCLUSIVE
    assert decision.outcome is REFUSE


@pytest.mark.parametrize(("patients", "expected"), [(19, INCONCLUSIVE), (20, PROMOTE)])
def test_a_cell_with_fewer_than_twenty_patients_cannot_be_said(patients: int, expected: Outcome) -> None:
    decision = decide(
        evaluation(
            scores("A", "disc", OLD) + scores("B", "disc", NEW[:patients] + 0.2),
            scores("A", "disc", OLD) + scores("B", "disc", NEW[:patients]),
        ),
        GatePolicy(),
        best={},
    )
    assert decision.outcome is expected
    assert {check(decision, name, "B").outcome for name in ("size", "gain", "constant-mask")} == {expected}


@pytest.mark.parametrize("patients", [1, 2])
def test_one_or_two_patients_still_get_an_answer(patients: int) -> None:
    values = scores("A", "disc", [0.9, 0.91][:patients])
    assert decide(evaluation(values, values, new="A"), GatePolicy(), best={}).outcome is INCONCLUSIVE


def test_cases_of_a_patient_count_once() -> None:
    values = tuple(s.model_copy(update={"patient": f"p{i % 10}"}) for i, s in enumerate(scores("A", "disc", OLD)))
    size = check(decide(evaluation(values, None, new="A"), GatePolicy(), best={}), "size")
    assert (size.value, size.outcome) == (10, INCONCLUSIVE)


def test_the_constant_mask_must_be_beaten() -> None:
    beaten = case(constant=0.96)
    assert check(decide(beaten, GatePolicy(), best={}), "constant-mask", "A").outcome is REFUSE
    unclear = decide(case(0.4 * WAVE, constant=0.94), GatePolicy(), best={})
    assert check(unclear, "constant-mask", "A").outcome is INCONCLUSIVE


def test_latency_is_held_to_a_budget_and_to_the_champion() -> None:
    for mine, rival, expected in [(20, 19, PROMOTE), (600, 590, REFUSE), (45, 20, REFUSE)]:
        timed = case(latency_ms={"challenger": mine, "champion": rival})
        assert check(decide(timed, GatePolicy(), best={}), "latency").outcome is expected
    unmeasured = decide(case(latency_ms={}), GatePolicy(), best={})
    assert check(unmeasured, "latency").outcome is INCONCLUSIVE


def test_an_export_that_is_another_network_is_refused() -> None:
    assert check(decide(case(agreement={"disc": 0.98}), GatePolicy(), best={}), "agreement").outcome is REFUSE
    assert check(decide(case(agreement={}), GatePolicy(), best={}), "agreement").outcome is INCONCLUSIVE


def test_a_first_model_needs_floor_constant_mask_size_latency_and_agreement() -> None:
    decision = decide(evaluation(scores("A", "disc", OLD), None, new="A"), GatePolicy(), best={})
    assert decision.outcome is PROMOTE
    assert {c.name for c in decision.checks} == {"size", "floor", "constant-mask", "latency", "agreement"}
    weak = evaluation(scores("A", "disc", np.full(N, 0.6)), None, new="A")
    assert check(decide(weak, GatePolicy(), best={}), "floor").outcome is REFUSE


def test_a_structure_without_labels_has_no_cell() -> None:
    both = scores("A", "disc", OLD) + scores("A", "cup", OLD - 0.1)
    decision = decide(
        evaluation(both + scores("B", "disc", NEW + 0.2), both + scores("B", "disc", NEW)), GatePolicy(), best={}
    )
    assert decision.outcome is PROMOTE
    assert {(c.instrument, c.structure) for c in decision.checks if c.instrument} == {
        ("A", "disc"), ("A", "cup"), ("B", "disc"),
    }  # fmt: skip


def test_a_cell_that_was_judged_before_and_is_gone_cannot_be_said() -> None:
    decision = judge(best={("A", "cup"): 0.8})
    assert decision.outcome is INCONCLUSIVE
    assert "The cup on A was judged for an earlier champion" in decision.reason


def test_a_new_instrument_without_a_test_case_cannot_be_said() -> None:
    a = scores("A", "disc", OLD)
    assert decide(evaluation(a, a, new="B"), GatePolicy(), best={}).outcome is INCONCLUSIVE


def test_scores_that_are_not_paired_are_refused_with_the_case() -> None:
    with pytest.raises(DataContractError, match="A-39"):
        decide(evaluation(scores("A", "disc", OLD), scores("A", "disc", OLD[:-1]), new="A"), GatePolicy(), best={})
    with pytest.raises(DataContractError, match="no score of the challenger"):
        decide(evaluation((), None), GatePolicy(), best={})


def test_the_report_says_how_worn_a_test_set_is() -> None:
    used = case()
    tests = {name: test.model_copy(update={"uses": 3}) for name, test in used.tests.items()}
    decision = decide(used.model_copy(update={"tests": tests}), GatePolicy(), best={})
    assert "used in 3 decisions before" in check(decision, "size", "A").reason


def test_a_person_may_answer_for_what_cannot_be_said_and_never_for_a_refusal() -> None:
    unclear = take_over(judge(best={("A", "cup"): 0.8}), "Ada", "the cup is not ours.")
    assert (unclear.outcome, unclear.approved_by) == (PROMOTE, "Ada")
    assert unclear.reason.startswith("Promoted on the word of Ada: the cup is not ours. The gate had said: No harm")
    refused = take_over(judge(change_a=-0.1), "Ada", "I know better")
    assert (refused.outcome, refused.approved_by) == (REFUSE, "")
    assert "a refusal cannot be approved" in refused.reason


def test_a_champion_that_moved_asks_for_another_evaluation() -> None:
    assert "Evaluate again" in refuse_moved(case(), "d" * 64).reason
    assert "champion already" in refuse_moved(case(), "c" * 64).reason


def test_an_unknown_setting_of_the_gate_is_named() -> None:
    with pytest.raises(UsageError, match="margn"):
        GatePolicy.parse({"margn": 0.5})


def share_promoted(change: float, patients: int, sd: float = 0.04, runs: int = 60) -> float:
    rng = np.random.default_rng(5)
    policy, passed = GatePolicy(), 0
    for _ in range(runs):
        a = 0.9 + rng.normal(0, 0.02, patients)
        b = np.full(patients, 0.6)
        after = a + change + rng.normal(0, sd, patients)
        decision = decide(
            evaluation(
                scores("A", "disc", after) + scores("B", "disc", b + 0.2),
                scores("A", "disc", a) + scores("B", "disc", b),
            ),
            policy,
            best={},
        )
        passed += check(decision, "no-loss").outcome is PROMOTE
    return passed / runs


def test_harm_passes_seldom_and_an_equal_with_many_patients_mostly() -> None:
    assert share_promoted(-0.03, 25) <= 0.05
    assert share_promoted(-0.02, 25) <= 0.12  # on the margin itself: one in twenty, and the noise of 60 runs
    assert share_promoted(0.0, 60) >= 0.9
