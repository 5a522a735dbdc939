"""What the demo learns from, and how long it learns."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from parfocal.steps.config import RunConfig
    from parfocal.training.config import TrainConfig

COMMON: dict[str, Any] = {"batch_size": 8, "augment": {"rotation": 30, "shift": 0.08, "zoom": [0.85, 1.2]}}
SETTINGS: dict[str, Any] = {
    "model": {"dropout_at": "bottom"},
    "train": {**COMMON, "steps": 220, "steps_for": {"cup": 150}, "learning_rate": 0.002, "validate_every": 40},
    "retrain": {
        "train": {**COMMON, "steps": 360, "steps_for": {"cup": 320}, "learning_rate": 0.0006, "validate_every": 40},
    },
}
"""A budget for ten minutes, 8,400 pictures in all; `parfocal train` alone has the papers' stronger augmentation."""

PHOTOGRAPHS: dict[str, Any] = {**SETTINGS["train"], "steps": 320, "steps_for": {"cup": 360}}
"""How a first model learns real photographs: with the phantoms' 150 steps the cup's network of 49 training patients was
no better than the constant mask, and the gate refused it."""


CLICKS: dict[str, Any] = {
    "model": SETTINGS["model"],
    "train": {
        **COMMON, "steps": 240, "learning_rate": 0.002, "validate_every": 80,
        "objective": {"name": "interact", "max_clicks": 3},
        "augment": {**COMMON["augment"], "brightness": 40, "contrast": 0.4},
    },
}  # fmt: skip
"""How the model that answers clicks learns, for `--annotate`. It is asked about cameras that it has not seen, and where
tones vary little in training it trusts them more than the clicks (`benchmarks/click_corrections.py`)."""
DIALOGUE = 1.7
"""A picture of a dialogue of one to three clicks takes so many times what a plain one does."""


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
RETRAIN_MINUTES = 60
"""After which a retrain that has not ended is given up."""


def run_config(instrument: str = "") -> RunConfig:
    """The demo's settings for a run on one instrument."""
    from parfocal.steps.config import RunConfig

    train = SETTINGS["train"] if instrument in ("", *POPULATIONS) else PHOTOGRAPHS
    return RunConfig.parse({**SETTINGS, "train": train, "data": {"instrument": instrument}}, where="demo")


def clicks_config(instrument: str) -> RunConfig:
    """Settings of the model that answers clicks."""
    from parfocal.steps.config import RunConfig

    return RunConfig.parse({**CLICKS, "data": {"instrument": instrument}}, where="demo")


def pictures(instrument: str, *, clicks: bool = False) -> int:
    """How many pictures training sees in all, when this instrument is the first; with a model for clicks or without."""
    config = run_config(instrument)
    found = _pictures(config.train) + _pictures(config.retrain.train)
    return found + (int(DIALOGUE * _pictures(clicks_config(instrument).train)) if clicks else 0)


def _pictures(train: TrainConfig) -> int:
    return sum(train.for_structure(name).steps * train.batch_size for name in ("disc", "cup"))
