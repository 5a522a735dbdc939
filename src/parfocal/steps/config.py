"""One file describes a run. Each section is owned by the class that uses it; here they are only put together."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from parfocal.core.config import Config
from parfocal.drift.reference import DriftConfig
from parfocal.evaluation.config import EvaluateConfig
from parfocal.inference.config import SegmentConfig
from parfocal.inference.export import ExportConfig
from parfocal.models import ModelConfig
from parfocal.objectives import ObjectiveConfig
from parfocal.preprocessing.ingest import DataConfig
from parfocal.preprocessing.recipes import AnyRecipe, Recipe
from parfocal.preprocessing.split import SplitConfig
from parfocal.preprocessing.static_augmentation import StaticAugmentationConfig
from parfocal.promotion.policy import GatePolicy
from parfocal.steps.elsewhere import ExecutorConfig
from parfocal.strategies import StrategyConfig
from parfocal.training.config import TrainConfig


class PretrainConfig(TrainConfig):
    """How an encoder is pretrained; its objective is restore, localize or cycle."""

    objective: ObjectiveConfig = Field(
        default_factory=lambda: ObjectiveConfig(name="restore"), description="what a step optimises"
    )


class RetrainingConfig(TrainConfig):
    """Shorter and gentler than a first training: the papers retrain for three epochs."""

    steps: int = Field(default=200, ge=1, description="optimiser steps")
    learning_rate: float = Field(default=5e-4, gt=0, description="the optimiser's rate at the schedule's peak")


class RetrainConfig(Config):
    """How a champion learns a new dataset."""

    strategy: StrategyConfig = Field(default_factory=StrategyConfig)
    train: RetrainingConfig = Field(default_factory=RetrainingConfig)
    selection: Literal["random", "reservoir", "gradient-norm", "important-diverse"] = Field(
        default="random",
        description="which cases are kept (docs/adr/0008): any; of all that ever came each as likely; those with the "
        "steepest loss; the hardest that are unlike one another",
    )
    exemplars: int = Field(
        default=20, ge=0, description="cases an instrument keeps a structure; patients' images, so few"
    )
    exemplars_in_all: int | None = Field(
        default=None,
        ge=1,
        description="cases a structure keeps over all instruments, which shrink evenly when it is full; with one "
        "network for several structures they count together; none: no bound",
    )


class RunConfig(Config):
    """Everything that decides a run's result. Addresses and secrets are not here but in the environment."""

    task: str = Field(default="fundus", description="what is segmented")
    seed: int = Field(default=0, ge=0, description="of every random choice: split excepted, which has its own key")
    data: DataConfig = Field(default_factory=DataConfig)
    recipe: AnyRecipe = Field(default_factory=lambda: Recipe.parse({}))
    split: SplitConfig = Field(default_factory=SplitConfig)
    static_augmentation: StaticAugmentationConfig = Field(default_factory=StaticAugmentationConfig)
    model: ModelConfig = Field(default_factory=ModelConfig)
    pretrain: PretrainConfig = Field(default_factory=PretrainConfig)
    train: TrainConfig = Field(default_factory=TrainConfig)
    retrain: RetrainConfig = Field(default_factory=RetrainConfig)
    export: ExportConfig = Field(default_factory=ExportConfig)
    evaluate: EvaluateConfig = Field(default_factory=EvaluateConfig)
    gate: GatePolicy = Field(default_factory=GatePolicy)
    drift: DriftConfig = Field(default_factory=DriftConfig)
    segment: SegmentConfig = Field(default_factory=SegmentConfig)
    executor: ExecutorConfig = Field(default_factory=ExecutorConfig)
