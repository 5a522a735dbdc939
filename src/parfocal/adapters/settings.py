"""Addresses and secrets, from the environment and nowhere else. How a run behaves is configuration, not this."""

from __future__ import annotations

import ipaddress
from pathlib import Path
from typing import Self

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
    storage: str = Field(
        default="",
        validation_alias="PARFOCAL_STORAGE",
        description="address below which experiences, and what pipelines make, are stored, such as "
        "s3://bucket/parfocal or file:///mnt/parfocal (AWS_ENDPOINT_URL and the usual keys); empty: folders alone",
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
    tasks: str = Field(
        default="",
        validation_alias="PARFOCAL_TASKS",
        description="what one service answers for, as in `fundus,lung`; the first where a request names none; empty: "
        "PARFOCAL_TASK alone",
    )
    canary: float = Field(
        default=0.0,
        ge=0,
        le=1,
        validation_alias="PARFOCAL_CANARY",
        description="fraction of the patients whom the model under the alias `challenger` answers",
    )
    shadow: float = Field(
        default=0.0,
        ge=0,
        le=1,
        validation_alias="PARFOCAL_SHADOW",
        description="fraction of the champion's answers that the challenger computes too, for the metrics alone",
    )
    monitor_url: str = Field(
        default="",
        validation_alias="PARFOCAL_MONITOR_URL",
        description="of the monitor, to which the segmenter sends what it observes; empty: nothing is sent",
    )
    token: str = Field(
        default="",
        validation_alias="PARFOCAL_TOKEN",
        description="the installation's own bearer token, by which its services know one another and Alertmanager",
    )
    tokens: Path | None = Field(
        default=None,
        validation_alias="PARFOCAL_TOKENS",
        description="file of everybody's tokens, kept by `parfocal token`; default: tokens.json in the state folder",
    )
    open: bool = Field(
        default=False,
        validation_alias="PARFOCAL_OPEN",
        description="for development: no tokens, and nobody but this machine is served",
    )
    tls_certificate: Path | None = Field(
        default=None,
        validation_alias="PARFOCAL_TLS_CERTIFICATE",
        description="PEM file of segmenter's and monitor's certificate and its chain; with it they speak HTTPS alone",
    )
    tls_key: Path | None = Field(
        default=None, validation_alias="PARFOCAL_TLS_KEY", description="PEM file of the certificate's private key"
    )

    @property
    def served(self) -> tuple[str, ...]:
        """Every task that this installation serves, the first one first."""
        return tuple(dict.fromkeys(name.strip() for name in self.tasks.split(",") if name.strip())) or (self.task,)

    def each(self) -> tuple[Self, ...]:
        """These settings for every task."""
        return tuple(self.model_copy(update={"task": name}) for name in self.served)

    @property
    def serving(self) -> Path:
        """Folder of the champion that answers here: current.json and the fetched bundles."""
        return self.state.resolve() / "serving" / self.task

    @property
    def token_file(self) -> Path:
        """Everybody's tokens, as salted hashes."""
        return self.tokens or self.state.resolve() / "tokens.json"

    @property
    def scheme(self) -> str:
        """Of segmenter and monitor."""
        return "https" if self.tls_certificate else "http"

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


def loopback(host: str) -> bool:
    """Whether a client's or a listening address is this machine alone."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
