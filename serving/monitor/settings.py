"""What the monitor is told by its environment: addresses, secrets, and how this installation decides."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import Field

from parfocal.adapters.settings import Settings
from parfocal.triggers.policy import TriggerConfig


class MonitorSettings(Settings):
    """Read once when the service starts."""

    trigger_path: Literal["alertmanager", "monitor"] = Field(
        default="alertmanager",
        validation_alias="PARFOCAL_TRIGGER_PATH",
        description="what wakes the trigger at an alarm: Alertmanager's webhook, or the monitor itself where there is "
        "no Prometheus",
    )
    trigger: TriggerConfig = Field(
        default_factory=TriggerConfig,
        validation_alias="PARFOCAL_TRIGGER",
        description='when a retrain may start, as JSON: {"minimum_cases": 30, "dry_run": false}',
    )
    launcher: Literal["local", "kubeflow"] = Field(
        default="local",
        validation_alias="PARFOCAL_LAUNCHER",
        description="where a retrain runs: on this machine, or by a Kubeflow Pipelines API (PARFOCAL_KFP_*)",
    )
    pipeline: str = Field(
        default="continual",
        validation_alias="PARFOCAL_PIPELINE",
        description="name of the pipeline that a retrain is, or a compiled file",
    )
    run_config: Path | None = Field(
        default=None,
        validation_alias="PARFOCAL_RUN_CONFIG",
        description="YAML or JSON file of a retrain's settings, data.instrument apart; default: the program's defaults",
    )
    arl0: float | None = Field(
        default=None,
        gt=1,
        validation_alias="PARFOCAL_ARL0",
        description="cases of one stream between two false alarms; default: what the reference declares",
    )
    segmenter_url: str = Field(
        default="http://127.0.0.1:3000",
        validation_alias="PARFOCAL_SEGMENTER_URL",
        description="of the segmenter, whose models help on the annotation page; away, cases are drawn by hand",
    )
    retention_days: float = Field(
        default=400,
        gt=0,
        validation_alias="PARFOCAL_RETENTION_DAYS",
        description="days for which observations are kept; decisions and runs are kept for ever",
    )
    upload_mb: float = Field(
        default=100,
        gt=0,
        validation_alias="PARFOCAL_MONITOR_UPLOAD_MB",
        description="largest request body in megabytes (10^6 bytes): a photograph with its masks",
    )
    megapixels: float = Field(
        default=50,
        gt=0,
        validation_alias="PARFOCAL_MONITOR_MEGAPIXELS",
        description="largest photograph or mask in millions of pixels, checked before a pixel is decoded: 3 bytes each",
    )

    webhook_secret: str = Field(
        default="",
        validation_alias="PARFOCAL_WEBHOOK_SECRET",
        description="with which MLflow signs its webhook; empty: no call of it is believed",
    )

    @property
    def monitor_database(self) -> str:
        """The named database, or SQLite in the state folder: a file that the ledger's writers never lock."""
        return self.database_url or f"sqlite:///{self.state.resolve() / 'monitor.db'}"
