"""The numbers of the gate, each with its unit and why it is what it is."""

from __future__ import annotations

from pydantic import Field

from parfocal.core.config import Config
from parfocal.evaluation.statistics import Method


class GatePolicy(Config):
    """What a challenger must show before it may answer. Scores are Dice in [0, 1] unless said otherwise."""

    level: float = Field(
        default=0.93,
        gt=0.5,
        lt=1,
        description="nominal level of the two-sided intervals; with 20 patients up and differences as skewed as those "
        "of retrains, each end of a studentised 93 % interval is a one-sided bound that holds 95 % (docs/adr/0017)",
    )
    interval: Method = Field(
        default="studentised",
        description="bootstrap of the intervals: studentised, or bca, which is narrower and promotes more harm than "
        "it declares where differences are skewed (docs/adr/0017)",
    )
    resamples: int = Field(default=4000, ge=1000, description="bootstrap samples behind an interval")
    margin: float = Field(
        default=0.02,
        gt=0,
        description="Dice an old cell may lose at the lower bound; half the difference between two graders",
    )
    creep: float = Field(
        default=0.03,
        gt=0,
        description="Dice an old cell may lie under the best ever promoted there; losses within the margin add up",
    )
    useful_gain: float = Field(
        default=0.01,
        ge=0,
        description="Dice; when no gain is shown and one of this size is ruled out, the challenger learned nothing "
        "worth a change and is refused, not referred to a person",
    )
    rrp_points: float = Field(
        default=5.0,
        ge=0,
        description="percentage points of rrp10 (images with the radius within 10 %) a cell may lose, net; "
        "one case is always allowed",
    )
    failure_dice: float = Field(
        default=0.5, ge=0, le=1, description="Dice under which a mask misleads whoever reads it"
    )
    failure_rise: int = Field(
        default=1, ge=0, description="cases by which a cell's failures may rise; a mean can hide two new ones"
    )
    min_patients: int = Field(
        default=20,
        ge=2,
        description="test patients a cell needs; with fewer a bootstrap interval does not hold its level",
    )
    floor: float = Field(
        default=0.5, ge=0, le=1, description="mean Dice a structure without an entry in `floors` must reach"
    )
    floors: dict[str, float] = Field(
        default={"disc": 0.75, "cup": 0.55},
        description="mean Dice by structure on the new instrument (a first model: everywhere); "
        "under it a cup-to-disc ratio is noise",
    )
    latency_ms: float = Field(
        default=500.0, gt=0, description="milliseconds, median of one image through the cascade; a person waits for it"
    )
    latency_ratio: float = Field(
        default=2.0,
        gt=0,
        description="times the champion's median; a retrain keeps the network, so more than the noise of a "
        "shared machine means that the export went wrong",
    )
    agreement: float = Field(
        default=0.99,
        ge=0,
        le=1,
        description="Dice between exported and trained network; a sound export reaches 0.999",
    )
    unserved: bool = Field(
        default=False,
        description="a bundle that the segmenter cannot answer a picture with, for it sees neighbouring slices or "
        "answers clicks, may replace one that it can, or be the first although it answers clicks; true where no "
        "segmenter answers for the registry",
    )
    seed: int = Field(default=0, description="of the bootstrap, so that an evaluation has one decision")

    def floor_of(self, structure: str) -> float:
        """Mean Dice that the structure must reach."""
        return self.floors.get(structure, self.floor)
