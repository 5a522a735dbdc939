"""Submit a compiled pipeline to a Kubeflow Pipelines API, through kfp's own client."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from pydantic import Field, SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict

from parfocal.adapters import kubeflow_answers
from parfocal.adapters.kubeflow_answers import RefusedError, patiently
from parfocal.adapters.kubeflow_spec import Compiled
from parfocal.adapters.kubeflow_there import answered, experiment, named, or_none, uploaded
from parfocal.core.errors import OutsideServiceError, UsageError

CONNECT_SECONDS, ANSWER_SECONDS = 10, 60
PATIENCE = 60.0
"""Seconds for which a busy API is asked again, for a person who waits."""
STATES = {
    "PENDING": "pending",
    "RUNNING": "running",
    "PAUSED": "running",
    "CANCELING": "running",
    "SUCCEEDED": "succeeded",
    "SKIPPED": "succeeded",
    "FAILED": "failed",
    "CANCELED": "cancelled",
}
"""The API's words in those of `parfocal.core.protocols.Launcher`."""
NO_ROUTE = "Not Found"
"""What the API's gateway says of an address that it does not know, as of a wrong PARFOCAL_KFP_HOST; no run is lost."""


class KubeflowSettings(BaseSettings):
    """Where Kubeflow Pipelines is and who asks. From the environment, or by keyword."""

    model_config = SettingsConfigDict(frozen=True, extra="ignore", env_ignore_empty=True, populate_by_name=True)

    host: str = Field(
        default="",
        validation_alias="PARFOCAL_KFP_HOST",
        description="address of the API, such as https://kubeflow.example.org/pipeline; "
        "empty inside a cluster: the service's own name and the pod's own account",
    )
    token: SecretStr | None = Field(
        default=None, validation_alias="PARFOCAL_KFP_TOKEN", description="bearer token, sent as it is"
    )
    token_file: Path | None = Field(
        default=None,
        validation_alias="PARFOCAL_KFP_TOKEN_FILE",
        description="projected token of a service account; read anew for every request, because the kubelet renews it",
    )
    ca_file: Path | None = Field(
        default=None, validation_alias="PARFOCAL_KFP_CA_FILE", description="certificate authority of the host"
    )
    namespace: str = Field(
        default="",
        validation_alias="PARFOCAL_KFP_NAMESPACE",
        description="the profile's namespace where Kubeflow serves several users; empty where it serves one",
    )
    experiment: str = Field(default="parfocal", validation_alias="PARFOCAL_KFP_EXPERIMENT")
    service_account: str = Field(
        default="", validation_alias="PARFOCAL_KFP_SERVICE_ACCOUNT", description="account that the steps' pods run as"
    )


@dataclass(frozen=True, slots=True)
class Submitted:
    """A run on a cluster. `created` is False when a run of that name was on its way or done already."""

    run_id: str
    url: str
    created: bool


def submit(
    pipeline: Path,
    arguments: Mapping[str, str],
    *,
    name: str,
    settings: KubeflowSettings | None = None,
    patience: float | None = None,
) -> Submitted:
    """Send a compiled pipeline to the API, unless it is there, and start a run of it, unless one of that name lives.

    The pipeline's version is named after the file's digest, so that the same file is uploaded once. A run whose start
    was answered by nobody is found by its name when the same is sent again, here or by the caller.

    Args:
        pipeline: compiled YAML.
        arguments: exactly those of the pipeline.
        name: of the run; in an experiment one name starts one run that has not failed.
        settings: default: from the environment.
        patience: seconds for which a busy API is asked again; None: a minute.

    Raises:
        UsageError: the arguments are not the pipeline's, or the API refuses for good (`RefusedError`).
        OutsideServiceError: the API cannot be reached, or is busy (`BusyError`).
    """
    spec = Compiled.read(pipeline)
    values = spec.check(arguments)
    settings = settings or KubeflowSettings()
    return patiently(lambda: _submit(spec, values, name, settings), PATIENCE if patience is None else patience)


