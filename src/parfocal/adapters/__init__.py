"""The only files that know MLflow, Kubeflow and databases. `connect` gives the rest of the program what it asked for.

Nothing is imported or opened before it is used: whoever asks for the ledger never waits for MLflow.
"""

from __future__ import annotations

from functools import cached_property
from importlib.util import find_spec
from typing import TYPE_CHECKING

from parfocal.adapters.settings import Settings
from parfocal.core.errors import UsageError
from parfocal.core.untracked import Untracked
from parfocal.training import place

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

    from parfocal.core.protocols import CheckpointStore, Executor, Ledger, ModelStore, Tracker

__all__ = ["Platform", "Settings", "connect"]


class Platform:
    """The protocols of `parfocal.core.protocols` on the systems that the settings name, each built on first use."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings

    @cached_property
    def tracker(self) -> Tracker:
        if place.follows():
            return Untracked()
        _need("mlflow")
        from parfocal.adapters.mlflow import MlflowTracker

        return MlflowTracker(self.settings.mlflow_uri, self.settings.experiment, self.settings.artifacts)

    @cached_property
    def models(self) -> ModelStore:
        _need("mlflow")
        from parfocal.adapters.mlflow_models import MlflowModelStore

        return MlflowModelStore(self.settings.mlflow_uri, self.settings.experiment, self.settings.artifacts)

    @cached_property
    def ledger(self) -> Ledger:
        _need("sqlalchemy")
        from parfocal.adapters.database import SqlLedger

        return SqlLedger(self.settings.ledger_url)

    @cached_property
    def executor(self) -> Executor:
        _need("kubernetes")
        from parfocal.adapters.kubeflow_trainer import TrainJobExecutor

        return TrainJobExecutor()

    def checkpoints(self, key: str) -> AbstractContextManager[CheckpointStore | None]:
        """Where a key's checkpoints are kept for pods of other nodes (PARFOCAL_CHECKPOINTS); None without one."""
        from parfocal.adapters.storage_checkpoints import kept

        return kept(self.settings.state, key)


def connect(settings: Settings | None = None) -> Platform:
    """The platform of these settings, by default of the environment. Connects to nothing yet."""
    return Platform(settings or Settings())


def _need(package: str) -> None:
    """Look for a package of the extra `platform` without importing it."""
    if find_spec(package) is None:
        raise UsageError(f"{package} is not installed", next="pip install 'parfocal[platform]'")
