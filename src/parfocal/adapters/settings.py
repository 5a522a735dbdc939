"""Addresses and secrets, from the environment and nowhere else. How a run behaves is configuration, not this."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict


class Settings(BaseSettings):
    """Where state, registry and ledger are. With nothing set, all of it is in one folder on this machine."""

    model_config = SettingsConfigDict(frozen=True, extra="ignore", env_ignore_empty=True, populate_by_name=True)

    state: Path = Field(
        default=Path("parfocal-state"),
        validation_alias="PARFOCAL_STATE",
        description="folder of checkpoints, fetched models and, unless the next two say otherwise, the databases; "
        "under the working directory, so that nothing is written where nobody looks",
    )
    database_url: str = Field(
        default="",
        validation_alias="PARFOCAL_DATABASE_URL",
        description="SQLAlchemy URL of the ledger; default: SQLite in the state folder",
    )
    tracking_uri: str = Field(
        default="",
        validation_alias="MLFLOW_TRACKING_URI",
        description="of MLflow, runs and registry; default: SQLite in the state folder",
    )
    experiment: str = Field(
        default="parfocal", validation_alias="PARFOCAL_EXPERIMENT", description="MLflow experiment of new runs"
    )

    task: str = Field(default="fundus", validation_alias="PARFOCAL_TASK", description="what this installation serves")
    monitor_url: str = Field(
        default="",
        validation_alias="PARFOCAL_MONITOR_URL",
        description="of the monitor, to which the segmenter sends what it observes; empty: nothing is sent",
    )
    token: str = Field(
        default="",
        validation_alias="PARFOCAL_TOKEN",
        description="bearer token that the monitor demands of whoever writes; empty: it hears this machine alone",
    )

    @property
    def serving(self) -> Path:
        """Folder of the champion that answers here: current.json and the fetched bundles."""
        return self.state.resolve() / "serving" / self.task

    @property
    def ledger_url(self) -> str:
        """The ledger's database, whether named or the default one."""
        return self.database_url or f"sqlite:///{self.state.resolve() / 'parfocal.db'}"

    @property
    def mlflow_uri(self) -> str:
        """MLflow, whether named or the default one."""
        return self.tracking_uri or f"sqlite:///{self.state.resolve() / 'mlflow.db'}"

    @property
    def artifacts(self) -> Path | None:
        """Folder of the artifacts when MLflow is only a database; a server decides for itself (None)."""
        server = self.tracking_uri.startswith(("http:", "https:", "databricks"))
        return None if server else self.state.resolve() / "mlflow-artifacts"
