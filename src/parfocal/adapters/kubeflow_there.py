"""What has to be at a Kubeflow Pipelines API before a run starts: experiment, pipeline, version; made where missing."""

from __future__ import annotations

import json
from typing import Any

from parfocal.adapters.kubeflow_answers import needed
from parfocal.adapters.kubeflow_spec import Compiled
from parfocal.core.errors import OutsideServiceError

UPLOAD = "upload it with an account that may: docs/cluster.md, step 4"


def experiment(client: Any, name: str, namespace: str) -> str:
    """Id of the experiment, which is made if it is not there."""
    with needed(f"the experiment '{name}'", next="have it made by an account that may: docs/cluster.md, step 4"):
        made = client.create_experiment(name, namespace=or_none(namespace))
    return str(answered(made).experiment_id)


def uploaded(client: Any, spec: Compiled, namespace: str) -> tuple[str, str]:
    """Ids of the pipeline and of the version with exactly this file, made where they are missing.

    Both are looked for by name; what people read on Kubeflow's page is the title.
    """
    found = client.list_pipelines(filter=named(spec.name, "name"), namespace=or_none(namespace)).pipelines
    version = f"version {spec.version} of pipeline {spec.name}"
    if found:
        pipeline_id = found[0].pipeline_id
    else:
        with needed(version, next=UPLOAD):
            pipeline_id = _pipeline(client, spec, or_none(namespace))
    versions = client.list_pipeline_versions(pipeline_id, filter=named(spec.version, "name")).pipeline_versions
    if versions:
        return pipeline_id, versions[0].pipeline_version_id
    with needed(version, next=UPLOAD):
        made = client._upload_api.upload_pipeline_version(
            str(spec.file), name=spec.version, display_name=spec.version_title, pipelineid=pipeline_id
        )
    return pipeline_id, answered(made).pipeline_version_id


def _pipeline(client: Any, spec: Compiled, namespace: str | None) -> str:
    wanted = client.api_models.V2beta1Pipeline(
        name=spec.name, display_name=spec.title, description=spec.description, namespace=namespace
    )
    return str(answered(client.pipelines.pipeline_service_create_pipeline(pipeline=wanted)).pipeline_id)


def named(name: str, key: str = "display_name") -> str:
    """A filter of the API. Pipelines and their versions have a `name` beside the one that is shown; runs do not."""
    return json.dumps({"predicates": [{"operation": "EQUALS", "key": key, "stringValue": name}]})


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
