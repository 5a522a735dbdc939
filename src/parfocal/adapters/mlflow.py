"""Tracked runs on MLflow. MLflow is imported when it is first used, which takes seconds."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path

from parfocal.adapters.mlflow_client import Mlflow, quoted
from parfocal.core import manifest
from parfocal.core.errors import OutsideServiceError
from parfocal.core.protocols import Run

KEY, ERROR = "parfocal.key", "parfocal.error"
"""Tags of a run: the idempotency key, and the message of what stopped it."""

PARAMETER_BATCH, METRIC_BATCH = 100, 1000
PARAMETER_LENGTH, TAG_LENGTH = 6000, 5000
"""MLflow's own limits."""


class MlflowRun:
    """`parfocal.core.protocols.Run` on one MLflow run."""

    def __init__(self, mlflow: Mlflow, run_id: str) -> None:
        self._mlflow = mlflow
        self._id = run_id

    @property
    def id(self) -> str:
        return self._id

    def params(self, values: Mapping[str, object]) -> None:
        """Log parameters. MLflow never changes one: a value that differs from an earlier one becomes a tag."""
        from mlflow.entities import Param

        with self._mlflow.asked("take parameters"):
            known = self._mlflow.client.get_run(self._id).data.params
            texts = {name: str(value)[:PARAMETER_LENGTH] for name, value in values.items()}
            fresh = [Param(name, value) for name, value in texts.items() if name not in known]
            for start in range(0, len(fresh), PARAMETER_BATCH):
                self._mlflow.client.log_batch(self._id, params=fresh[start : start + PARAMETER_BATCH])
        self.tags({f"param.{name}": text for name, text in texts.items() if known.get(name, text) != text})

    def metrics(self, values: Mapping[str, float], step: int | None = None) -> None:
        from mlflow.entities import Metric

        now = int(datetime.now(UTC).timestamp() * 1000)
        with self._mlflow.asked("take metrics"):
            batch = [Metric(_metric_name(name), float(value), now, step or 0) for name, value in values.items()]
            for start in range(0, len(batch), METRIC_BATCH):
                self._mlflow.client.log_batch(self._id, metrics=batch[start : start + METRIC_BATCH])

    def tags(self, values: Mapping[str, str]) -> None:
        from mlflow.entities import RunTag

        if values:
            with self._mlflow.asked("take tags"):
                batch = [RunTag(name, str(value)[:TAG_LENGTH]) for name, value in values.items()]
                self._mlflow.client.log_batch(self._id, tags=batch)

    def artifact(self, path: Path, folder: str = "") -> None:
        """Attach a file, or what is in a folder, under `folder` of the run's artifacts."""
        with self._mlflow.asked("take an artifact"):
            log = self._mlflow.client.log_artifacts if path.is_dir() else self._mlflow.client.log_artifact
            log(self._id, str(path), folder or None)

    def text(self, content: str, name: str) -> None:
        with self._mlflow.asked("take a text"):
            self._mlflow.client.log_text(self._id, content, name)

    def dataset(self, folder: Path, context: str) -> None:
        """Record a dataset by name, checksum and place; its images stay where they are."""
        from mlflow.entities import Dataset, DatasetInput, InputTag

        sealed = manifest.read(folder, "dataset")
        source = json.dumps({"uri": folder.resolve().as_uri()})
        profile = json.dumps({"files": len(sealed.files), "checksum": sealed.checksum})
        entity = Dataset(folder.name, sealed.checksum[:32], "local", source, profile=profile)
        with self._mlflow.asked("take a dataset"):
            tags = [InputTag("mlflow.data.context", context)]
            self._mlflow.client.log_inputs(self._id, datasets=[DatasetInput(entity, tags)])


class MlflowTracker:
    """`parfocal.core.protocols.Tracker` on MLflow."""

    def __init__(self, uri: str, experiment: str, artifacts: Path | None = None) -> None:
        self._mlflow = Mlflow(uri, experiment, artifacts)

    @contextmanager
    def run(self, name: str, *, key: str = "", tags: Mapping[str, str] | None = None) -> Iterator[Run]:
        """Open a run, or join the one that MLFLOW_RUN_ID or `key` names.

        A run named by the environment belongs to whoever set it: it is logged into, and neither closed nor failed.
        Otherwise the run ends FINISHED, FAILED (with the message as tag ``parfocal.error``) or KILLED.
        """
        owned = not os.environ.get("MLFLOW_RUN_ID")
        with self._mlflow.asked("open a run"):
            run = MlflowRun(self._mlflow, os.environ.get("MLFLOW_RUN_ID") or self._open(name, key))
        run.tags({**({KEY: key} if key and owned else {}), **(tags or {})})
        try:
            yield run
        except BaseException as error:
            # The run's own trouble is what has to be reported, also when MLflow can no longer be told of it.
            with suppress(OutsideServiceError):
                run.tags({ERROR if owned else f"{ERROR}.{name}": f"{type(error).__name__}: {error}"})
                if owned:
                    self._close(run.id, "FAILED" if isinstance(error, Exception) else "KILLED")
            raise
        if owned:
            self._close(run.id, "FINISHED")

    def _open(self, name: str, key: str) -> str:
        client, experiment = self._mlflow.client, self._mlflow.experiment
        if key:
            found = client.search_runs([experiment], f"tags.`{KEY}` = {quoted(key)}", max_results=1)
            if found:
                client.update_run(found[0].info.run_id, status="RUNNING")
                return str(found[0].info.run_id)
        tags = {KEY: key} if key else {}
        return str(client.create_run(experiment, run_name=name, tags=tags).info.run_id)

    def _close(self, run_id: str, status: str) -> None:
        with self._mlflow.asked("close a run"):
            self._mlflow.client.set_terminated(run_id, status)


def _metric_name(name: str) -> str:
    """MLflow takes letters, digits and ``_-./: ``; instruments are named by people."""
    return "".join(c if c.isalnum() or c in "_-./: " else "_" for c in name)
