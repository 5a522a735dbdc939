"""What runs and models share of MLflow: the client, the experiment, and failures turned into ours."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import Any
from urllib.parse import urlparse

from parfocal.core.errors import OutsideServiceError, UsageError
from parfocal.core.locks import alone

DEFAULTS = {
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2",
    "MLFLOW_HTTP_REQUEST_BACKOFF_FACTOR": "1",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "20",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
    "MLFLOW_LOGGING_LEVEL": "WARNING",
    "MLFLOW_DISABLE_TELEMETRY": "true",
}
"""Seconds to find that a server is down, where MLflow would try for minutes; nothing of MLflow's on our standard
output, which may be JSON; no word about a clinic to MLflow's makers. Whoever sets one of them has it their way."""


class Mlflow:
    """A client, its experiment, and errors turned into ours."""

    def __init__(self, uri: str, experiment: str, artifacts: Path | None) -> None:
        self.uri = uri
        self._experiment = experiment
        self._artifacts = artifacts

    @cached_property
    def client(self) -> Any:
        for name, value in DEFAULTS.items():
            os.environ.setdefault(name, value)
        _reach_database(self.uri)
        from mlflow.tracking import MlflowClient

        file = _embedded(self.uri)
        if file is None:
            return MlflowClient(self.uri, self.uri)
        # Each makes the tables where there are none, and two at once would get in each other's way.
        with alone(file.with_name(f"{file.name}.lock")):
            client = MlflowClient(self.uri, self.uri)
            client.search_experiments(max_results=1)
            client.search_registered_models(max_results=1)
        return client

    @cached_property
    def experiment(self) -> str:
        """The experiment's id; it is made when it is not there."""
        if found := os.environ.get("MLFLOW_EXPERIMENT_ID"):
            return found
        known = self.client.get_experiment_by_name(self._experiment)
        if known is None:
            from mlflow.exceptions import MlflowException

            location = str(self._artifacts) if self._artifacts else None
            try:
                return str(self.client.create_experiment(self._experiment, artifact_location=location))
            except MlflowException:  # another process may have been quicker
                known = self.client.get_experiment_by_name(self._experiment)
                if known is None:
                    raise
        return str(known.experiment_id)

    @contextmanager
    def asked(self, what: str) -> Iterator[None]:
        """Any failure of MLflow, its storage or the way to them becomes an OutsideServiceError."""
        try:
            yield
        except Exception as error:
            if not _is_outside(error):
                raise
            raise OutsideServiceError(
                f"MLflow could not {what}: {_first_line(error)}",
                where=without_password(self.uri),
                next="see that MLflow runs and MLFLOW_TRACKING_URI names it, then give the same command again",
            ) from error


def quoted(text: str) -> str:
    """A value in a filter of MLflow's search, which knows two kinds of quotes and no escape.

    Raises:
        UsageError: the value holds both kinds.
    """
    if "'" in text and '"' in text:
        raise UsageError("a name or key holds both kinds of quotes", where=text, expected="one kind, or none")
    return f'"{text}"' if "'" in text else f"'{text}'"


def without_password(uri: str) -> str:
    """The URI as it may be shown."""
    parsed = urlparse(uri)
    return uri.replace(f":{parsed.password}@", ":***@") if parsed.password else uri


def _reach_database(uri: str) -> None:
    """Ask a database once. MLflow itself tries ten times, for more than three minutes."""
    scheme = urlparse(uri).scheme.split("+")[0]
    if scheme in {"sqlite", "postgresql", "mysql", "mssql"}:
        from sqlalchemy import create_engine

        if (file := _embedded(uri)) is not None:
            file.parent.mkdir(parents=True, exist_ok=True)
        engine = create_engine(uri)
        try:
            engine.connect().close()
        finally:
            engine.dispose()


def _embedded(uri: str) -> Path | None:
    """The file of a SQLite store, which every process opens for itself."""
    parsed = urlparse(uri)
    place = parsed.path.removeprefix("/")
    return Path(place) if parsed.scheme.split("+")[0] == "sqlite" and place else None


def _is_outside(error: Exception) -> bool:
    from mlflow.exceptions import MlflowException
    from sqlalchemy.exc import SQLAlchemyError

    return isinstance(error, MlflowException | SQLAlchemyError | OSError)


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:300]
