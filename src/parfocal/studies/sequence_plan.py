"""How much of the study `sequence` each scale does."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from parfocal.studies.sequence_tables import FINETUNE, JOINT, REPLAY, STRATEGIES
from parfocal.studies.study import Scale


@dataclass(frozen=True, slots=True)
class Plan:
    """What a scale does.

    Attributes:
        size: of the frame in pixels.
        patients: simulated at each instrument.
        strategies: in the sequence, and with all labels of the pair.
        labels: labelled training cases of the second instrument; 0: all.
        structures: which are learned.
        model, train, retrain: settings.
        exemplars: cases that the memory keeps of an instrument.
    """

    size: int
    patients: int
    strategies: tuple[str, ...]
    labels: tuple[int, ...]
    structures: tuple[str, ...]
    model: Mapping[str, Any]
    train: Mapping[str, Any]
    retrain: Mapping[str, Any]
    exemplars: int = 20

    @property
    def counted(self) -> tuple[str, ...]:
        """Strategies that are tried with few labels."""
        return tuple(name for name in (FINETUNE, REPLAY, JOINT) if name in self.strategies)


def plan_of(scale: Scale) -> Plan:
    """What a scale does."""
    mild: dict[str, Any] = {"rotation": 30.0, "shift": 0.08, "zoom": (0.85, 1.2)}

    def training(steps: int, batch: int, rate: float) -> dict[str, Any]:
        return {
            "steps": steps, "batch_size": batch, "learning_rate": rate, "validate_every": max(1, steps // 3),
            "augment": mild,
        }  # fmt: skip

    if scale == "paper":
        model = dict[str, Any](depth=6, width=40, increment=1.1)
        labels, structures = (5, 10, 20, 0), ("disc", "cup")
        return Plan(128, 200, STRATEGIES, labels, structures, model, training(2250, 96, 8e-4), training(450, 96, 4e-4))
    if scale == "quick":
        model = dict[str, Any](depth=5, width=16, increment=1.2, dropout_at="none")
        return Plan(
            96, 80, STRATEGIES, (5, 10, 20, 0), ("disc",), model, training(240, 12, 3e-3), training(60, 12, 1e-3)
        )
    model = dict[str, Any](depth=4, width=12, increment=1.2, dropout_at="none")
    return Plan(
        64, 40, (FINETUNE, REPLAY, JOINT), (0,), ("disc",), model, training(150, 8, 3e-3), training(30, 8, 1.5e-3)
    )


def pairs(plan: Plan) -> list[tuple[str, int]]:
    """Strategy and labels of the pair: all strategies with all labels, some with few."""
    few = [(name, labels) for labels in plan.labels if labels for name in plan.counted]
    return few + [(name, 0) for name in plan.strategies]
