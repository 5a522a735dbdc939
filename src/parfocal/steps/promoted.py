"""What a decision leaves: a sealed folder for people, and its numbers in the tracked run."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from parfocal.core import manifest
from parfocal.core.protocols import Ledger, Run
from parfocal.core.types import Decision, Outcome
from parfocal.promotion import card, summary
from parfocal.promotion import evidence as papers
from parfocal.promotion.ledger import HEAD, PROMOTION, Anchor


def write(out: Path, file: dict[str, Any], parents: list[manifest.Parent], settled: dict[str, str]) -> None:
    """Seal the decision, its evidence and what people read of them."""
    with manifest.new_folder(out, "promotion", parents=parents, config=settled) as folder:
        (folder / "evidence.json").write_text(papers.text(file))
        (folder / "decision.json").write_text(json.dumps(file["decision"], indent=1, sort_keys=True) + "\n")
        (folder / "summary.md").write_text(summary.render(file))
        if file["decision"]["outcome"] == Outcome.PROMOTE:
            (folder / "model_card.md").write_text(card.render(file))


def log(run: Run, out: Path, decision: Decision, ledger: Ledger, task: str, key: str) -> None:
    """The tag with the ledger's last hash anchors it: its end cannot be cut off without leaving this behind."""
    entries = ledger.entries()
    hashes = [entry.hash for entry in entries if (entry.task, entry.kind, entry.key) == (task, PROMOTION, key)]
    tags = {
        "parfocal.outcome": str(decision.outcome),
        "parfocal.approved_by": decision.approved_by,
        "parfocal.ledger": "".join(hashes),
        HEAD: Anchor.of(entries).text(),
    }
    run.tags({name: value for name, value in tags.items() if value})
    run.metrics(
        {
            ".".join(filter(None, ("gate", check.name, check.instrument, check.structure))): check.value
            for check in decision.checks
        }
    )
    run.artifact(out, "promotion")
