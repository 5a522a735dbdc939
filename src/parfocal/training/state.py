"""What a training has come to, what it gives, and what a checkpoint must share with the run that takes it up."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from torch import nn

from parfocal.core.protocols import CheckpointStore, Reporter, Run
from parfocal.memory.sampler import Sampler
from parfocal.objectives import Objective
from parfocal.preprocessing.shards import Arrays
from parfocal.training.config import TrainConfig
from parfocal.training.normalization import Weights

PACING = {"checkpoint_every", "checkpoint_seconds"}
"""Settings that may change between a checkpoint and its continuation."""
RESIDENT = "train.resident"
"""In a fingerprint, where the device changed the training pictures; what was asked for may have been `auto`."""


@dataclass(frozen=True, eq=False)
class Asked:
    """What one training is to do and whom it tells: the arguments of `engine.fit`."""

    model: nn.Module
    sampler: Sampler
    objective: Objective
    validation: Mapping[str, Arrays]
    config: TrainConfig
    reporter: Reporter
    run: Run
    stage: str
    store: CheckpointStore | None


@dataclass(frozen=True)
class FitResult:
    """What training gave.

    Attributes:
        weights: state dict on the CPU, of the validation with the best score; the last one if nothing was validated.
        history: one entry a validation: ``step``, ``loss`` and ``loss/<part>`` (means since the one before),
            ``learning_rate``, ``<score name>/<instrument>`` and ``score`` (their mean).
        steps_done: optimiser steps, those before a resume included.
        seconds: wall time of them, validations included.
        best_score: mean over instruments of the mean validation score; nan if nothing was validated.
        others: state dicts of the networks beside the main one, as they were at the end.
    """

    weights: Weights
    history: tuple[dict[str, float], ...]
    steps_done: int
    seconds: float
    best_score: float
    others: Mapping[str, Weights] = field(default_factory=dict)


@dataclass
class State:
    """All that changes in training and is neither in the model nor in the optimiser. JSON by `dataclasses.asdict`.

    Attributes:
        steps: how many there will be.
        done: how many there were.
        seconds: wall time of those, over all resumes.
        sums: of the loss and its parts over the steps since the last validation.
        loss_count: how many those are.
        history: see `FitResult`.
    """

    steps: int
    done: int = 0
    seconds: float = 0.0
    sums: dict[str, float] = field(default_factory=dict)
    loss_count: int = 0
    history: list[dict[str, float]] = field(default_factory=list)

    def best(self) -> float:
        """The best score so far, or nan."""
        return max(self.scores(), default=math.nan)

    def validations_since_best(self) -> int:
        """How many validations in a row did not beat the best score."""
        scores = self.scores()
        return len(scores) - 1 - scores.index(max(scores)) if scores else 0

    def scores(self) -> list[float]:
        """Of all validations, in order."""
        return [entry["score"] for entry in self.history if "score" in entry]


def fingerprint(
    model: nn.Module,
    sampler: Sampler,
    validation: Mapping[str, Arrays],
    config: TrainConfig,
    *,
    precision: str,
    world: int,
    resident: bool,
) -> dict[str, Any]:
    """Everything a resumed run must share with the one that was stopped, as JSON, under names for people."""
    weights = hashlib.sha256()
    for name, value in model.state_dict().items():
        weights.update(name.encode() + value.detach().cpu().contiguous().numpy().tobytes())
    settings = config.model_dump(mode="json", exclude=PACING | {"resident"})
    return {f"train.{key}": value for key, value in settings.items()} | {
        "initial weights": weights.hexdigest(),
        "training pictures": sampler.describe(),
        "validation pictures": {name: len(arrays) for name, arrays in validation.items()},
        "precision": precision,
        "processes": world,
        **({RESIDENT: True} if resident else {}),
    }


def differing(one: Mapping[str, Any], other: Mapping[str, Any]) -> list[str]:
    """Names under which two fingerprints differ, sorted."""
    absent = object()
    return sorted(key for key in one.keys() | other.keys() if one.get(key, absent) != other.get(key, absent))
