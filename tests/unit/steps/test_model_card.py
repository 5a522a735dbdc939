"""model_card: the card of what was just promoted, and of nothing else."""

from pathlib import Path

import pytest
from promotion_kit import MemoryStore, Recorder, first, write_bundle, write_evaluation

from parfocal.adapters.database import SqlLedger
from parfocal.core.errors import UsageError
from parfocal.core.reporting import Silent
from parfocal.core.types import Outcome
from parfocal.steps import model_card, promote
from parfocal.steps.config import RunConfig


@pytest.mark.parametrize("floor", [0.5, 0.99])
def test_a_promoted_version_has_the_card_of_its_promotion_and_a_refused_one_none(tmp_path: Path, floor: float) -> None:
    ledger, config = (
        SqlLedger(f"sqlite:///{tmp_path / 'ledger.db'}"),
        RunConfig.parse({"gate": {"floors": {"disc": floor}}}),
    )
    judged = write_evaluation(tmp_path / "evaluation", first(write_bundle(tmp_path / "one", "weights")))
    out = tmp_path / "promotion"
    decision = promote.run(
        judged, tmp_path / "one", out, config,
        key="k", store=MemoryStore(), ledger=ledger, run=Recorder(), reporter=Silent(),
    )  # fmt: skip
    if floor < 0.9:
        assert decision.outcome is Outcome.PROMOTE, decision.reason
        assert model_card.run(out, config, ledger=ledger) == (out / "model_card.md").read_text()
    else:
        with pytest.raises(UsageError, match="the gate said refuse"):
            model_card.run(out, config, ledger=ledger)
