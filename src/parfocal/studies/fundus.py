"""What the studies of papers 000 and 001 share: two instruments, their splits, the papers' training."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from parfocal.core.types import Split
from parfocal.studies.frames import LEARNED, Frames, frames
from parfocal.studies.study import Data, Need, Scale

ROLES = ("first", "second")
SPLIT = {"initial": (70, 5, 25)}
"""Percent. What is called validation is learned from too: the papers' 75 / 25."""


@dataclass(frozen=True, slots=True)
class Protocol:
    """How much of the papers' training a scale does.

    Attributes:
        size: of the frame in pixels.
        patients: simulated at the first and at the second instrument; the papers have 101 and 159 images.
        shrink: divides the width of every network.
        depth: deepest network; deeper ones are left out.
        dropout: rate in every block; the papers have 0.3.
        train: values of `TrainConfig`.
        epoch: steps of an epoch.
        epochs: of a first training; a retraining takes 3.
    """

    size: int
    patients: tuple[int, int]
    shrink: int
    depth: int
    dropout: float
    train: Mapping[str, Any]
    epoch: int
    epochs: int = 15

    def training(self, epochs: int | None = None, *, rate: float = 1.0) -> dict[str, Any]:
        """Values of a `TrainConfig` for so many epochs at `rate` times the learning rate."""
        steps = self.epoch * (epochs or self.epochs)
        peak = float(self.train["learning_rate"]) * rate
        return {**self.train, "learning_rate": peak, "steps": steps, "validate_every": steps}

    def model(self, depth: int, width: int, increment: float) -> dict[str, Any]:
        """Values of a `ModelConfig`: D / W / IR."""
        return {
            "depth": min(depth, self.depth),
            "width": width // self.shrink,
            "increment": increment,
            "dropout": self.dropout,
            "dropout_at": "every" if self.dropout else "none",
        }


def protocol(scale: Scale, *, batch: int, epoch: int, learning_rate: float) -> Protocol:
    """The paper's numbers at scale ``paper``, and what two cores can do at the others."""
    mild = {"rotation": 30.0, "shift": 0.08, "zoom": (0.85, 1.2)}
    short = {"batch_size": 12, "learning_rate": 3e-3, "schedule": "one-cycle", "augment": mild}
    if scale == "paper":
        train = {"batch_size": batch, "learning_rate": learning_rate, "schedule": "constant"}
        return Protocol(128, (101, 159), 1, 7, 0.3, train, epoch)
    if scale == "quick":
        return Protocol(128, (101, 101), 2, 7, 0.0, short, 24)
    return Protocol(64, (24, 24), 5, 5, 0.0, {**short, "batch_size": 8}, 4)


def needs(plan: Protocol) -> tuple[Need, ...]:
    """Two instruments; simulated, a table-top camera and a scanning laser."""
    settings = {"recipe": {"size": plan.size}, "split": SPLIT}
    return tuple(
        Need(
            role=role,
            label=f"camera {camera}",
            task="fundus",
            phantom={"instrument": camera, "patients": [first, count], "seed": 0},
            settings=settings,
        )
        for role, camera, first, count in zip(ROLES, "AB", (0, 1000), plan.patients, strict=True)
    )


def learned(data: Data, structure: str) -> Frames:
    """The 75 %, static copies included."""
    return frames(data, structure, *LEARNED)


def tested(data: Data, structure: str) -> Frames:
    """The 25 %."""
    return frames(data, structure, Split.TEST)


def cuts(scale: Scale, plan: Protocol, full: Protocol) -> tuple[str, ...]:
    """What a scale cuts, from the numbers themselves."""
    if scale == "paper":
        return ()
    batch, whole = plan.train["batch_size"], full.train["batch_size"]
    said = [
        f"{plan.epoch * plan.epochs} steps of {batch} images, for {full.epoch * full.epochs} of {whole}",
        "a learning rate that rises and falls (one-cycle) for the papers' constant one, so that few steps suffice",
        "milder shifts, turns and zooms",
        f"networks 1/{plan.shrink} as wide",
    ]
    if plan.size != full.size:
        said.append(f"frames of {plan.size} x {plan.size} pixels, for {full.size} x {full.size}")
    if plan.patients != full.patients:
        said.append(f"{plan.patients[0]} and {plan.patients[1]} simulated patients, for {_and(full.patients)}")
    if plan.dropout != full.dropout:
        said.append(f"no dropout, for {full.dropout} in every block: few steps overfit nothing")
    if plan.depth < full.depth:
        said.append(f"networks of more than {plan.depth} levels")
    return tuple(said)


def _and(numbers: Sequence[int]) -> str:
    return " and ".join(map(str, numbers))