def _submit(spec: Compiled, values: Mapping[str, Any], name: str, settings: KubeflowSettings) -> Submitted:
    with asked(settings):
        client = connected(settings)
        experiment_id = experiment(client, settings.experiment, settings.namespace)
        run_id = _living(client, experiment_id, name, settings)
        created = run_id is None
        if created:
            pipeline_id, version_id = uploaded(client, spec, settings.namespace)
            run_id = answered(
                client.run_pipeline(
                    experiment_id=experiment_id,
                    job_name=name,
                    params=values,
                    pipeline_id=pipeline_id,
                    version_id=version_id,
                    service_account=or_none(settings.service_account),
                )
            ).run_id
    return Submitted(str(run_id), f"{settings.host.rstrip('/')}/#/runs/details/{run_id}", created)


class KubeflowLauncher:
    """`parfocal.core.protocols.Launcher` on a cluster."""

    def __init__(self, settings: KubeflowSettings | None = None) -> None:
        self.settings = settings or KubeflowSettings()

    def launch(self, pipeline: Path, arguments: Mapping[str, str], *, name: str) -> str:
        """Submit it and return the run's id; a name that runs or has succeeded is not started again.

        It is asked once: whoever launches has other things to do, and comes again.

        Raises:
            UsageError: it is refused, and would be again (`RefusedError`).
            OutsideServiceError: it may be launched later.
        """
        return submit(pipeline, arguments, name=name, settings=self.settings, patience=0.0).run_id

    def state(self, run_id: str) -> str:
        """``pending``, ``running``, ``succeeded``, ``failed`` or ``cancelled``.

        Raises:
            UsageError: there is no such run any more.
            OutsideServiceError: the API does not say; the run may well live.
        """
        try:
            with asked(self.settings):
                run = answered(connected(self.settings).get_run(run_id))
        except RefusedError as error:
            if error.status in (404, 410) and error.said not in ("", NO_ROUTE):
                raise UsageError(
                    "the run is no longer at Kubeflow: somebody deleted it",
                    where=f"run {run_id}",
                    next="start it once more, or let the next alarm do it",
                ) from None
            raise OutsideServiceError(error.what, where=error.where, next=error.next) from None
        return STATES.get(run.state, "pending")


def connected(settings: KubeflowSettings) -> Any:
    """A `kfp.Client` that waits for no answer longer than a minute.

    Stock, it waits for ever, and where no namespace is set it asks the server five times with pauses what a server
    that said no once will say again; and it sleeps for as long as a Retry-After says, unseen.
    """
    import kfp
    import urllib3
    from kfp.client import ServiceAccountTokenVolumeCredentials

    limits = (CONNECT_SECONDS, ANSWER_SECONDS)

    class Client(kfp.Client):  # type: ignore[misc]
        def get_kfp_healthz(self, sleep_duration: int = 5) -> Any:  # noqa: ARG002
            return self._healthz_api.healthz_service_get_healthz(_request_timeout=limits)

    file = settings.token_file
    client = Client(
        host=settings.host or None,
        existing_token=settings.token.get_secret_value() if settings.token else None,
        credentials=ServiceAccountTokenVolumeCredentials(str(file)) if file else None,
        ssl_ca_cert=str(settings.ca_file) if settings.ca_file else None,
        namespace=settings.namespace or "kubeflow",
    )
    rest = client._run_api.api_client.rest_client
    rest.request = partial(_limited, rest.request, limits)
    rest.pool_manager.connection_pool_kw["retries"] = urllib3.Retry(connect=2, read=0, respect_retry_after_header=False)
    return client


def _limited(request: Any, limits: tuple[int, int], *args: Any, **named: Any) -> Any:
    return request(*args, **{**named, "_request_timeout": named.get("_request_timeout") or limits})


def _living(client: Any, experiment_id: str, name: str, settings: KubeflowSettings) -> str | None:
    """The run of that name that has not failed or been cancelled, if there is one."""
    answer = client.list_runs(
        experiment_id=experiment_id, filter=named(name), namespace=or_none(settings.namespace), page_size=100
    )
    living = [run for run in answer.runs or [] if STATES.get(run.state) not in ("failed", "cancelled")]
    return str(living[0].run_id) if living else None


@contextmanager
def asked(settings: KubeflowSettings) -> Iterator[None]:
    """Kubeflow's errors in this program's words (`kubeflow_answers`)."""
    if settings.token_file and not settings.token_file.is_file():
        raise OutsideServiceError("the token file is not there", where=settings.token_file)
    with kubeflow_answers.asked(settings.host or "the cluster's own Kubeflow Pipelines"):
        yield
