"""Two processes promote at once, on the real registry and ledger: one wins, the other is told that the champion moved.

They are forked, so that MLflow is imported once, and held at a barrier until both have decided to promote.
"""

import json
import multiprocessing
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from promotion_kit import Recorder, better, first, platform, write_bundle, write_evaluation

from parfocal.core.reporting import Silent
from parfocal.core.types import Decision, Outcome
from parfocal.promotion.ledger import PROMOTION_STARTED
from parfocal.steps import promote
from parfocal.steps.config import RunConfig

CONTEXT = multiprocessing.get_context("fork")


class Waiting:
    """The real ledger; before a promotion is started it waits for the other process."""

    def __init__(self, real: Any, barrier: Any) -> None:
        self._real, self._barrier = real, barrier

    def __getattr__(self, name: str) -> Any:
        return getattr(self._real, name)

    def append(self, kind: str, task: str, key: str, body: Mapping[str, Any]) -> Any:
        if kind == PROMOTION_STARTED:
            self._barrier.wait(180)
        return self._real.append(kind, task, key, body)


def promoted(house: Path, name: str, barrier: Any = None) -> Decision:
    real = platform(house / "state")
    ledger = Waiting(real.ledger, barrier) if barrier is not None else real.ledger
    return promote.run(
        house / f"judged-{name}",
        house / name,
        house / f"out-{name}",
        RunConfig(),
        key=f"key-{name}",
        store=real.models,
        ledger=ledger,
        run=Recorder(),
        reporter=Silent(),
    )


@pytest.fixture
def house(tmp_path: Path) -> Path:
    """A champion, and two challengers that were judged against it."""
    made = {name: write_bundle(tmp_path / name, f"weights {name}") for name in ("one", "two", "three")}
    write_evaluation(tmp_path / "judged-one", first(made["one"]))
    for name in ("two", "three"):
        write_evaluation(tmp_path / f"judged-{name}", better(made[name], made["one"]))
    promoted(tmp_path, "one")
    return tmp_path


def test_of_two_promotions_at_once_exactly_one_wins_and_the_other_is_refused_with_the_reason(house: Path) -> None:
    barrier = CONTEXT.Barrier(2)
    workers = [CONTEXT.Process(target=promoted, args=(house, name, barrier)) for name in ("two", "three")]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(240)
    assert [worker.exitcode for worker in workers] == [0, 0]
    said = {name: json.loads((house / f"out-{name}" / "decision.json").read_text()) for name in ("two", "three")}
    (winner,) = [name for name, decision in said.items() if decision["outcome"] == Outcome.PROMOTE]
    (loser,) = said.keys() - {winner}
    assert "Evaluate again, against the present champion" in said[loser]["reason"]
    assert not (house / f"out-{loser}" / "model_card.md").exists()
    real = platform(house / "state")
    champion = real.models.get("fundus", "champion")
    assert champion is not None
    assert champion.checksum == json.loads((house / f"out-{winner}" / "evidence.json").read_text())["model"]["checksum"]
    assert [entry.key for entry in real.ledger.entries("fundus", "promotion")] == ["key-one", f"key-{winner}"]
    assert real.ledger.verify() == len(real.ledger.entries())
    assert promoted(house, loser).outcome is Outcome.REFUSE  # and the same command again says the same
