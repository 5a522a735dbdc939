"""Settings of an evaluation."""

from __future__ import annotations

from pydantic import Field

from parfocal.core.config import Config


class EvaluateConfig(Config):
    """How bundles are scored and shown."""

    runtime: str = Field(default="auto", description="exported runtime that is scored: the one that will answer")
    overlays: int = Field(
        default=2,
        ge=0,
        description="best and worst cases shown an instrument and structure, each; of those whose radius is no longer "
        "within 10 % up to three times as many",
    )
    resamples: int = Field(default=4000, ge=200, description="bootstrap resamples of an interval in the report")
    clicks: int = Field(
        default=20, ge=1, description="clicks allowed a case when they are counted (NoC) of networks that answer them"
    )
    latency_images: int = Field(default=12, ge=1, description="images timed, one by one, a model")
