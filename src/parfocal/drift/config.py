"""How drift is looked for; part of the run that makes a bundle, and fixed with it."""

from __future__ import annotations

from pydantic import Field, field_validator

from parfocal.core.config import Config
from parfocal.drift import FAMILY
from parfocal.drift.run_length import arl0_for


class DriftConfig(Config):
    """How drift is looked for; part of the run that makes a bundle, and fixed with it."""

    streams: tuple[str, ...] = Field(
        default=("appearance", "framing", "plausibility", "acquisition"), description="members of the family `drift`"
    )
    components: int = Field(default=16, ge=1, description="principal components kept of a stream, at most")
    shrinkage: float = Field(default=0.1, gt=0, le=1, description="part by which variances are pulled to their mean")
    folds: int = Field(
        default=10, ge=2, le=100, description="parts; each is scored by a model that was fitted to the others"
    )
    k: float = Field(
        default=0.5, ge=0, description="allowance of the CUSUM, in standard deviations; half the shift to be found"
    )
    arl0: float = Field(
        default=20_000, gt=1, description="cases to a false alarm of one stream; its rate is averaged over references"
    )
    cases_a_day: float | None = Field(
        default=None,
        gt=0,
        description="of the installation; given, `arl0` follows from `false_alarms_a_month` and the number of streams",
    )
    false_alarms_a_month: float = Field(default=1.0, gt=0, description="of the installation, over all streams")
    window: int = Field(
        default=32, ge=2, le=1000, description="newest cases whose appearance is held against the reference together"
    )

    @field_validator("streams")
    @classmethod
    def _known(cls, streams: tuple[str, ...]) -> tuple[str, ...]:
        if not streams or len(set(streams)) < len(streams) or not set(streams) <= set(FAMILY):
            raise ValueError(f"{list(streams)}: expected at least one, each once, of {', '.join(FAMILY)}")
        return streams

    def declared(self, detectors: int) -> float:
        """Cases to a false alarm of one detector, when so many look at every case; above 1."""
        if self.cases_a_day is None:
            return self.arl0
        return max(arl0_for(self.false_alarms_a_month, self.cases_a_day, detectors), 1.0 + 1e-9)
