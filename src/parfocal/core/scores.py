"""What `evaluate` measured, as `promote` reads it: scores by case, never only their means."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field

from parfocal.core import formats, manifest
from parfocal.core.config import Config
from parfocal.core.errors import DataContractError

EVALUATION = "scores.json"


class CaseScore(Config):
    """One model on one structure of one frozen test case."""

    instrument: str
    structure: str
    case: str
    patient: str
    metrics: dict[str, float] = Field(
        description="dice, iou in [0, 1]; hausdorff, hd95 in pixels; radii_ratio; cdr_error and so on"
    )


class FrozenTest(Config):
    """The test cases of one instrument."""

    checksum: str = Field(description="over case ids, images and masks, of all datasets of the instrument")
    cases: int
    patients: int
    uses: int = Field(description="how many decisions had used exactly these test cases before this one")


class MatrixRow(Config):
    """One row of R: after learning `learned`, the mean Dice of a model by instrument and structure."""

    model: str = Field(description="checksum of the bundle")
    learned: str = Field(description="instrument learned in this step")
    dice: dict[str, dict[str, float]] = Field(description="instrument -> structure -> mean Dice")


class Evaluation(Config):
    """Contents of scores.json."""

    schema_version: int = 1
    task: str
    challenger: str = Field(description="checksum of the bundle that was judged")
    champion: str | None = Field(default=None, description="checksum of the bundle it was judged against")
    new_instrument: str = Field(description="the instrument learned last")
    scores: dict[str, tuple[CaseScore, ...]] = Field(
        description="challenger, champion (if any) and constant (the constant mask, the rival that sees no image)"
    )
    tests: dict[str, FrozenTest] = Field(description="by instrument")
    latency_ms: dict[str, float] = Field(description="median of one image through the cascade, by model")
    agreement: dict[str, float] = Field(description="structure -> Dice between exported and trained network")
    runtime: str = Field(description="the exported runtime that was scored")
    matrix: tuple[MatrixRow, ...] = Field(description="R, one row a promoted model, the challenger's last")


def read(folder: Path) -> Evaluation:
    """Read a sealed evaluation folder.

    Raises:
        DataContractError: it is not whole, or not an evaluation.
    """
    manifest.verify(folder, "evaluation")
    file = Path(folder) / EVALUATION
    try:
        return formats.read(Evaluation, file)
    except (OSError, ValueError) as error:
        raise DataContractError(f"{EVALUATION} cannot be read: {error}", where=file) from None
