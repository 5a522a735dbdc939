"""What the demo learns from, and how long it learns."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from parfocal.steps.config import RunConfig

COMMON = {"batch_size": 8, "augment": {"rotation": 30, "shift": 0.08, "zoom": [0.85, 1.2]}}
SETTINGS: dict[str, Any] = {
    "model": {"dropout_at": "bottom"},
    "train": {**COMMON, "steps": 220, "steps_for": {"cup": 150}, "learning_rate": 0.002, "validate_every": 40},
    "retrain": {
        "train": {**COMMON, "steps": 320, "steps_for": {"cup": 300}, "learning_rate": 0.0012, "validate_every": 40},
    },
}
"""A budget for ten minutes, 7,920 pictures in all; `parfocal train` alone has the papers' stronger augmentation."""


@dataclass(frozen=True, slots=True)
class Population:
    """Numbers of the simulated patients of one camera. No patient is in two of these sets, nor at two cameras.

    Attributes:
        labelled: of the experience that is learned from and judged on.
        unlabelled: delivered without masks; drift is measured against them.
        traffic: photographed when they come to the endpoint.
    """

    labelled: range
    unlabelled: range
    traffic: range


POPULATIONS = {
    "A": Population(range(320), range(10_000, 11_000), range(22_000, 30_000)),
    "B": Population(range(1000, 1120), range(11_000, 11_200), range(30_000, 40_000)),
}
"""80 labelled patients of A and 60 of B are test patients: with fewer the gate could not tell a true equal from a loss.
The 1,000 unlabelled of A are the reference that a declared run length of 20,000 needs."""

QUIET = 200
"""Cases of the known camera that must pass without an alarm."""
PATIENCE = 60
"""Cases of the new camera after which the demo stops waiting for an alarm."""
AFTERWARDS = 60
"""Cases of the new camera that the promoted model is watched on."""


def run_config(instrument: str = "") -> RunConfig:
    """The demo's settings for a run on one instrument."""
    from parfocal.steps.config import RunConfig

    return RunConfig.parse({**SETTINGS, "data": {"instrument": instrument}}, where="demo")


def pictures() -> int:
    """How many pictures training sees in all."""
    config = run_config("A")
    parts = (config.train, config.retrain.train)
    return sum(train.for_structure(name).steps * train.batch_size for train in parts for name in ("disc", "cup"))
