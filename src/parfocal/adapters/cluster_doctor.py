"""What `parfocal doctor --cluster` looks at. It asks and changes nothing; a check that is refused hides no other."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any
from urllib.error import HTTPError, URLError
from urllib.request import Request, urlopen

from parfocal.adapters import cluster_capacity, cluster_rights, cluster_trainings
from parfocal.adapters.checks import Check
from parfocal.adapters.cluster_rights import LIMITS
from parfocal.adapters.kubeflow_remote import KubeflowSettings
from parfocal.core.errors import UsageError

OLDEST = (1, 30)
"""Kubernetes whose fields the manifests use."""
SECRETS = {
    "parfocal": {"PARFOCAL_DATABASE_URL", "PARFOCAL_TOKEN", "PARFOCAL_PATIENT_SECRET"},
    "parfocal-mlflow": {"MLFLOW_BACKEND_STORE_URI", "MLFLOW_ARTIFACTS_DESTINATION"},
    "parfocal-tokens": {"tokens.json"},
}
OPERATOR = "monitoring.coreos.com"
DEFINITIONS = (
    (f"{OPERATOR}/v1", "servicemonitors", "without the Prometheus operator leave manifests/monitoring out"),
    (f"{OPERATOR}/v1alpha1", "alertmanagerconfigs", "the operator's Alertmanager wakes no trigger: update it"),
    ("metrics.k8s.io/v1beta1", "pods", "without a metrics server the segmenter is not scaled at all"),
    ("custom.metrics.k8s.io/v1beta1", "", "without prometheus-adapter the segmenter is scaled by its CPU alone"),
    ("kubeflow.org/v1", "profiles", "without profiles runs are in a namespace with nothing of ours: docs/cluster.md"),
    ("trainer.kubeflow.org/v1alpha1", "trainjobs", "without Kubeflow Trainer no training on several nodes"),
)
"""API, resource in it, and what is lost without. The first two are installed by the production overlay."""
KUBEFLOW, PIPELINES = "kubeflow", "ml-pipeline"


@dataclass(frozen=True, slots=True)
class Cluster:
    """What is asked: an API server by its client, a namespace there, Kubeflow Pipelines."""

    api: Any
    namespace: str
    pipelines: KubeflowSettings


def connect(context: str = "") -> Any:
    """A client of the cluster that kubeconfig (or the pod) names.

    Raises:
        UsageError: neither is there, or there is no such context.
    """
    if find_spec("kubernetes") is None:
        raise UsageError("kubernetes is not installed", next="pip install 'parfocal[platform]'")
    from kubernetes import client, config
    from urllib3 import Retry

    settings = client.Configuration()
    try:
        if "KUBECONFIG" in os.environ or not os.environ.get("KUBERNETES_SERVICE_HOST"):
            file = os.environ.get("KUBECONFIG")  # the client has read it when it was imported
            config.load_kube_config(file, context or None, settings)
        else:
            config.load_incluster_config(client_configuration=settings)
    except config.ConfigException as error:
        expected = "a kubeconfig (KUBECONFIG), or to run inside a pod"
        raise UsageError(f"no cluster is named: {error}", expected=expected) from None
    settings.retries = Retry(1, backoff_factor=0.2)
    return client.ApiClient(settings)


def every(cluster: Cluster) -> Iterator[Check]:
    """All checks; nothing after the first, when the API server does not answer."""
    for number, (name, look) in enumerate(CHECKS.items()):
        try:
            yield from look(cluster)
        except Exception as error:  # one refusal hides no other
            yield _refused(name, error)
            if number == 0:
                return


def _refused(name: str, error: Exception) -> Check:
    """The API server's no, or its silence, in this program's words."""
    status = getattr(error, "status", None)
    if status == 401:
        return Check(name, "fail", "the API server does not know you: 401", "log in again, or name another kubeconfig")
    if status == 403:
        return Check(name, "warn", f"you may not look: {_message(error)}", "ask whoever runs the cluster to look")
    if status == 404:
        return Check(name, "fail", f"not there: {_message(error)}", "see docs/cluster.md")
    if isinstance(status, int) and status:
        said = f"the API server answered {status}: {_message(error)}"
        return Check(name, "fail", said, "ask again in a moment", outside=True)
    said = f"the API server cannot be asked: {type(error).__name__}: {str(error)[:200]}"
    return Check(name, "fail", said, "look at the address in your kubeconfig and at the way there", outside=True)


def _message(error: Any) -> str:
    try:
        return str(json.loads(error.body)["message"])[:200]
    except (AttributeError, TypeError, ValueError, KeyError):
        return str(getattr(error, "reason", error))[:200]


def _server(cluster: Cluster) -> Iterator[Check]:
    from kubernetes import client

    found = client.VersionApi(cluster.api).get_code(_request_timeout=LIMITS)
    said = f"{found.git_version} at {cluster.api.configuration.host}"
    if (int(found.major), int("".join(filter(str.isdigit, found.minor)))) < OLDEST:
        yield Check("server", "fail", said, f"Kubernetes {OLDEST[0]}.{OLDEST[1]} or newer is needed")
    else:
        yield Check("server", "ok", said)


def _namespace(cluster: Cluster) -> Iterator[Check]:
    found = _core(cluster).read_namespace(cluster.namespace, _request_timeout=LIMITS)
    enforced = (found.metadata.labels or {}).get("pod-security.kubernetes.io/enforce", "nothing")
    if enforced == "restricted":
        yield Check("namespace", "ok", f"{cluster.namespace}, Pod Security restricted")
    else:
        said = f"{cluster.namespace} enforces {enforced}"
        yield Check("namespace", "warn", said, "label it pod-security.kubernetes.io/enforce=restricted")


def _definitions(cluster: Cluster) -> Iterator[Check]:
    for number, (api, resource, lost) in enumerate(DEFINITIONS):
        known = _resources(cluster, api)
        what = f"{resource}.{api}" if resource else api
        if known is not None and (not resource or resource in known):
            yield Check("api", "ok", what)
        else:
            yield Check("api", "fail" if number < 2 else "warn", f"{what} is not there", lost)


def _resources(cluster: Cluster, api: str) -> set[str] | None:
    """Names of an API's resources, by discovery, which every account may do; None where the API is not there."""
    from kubernetes.client import ApiException

    try:
        found = cluster.api.call_api(
            f"/apis/{api}",
            "GET",
            header_params={"Accept": "application/json"},
            response_type="object",
            auth_settings=["BearerToken"],
            _return_http_data_only=True,
            _request_timeout=LIMITS,
        )
    except ApiException as error:
        if error.status == 404:
            return None
        raise
    return {one["name"] for one in found["resources"]}


