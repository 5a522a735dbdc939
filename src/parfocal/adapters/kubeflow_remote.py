"""Submit a compiled pipeline to a Kubeflow Pipelines API, through kfp's own client."""

from __future__ import annotations

import io
import json
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, redirect_stdout
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from pydantic import Field, SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict

from parfocal.adapters.kubeflow_spec import Compiled
from parfocal.core.errors import OutsideServiceError, UsageError

CONNECT_SECONDS, ANSWER_SECONDS = 10, 60
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
    pipeline: Path, arguments: Mapping[str, str], *, name: str, settings: KubeflowSettings | None = None
) -> Submitted:
    """Send a compiled pipeline to the API, unless it is there, and start a run of it, unless one of that name lives.

    The pipeline's version is named after the file's digest, so that the same file is uploaded once.

    Args:
        pipeline: compiled YAML.
        arguments: exactly those of the pipeline.
        name: of the run; in an experiment one name starts one run that has not failed.
        settings: default: from the environment.

    Raises:
        UsageError: the arguments are not the pipeline's.
        OutsideServiceError: the API cannot be reached, or refuses.
    """
    spec = Compiled.read(pipeline)
    values = spec.check(arguments)
    settings = settings or KubeflowSettings()
    with asked(settings):
        client = connected(settings)
        experiment = answered(client.create_experiment(settings.experiment, namespace=or_none(settings.namespace)))
        run_id = _living(client, experiment.experiment_id, name, settings)
        created = run_id is None
        if created:
            pipeline_id, version_id = uploaded(client, spec, settings)
            run_id = answered(
                client.run_pipeline(
                    experiment_id=experiment.experiment_id,
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
        """Submit it and return the run's id; a name that runs or has succeeded is not started again."""
        return submit(pipeline, arguments, name=name, settings=self.settings).run_id

    def state(self, run_id: str) -> str:
        """``pending``, ``running``, ``succeeded``, ``failed`` or ``cancelled``."""
        with asked(self.settings):
            run = answered(connected(self.settings).get_run(run_id))
        return STATES.get(run.state, "pending")


def connected(settings: KubeflowSettings) -> Any:
    """A `kfp.Client` that waits for no answer longer than a minute.

    Stock, it waits for ever, and where no namespace is set it asks the server five times with pauses what a server
    that said no once will say again.
    """
    import kfp
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
    return client


def _limited(request: Any, limits: tuple[int, int], *args: Any, **named: Any) -> Any:
    return request(*args, **{**named, "_request_timeout": named.get("_request_timeout") or limits})


def uploaded(client: Any, spec: Compiled, settings: KubeflowSettings) -> tuple[str, str]:
    """Ids of the pipeline and of the version with exactly this file, made where they are missing."""
    namespace = or_none(settings.namespace)
    found = client.list_pipelines(filter=named(spec.name), namespace=namespace).pipelines
    if found:
        pipeline_id = found[0].pipeline_id
    else:
        wanted = client.api_models.V2beta1Pipeline(
            name=spec.name, display_name=spec.name, description=spec.description, namespace=namespace
        )
        pipeline_id = answered(client.pipelines.pipeline_service_create_pipeline(pipeline=wanted)).pipeline_id
    versions = client.list_pipeline_versions(pipeline_id, filter=named(spec.version)).pipeline_versions
    if versions:
        return pipeline_id, versions[0].pipeline_version_id
    made = client.upload_pipeline_version(str(spec.file), spec.version, pipeline_id=pipeline_id)
    return pipeline_id, answered(made).pipeline_version_id


def _living(client: Any, experiment_id: str, name: str, settings: KubeflowSettings) -> str | None:
    """The run of that name that has not failed or been cancelled, if there is one."""
    answer = client.list_runs(
        experiment_id=experiment_id, filter=named(name), namespace=or_none(settings.namespace), page_size=100
    )
    living = [run for run in answer.runs or [] if STATES.get(run.state) not in ("failed", "cancelled")]
    return str(living[0].run_id) if living else None


def named(name: str) -> str:
    return json.dumps({"predicates": [{"operation": "EQUALS", "key": "display_name", "stringValue": name}]})


def or_none(text: str) -> str | None:
    return text or None


def answered(made: Any) -> Any:
    """The same object, when the server filled it in. A login page comes with status 200 and fills in nothing."""
    ids = ("recurring_run_id", "run_id", "pipeline_version_id", "pipeline_id", "experiment_id")
    if not any(getattr(made, name, None) for name in ids):
        raise OutsideServiceError(
            "the answer is not from a Kubeflow Pipelines API",
            next="look at PARFOCAL_KFP_HOST, and whether a login page stands before it (PARFOCAL_KFP_TOKEN)",
        )
    return made


@contextmanager
def asked(settings: KubeflowSettings) -> Iterator[None]:
    """Kubeflow's errors in this program's words; its chatter kept from standard output."""
    from kfp_server_api import ApiException
    from urllib3.exceptions import HTTPError

    where = settings.host or "the cluster's own Kubeflow Pipelines"
    if settings.token_file and not settings.token_file.is_file():
        raise UsageError("the token file is not there", where=settings.token_file)
    try:
        with redirect_stdout(io.StringIO()), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    except ApiException as error:
        if error.status in (401, 403):
            raise OutsideServiceError(
                f"Kubeflow Pipelines does not let us in: {error.status} {error.reason}",
                where=where,
                next="set PARFOCAL_KFP_TOKEN or PARFOCAL_KFP_TOKEN_FILE, and PARFOCAL_KFP_NAMESPACE to a namespace "
                "where that account may run pipelines",
            ) from None
        raise OutsideServiceError(
            f"Kubeflow Pipelines answered {error.status} {error.reason}: {_message(error.body)}", where=where
        ) from None
    except (HTTPError, OSError) as error:
        raise OutsideServiceError(
            f"Kubeflow Pipelines cannot be reached: {error}",
            where=where,
            next="look at PARFOCAL_KFP_HOST and at the way there, then send the same again",
        ) from None
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise OutsideServiceError(
            f"the answer is not from a Kubeflow Pipelines API: {error}", where=where, next="look at PARFOCAL_KFP_HOST"
        ) from None


def _message(body: Any) -> str:
    """The sentence in the API's answer, or the start of whatever came."""
    try:
        return str(json.loads(body)["message"])
    except (TypeError, ValueError, KeyError):
        return str(body)[:500]
