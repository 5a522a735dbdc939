"""The best ever promoted in every cell, told on the test cases of today.

A frozen test set never changes and may grow. A mean over more cases, or harder ones, is another number, so an earlier
champion is compared with the challenger on the cases that both were scored on; the ledger keeps its Dice case by case.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from parfocal.core.protocols import LedgerEntry
from parfocal.core.scores import Evaluation
from parfocal.promotion.ledger import PROMOTION

Cell = tuple[str, str]


def scores(evaluation: Evaluation) -> dict[str, dict[str, dict[str, float]]]:
    """The challenger's Dice by instrument, structure and case, as the ledger keeps it.

    A case is named by a part of its id's SHA-256: the ledger is for ever, and an id may say more than it should.
    """
    found: dict[str, dict[str, dict[str, float]]] = {}
    for score in evaluation.scores["challenger"]:
        cell = found.setdefault(score.instrument, {}).setdefault(score.structure, {})
        cell[_name(score.case)] = round(score.metrics["dice"], 5)
    return found


def best_promoted(entries: Sequence[LedgerEntry], evaluation: Evaluation | None = None) -> dict[Cell, float]:
    """(instrument, structure) to the best mean Dice of any model ever promoted, by the gate's own measurements.

    Args:
        entries: of one task.
        evaluation: whose test cases the means are to be told on: the challenger's mean there, and how far the earlier
            one was ahead of it on the cases of both. Without it, or without such cases, the mean as it was then.
    """
    present = scores(evaluation) if evaluation else {}
    best: dict[Cell, float] = {}
    for entry in entries:
        if entry.kind == PROMOTION:
            for cell, then in _cells(entry.body["matrix_row"]["dice"]):
                mine = present.get(cell[0], {}).get(cell[1], {})
                theirs = entry.body.get("scores", {}).get(cell[0], {}).get(cell[1], {})
                best[cell] = max(_told(mine, theirs, then), best.get(cell, 0.0))
    return best


def _told(mine: dict[str, float], theirs: dict[str, float], then: float) -> float:
    shared = mine.keys() & theirs.keys()
    if not shared:
        return then
    return float(np.mean(list(mine.values())) + np.mean([theirs[name] - mine[name] for name in sorted(shared)]))


def _cells(dice: dict[str, dict[str, Any]]) -> Iterator[tuple[Cell, float]]:
    for instrument, structures in dice.items():
        for structure, value in structures.items():
            yield (instrument, structure), value


def _name(case: str) -> str:
    return hashlib.sha256(case.encode()).hexdigest()[:16]