def _kubeflow(cluster: Cluster) -> Iterator[Check]:
    if not cluster.pipelines.host:
        _core(cluster).read_namespaced_service(PIPELINES, KUBEFLOW, _request_timeout=LIMITS)
        yield Check("kubeflow", "ok", f"the service {PIPELINES} is there; PARFOCAL_KFP_HOST has it asked")
        return
    token = cluster.pipelines.token
    if file := cluster.pipelines.token_file:
        word = file.read_text().strip()
    else:
        word = token.get_secret_value() if token else ""
    where = f"{cluster.pipelines.host.rstrip('/')}/apis/v2beta1/healthz"
    request = Request(where, headers={"Authorization": f"Bearer {word}"} if word else {})  # noqa: S310
    try:
        with urlopen(request, timeout=LIMITS[1]) as answer:  # noqa: S310
            json.loads(answer.read())
    except HTTPError as error:
        yield Check("kubeflow", "fail", f"{where} answers {error.code}", "set PARFOCAL_KFP_TOKEN", outside=True)
    except (URLError, OSError) as error:
        yield Check("kubeflow", "fail", f"{where}: {error}", "look at PARFOCAL_KFP_HOST", outside=True)
    except ValueError:
        said = f"{where} answers with a page, not as an API does"
        yield Check("kubeflow", "fail", said, "a login stands before it: set PARFOCAL_KFP_TOKEN", outside=True)
    else:
        yield Check("kubeflow", "ok", where)


def _secrets(cluster: Cluster) -> Iterator[Check]:
    for name, keys in SECRETS.items():
        try:
            found = _core(cluster).read_namespaced_secret(name, cluster.namespace, _request_timeout=LIMITS)
        except Exception as error:
            yield _refused(f"secret {name}", error)
            continue
        missing = sorted(keys - (found.data or {}).keys())
        if missing:
            yield Check("secret", "fail", f"{name} lacks {', '.join(missing)}", "see docs/cluster.md, Secrets")
        else:
            yield Check("secret", "ok", f"{name} has its {len(keys)} keys; not looked at")


def _trainings(cluster: Cluster) -> Iterator[Check]:
    yield from cluster_trainings.trainings(cluster.api, cluster.namespace, cluster.pipelines.service_account)


def _core(cluster: Cluster) -> Any:
    from kubernetes import client

    return client.CoreV1Api(cluster.api)


def _of(look: Callable[[Any, str], Iterator[Check]]) -> Callable[[Cluster], Iterator[Check]]:
    return lambda cluster: look(cluster.api, cluster.namespace)


CHECKS: dict[str, Callable[[Cluster], Iterator[Check]]] = {
    "server": _server,
    "namespace": _namespace,
    "permission": _of(cluster_rights.of_mine),
    "trigger": _of(cluster_rights.of_trigger),
    "trainjobs": _trainings,
    "api": _definitions,
    "storage": _of(cluster_capacity.storage),
    "gpu": _of(cluster_capacity.accelerators),
    "kubeflow": _kubeflow,
    "secret": _secrets,
}
