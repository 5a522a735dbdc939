"""A promotion in, the model card of the version that it made the champion out."""

from __future__ import annotations

import json
from pathlib import Path

from parfocal.core import manifest
from parfocal.core.errors import UsageError
from parfocal.core.protocols import Ledger
from parfocal.core.types import Outcome
from parfocal.promotion import account, card
from parfocal.steps.config import RunConfig


def run(promotion: Path, config: RunConfig, *, ledger: Ledger) -> str:
    """Write the card from the evidence in the ledger, as `parfocal registry card` does.

    Args:
        promotion: sealed folder of `steps.promote`.
        config: its task is used.
        ledger: holds the evidence that counts.

    Returns:
        The card as Markdown.

    Raises:
        DataContractError: the folder is not whole.
        UsageError: nothing was promoted, or the ledger does not know of it.
    """
    manifest.verify(promotion, "promotion")
    said = json.loads((promotion / "evidence.json").read_text())
    outcome = said["decision"]["outcome"]
    if outcome != Outcome.PROMOTE:
        raise UsageError(
            f"the gate said {outcome}, and only a promoted version has a model card",
            where=promotion,
            next='ask for it where the outcome of promote is "promote"',
        )
    return card.render(account.evidence_of(ledger.entries(config.task), said["model"]["version"]))
