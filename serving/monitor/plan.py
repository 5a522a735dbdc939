"""How this installation retrains: its policy, its pipeline, its settings of a run, and where runs go."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from parfocal_serving.monitor.outgoing import Outgoing
from parfocal_serving.monitor.references import Champion
from parfocal_serving.monitor.settings import MonitorSettings

from parfocal.adapters import kubeflow
from parfocal.core.errors import UsageError
from parfocal.core.protocols import Launcher
from parfocal.steps.config import RunConfig
from parfocal.triggers.policy import TriggerConfig


@dataclass(frozen=True)
class Plan:
    """How this installation retrains.

    Attributes:
        again: look at standing alarms without being told; Alertmanager does it otherwise.
        by_folder: the pipeline reads the champion from its fetched folder, not from where the registry keeps it.
        outgoing: stores what the pipeline reads, where there is a storage.
    """

    task: str
    config: TriggerConfig
    pipeline: Path
    run: RunConfig
    launcher: Launcher
    again: bool
    by_folder: bool
    outgoing: Outgoing | None = None

    @classmethod
    def of(cls, settings: MonitorSettings) -> Plan:
        """What the settings say.

        Raises:
            UsageError: they name a pipeline or a file that is not there, or another task's settings.
        """
        local = settings.launcher == "local"
        run = RunConfig.load(settings.run_config)
        if run.task != settings.task:
            raise UsageError(
                f"the settings of a retrain are for {run.task}, this monitor watches {settings.task}",
                where=settings.run_config or "PARFOCAL_TASK",
            )
        return cls(
            task=settings.task,
            config=settings.trigger,
            pipeline=kubeflow.pipeline(settings.pipeline).absolute(),
            run=run,
            launcher=kubeflow.LocalLauncher(settings.state.resolve() / "runs")
            if local
            else kubeflow.KubeflowLauncher(),
            again=settings.trigger_path == "monitor",
            by_folder=local,
            outgoing=Outgoing(settings.storage, settings.task, settings.serving) if settings.storage else None,
        )

    def arguments(self, instrument: str, champion: Champion, experience: Path, key: str) -> dict[str, str]:
        """Exactly what the pipeline gets."""
        data = self.run.data.model_copy(update={"instrument": instrument})
        stored = self.outgoing
        named = stored.champion(champion) if stored else champion.uri
        return {
            "config": self.run.model_copy(update={"data": data}).canonical_json(),
            "experience_uri": stored.experience(instrument, int(experience.name)) if stored else str(experience),
            "champion_uri": champion.folder if self.by_folder else named,
            "idempotency_key": key,
        }
