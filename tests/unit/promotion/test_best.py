"""The best ever promoted is told on the test cases of today, also after the frozen test has grown."""

import numpy as np
import pytest
from promotion_kit import evaluation, scores

from parfocal.core.scores import Evaluation
from parfocal.core.types import Outcome
from parfocal.promotion import best
from parfocal.promotion.gate import GatePolicy, decide
from parfocal.promotion.ledger import PROMOTION, next_entry

EASY, HARD = np.linspace(0.92, 0.94, 25), np.linspace(0.76, 0.78, 25)
NEW = np.full(25, 0.8)


def judged(old: np.ndarray, rival: np.ndarray) -> Evaluation:
    return evaluation(
        scores("A", "disc", old) + scores("B", "disc", NEW + 0.1), scores("A", "disc", rival) + scores("B", "disc", NEW)
    )


def promoted(values: Evaluation) -> list[object]:
    body = {"matrix_row": values.matrix[-1].model_dump(mode="json"), "scores": best.scores(values)}
    return [next_entry(None, "t", PROMOTION, "fundus", "k", body)]


def outcome(values: Evaluation, entries: list[object]) -> Outcome:
    found = decide(values, GatePolicy(), best=best.best_promoted(entries, values))  # type: ignore[arg-type]
    return next(check.outcome for check in found.checks if check.name == "creep" and check.instrument == "A")


def test_harder_cases_that_joined_the_test_are_no_loss() -> None:
    before = promoted(judged(EASY, EASY))
    grown = np.concatenate([EASY, HARD])
    assert outcome(judged(grown, grown), before) is Outcome.PROMOTE
    assert best.best_promoted(before)[("A", "disc")] == pytest.approx(0.93)  # type: ignore[arg-type]
    assert best.best_promoted(before, judged(grown, grown))[("A", "disc")] == pytest.approx(grown.mean())  # type: ignore[arg-type]


def test_easier_cases_that_joined_the_test_hide_no_loss() -> None:
    before = promoted(judged(HARD, HARD))
    worse = np.concatenate([HARD - 0.04, EASY])
    assert worse.mean() > HARD.mean()
    assert outcome(judged(worse, worse), before) is Outcome.REFUSE


def test_the_ledger_keeps_no_case_by_its_name() -> None:
    kept = best.scores(judged(EASY, EASY))["A"]["disc"]
    assert len(kept) == 25
    assert all(len(name) == 16 and not name.startswith("A-") for name in kept)
