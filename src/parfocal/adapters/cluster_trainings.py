"""Whether the runs may have a training done by a TrainJob, where the cluster's settings speak of TrainJobs."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from parfocal.adapters.checks import Check
from parfocal.adapters.cluster_rights import LIMITS, RUNNER, Right, mine, theirs
from parfocal.adapters.kubeflow_trainjob import GROUP, PLURAL, VERSION, Node, TrainJobSettings
from parfocal.core.errors import ParfocalError

CONFIG = "parfocal"
"""ConfigMap whose keys are the environment of the steps."""
PREFIX = "PARFOCAL_TRAINJOB_"
ASKED = (
    *(Right(verb, PLURAL, GROUP) for verb in ("create", "get", "watch", "delete")),
    Right("list", "pods"),
    Right("get", "pods/log"),
)
"""What a step that has a TrainJob made asks of the API server; a test compares it with what it does."""
SUSPENDING = Right("patch", PLURAL, GROUP)
"""Besides, where a job is suspended and not deleted when its step ends."""
_INSTALLED = tuple(Right(verb, "trainingruntimes", GROUP) for verb in ("create", "patch"))
_PLURALS = {"TrainingRuntime": "trainingruntimes", "ClusterTrainingRuntime": "clustertrainingruntimes"}


def trainings(api: Any, namespace: str, account: str = "") -> Iterator[Check]:
    """Nothing to say but so where no setting speaks of TrainJobs.

    Args:
        account: service account of the runs; default: the one of a profile's namespace.
    """
    from kubernetes import client

    found = client.CoreV1Api(api).list_namespaced_config_map(
        namespace, field_selector=f"metadata.name={CONFIG}", _request_timeout=LIMITS
    )
    data = (found.items[0].data or {}) if found.items else {}
    if not any(key.startswith(PREFIX) for key in data):
        yield Check("trainjobs", "ok", f"not set up: the ConfigMap {CONFIG} has no {PREFIX} key")
        return
    yield from _node(_said(data, "node"))
    yield from _runtime(api, namespace, _said(data, "runtime_kind"), _said(data, "runtime"))
    yield from _account(api, namespace, _said(data, "account"))
    user = f"system:serviceaccount:{namespace}:{account or RUNNER}"
    wanted = (*ASKED, SUSPENDING) if _said(data, "ended") == "suspend" else ASKED
    missing = [right for right in wanted if not theirs(api, right, namespace, user)]
    for right in missing:
        said = f"{account or RUNNER}, the account of the runs, may not {right}"
        yield Check("trainjobs", "fail", said, "apply manifests/trainjobs, with this account in its RoleBinding")
    if not missing:
        yield Check("trainjobs", "ok", f"{account or RUNNER} may do all {len(wanted)} things that a TrainJob takes")


def _said(data: dict[str, str], field: str) -> str:
    """A setting of the steps, as they will read it; empty: none."""
    known = TrainJobSettings.model_fields[field]
    default = known.default if isinstance(known.default, str) else ""
    return data.get(str(known.validation_alias)) or default


def _node(text: str) -> Iterator[Check]:
    try:
        Node.from_json(text or "{}")
    except ParfocalError as error:
        said = f"{PREFIX}NODE of the ConfigMap {CONFIG}: {error.what}"
        yield Check("trainjobs", "fail", said, "docs/cluster.md, Several nodes, has an example")


def _runtime(api: Any, namespace: str, kind: str, name: str) -> Iterator[Check]:
    """The runtime, which every TrainJob names, and whether whoever asks may install ours."""
    from kubernetes import client

    objects = client.CustomObjectsApi(api)
    try:
        if kind == "TrainingRuntime":
            yield from (
                Check(
                    "permission", "fail", f"you may not {right} in {namespace}", "ask whoever runs the cluster for it"
                )
                for right in _INSTALLED
                if not mine(api, right, namespace)
            )
            objects.get_namespaced_custom_object(
                GROUP, VERSION, namespace, _PLURALS[kind], name, _request_timeout=LIMITS
            )
        else:
            objects.get_cluster_custom_object(GROUP, VERSION, _PLURALS[kind], name, _request_timeout=LIMITS)
    except client.ApiException as error:
        if error.status != 404:
            raise
        yield Check(
            "trainjobs", "fail", f"there is no {kind} {name}", "apply manifests/trainjobs, or install Trainer's"
        )
    else:
        yield Check("trainjobs", "ok", f"{kind} {name}")


def _account(api: Any, namespace: str, name: str) -> Iterator[Check]:
    from kubernetes import client

    if not name:
        return
    try:
        client.CoreV1Api(api).read_namespaced_service_account(name, namespace, _request_timeout=LIMITS)
    except client.ApiException as error:
        if error.status != 404:
            raise
        said = f"there is no service account {name}, which {PREFIX}ACCOUNT names: no pod of a job would start"
        yield Check("trainjobs", "fail", said, "apply manifests/trainjobs")
