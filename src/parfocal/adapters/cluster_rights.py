"""Who may do what on a cluster, asked permission by permission, as the cluster itself decides it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from parfocal.adapters.checks import Check

LIMITS = (5, 20)
"""Seconds to connect, and until an answer, of every call."""
TRIGGER = "parfocal-monitor"
"""Service account under which runs are started."""
RUNNER = "default-editor"
"""Service account of the runs' pods, where nobody says another."""
RUNS = "pipelines.kubeflow.org"


@dataclass(frozen=True, slots=True)
class Right:
    """To do something to one kind of object. `spaced`: inside a namespace, else of the whole cluster."""

    verb: str
    resource: str
    group: str = ""
    spaced: bool = True

    def __str__(self) -> str:
        return f"{self.verb} {self.resource}{f'.{self.group}' if self.group else ''}"


KINDS = (
    ("namespaces", "", False),
    ("priorityclasses", "scheduling.k8s.io", False),
    ("configmaps", "", True),
    ("limitranges", "", True),
    ("persistentvolumeclaims", "", True),
    ("resourcequotas", "", True),
    ("secrets", "", True),
    ("serviceaccounts", "", True),
    ("services", "", True),
    ("deployments", "apps", True),
    ("horizontalpodautoscalers", "autoscaling", True),
    ("networkpolicies", "networking.k8s.io", True),
    ("poddisruptionbudgets", "policy", True),
    ("roles", "rbac.authorization.k8s.io", True),
    ("rolebindings", "rbac.authorization.k8s.io", True),
    ("alertmanagerconfigs", "monitoring.coreos.com", True),
    ("podmonitors", "monitoring.coreos.com", True),
    ("prometheusrules", "monitoring.coreos.com", True),
    ("servicemonitors", "monitoring.coreos.com", True),
)
"""What manifests/overlays/production consists of, manifests/namespace and the secrets; a test compares the two."""
INSTALL = tuple(Right(verb, kind, group, spaced) for kind, group, spaced in KINDS for verb in ("create", "patch"))
NEEDED = (
    Right("create", "runs", RUNS),
    Right("get", "runs", RUNS),
    Right("list", "runs", RUNS),
    Right("get", "experiments", RUNS),
    Right("list", "pipelines", RUNS),
    Right("list", "pipelines/versions", RUNS),
)
"""What the trigger does at Kubeflow Pipelines."""
TOO_MUCH = (
    Right("delete", "runs", RUNS),
    Right("create", "pods"),
    Right("create", "jobs", "batch"),
    Right("get", "secrets"),
    Right("create", "pods/exec"),
)
"""What it never does, and could do harm with."""


def of_mine(api: Any, namespace: str) -> Iterator[Check]:
    """What whoever asks lacks to install this."""
    missing = [right for right in INSTALL if not mine(api, right, namespace)]
    for right in missing:
        where = f"in {namespace}" if right.spaced else "in the whole cluster"
        yield Check("permission", "fail", f"you may not {right} {where}", "ask whoever runs the cluster for it")
    if not missing:
        yield Check("permission", "ok", f"you may do all {len(INSTALL)} things that installing takes")


def of_trigger(api: Any, namespace: str) -> Iterator[Check]:
    """What the account that starts runs lacks, and what it has and should not."""
    user = f"system:serviceaccount:{namespace}:{TRIGGER}"
    missing = [right for right in NEEDED if not theirs(api, right, namespace, user)]
    for right in missing:
        advice = "apply manifests/kubeflow; where Kubeflow has no profiles it asks nobody, and this is no fault"
        yield Check("trigger", "warn", f"{TRIGGER} may not {right}", advice)
    spare = [right for right in TOO_MUCH if theirs(api, right, namespace, user)]
    for right in spare:
        yield Check("trigger", "warn", f"{TRIGGER} may {right}, and never does", "look at its role bindings")
    if not missing and not spare:
        yield Check("trigger", "ok", f"{TRIGGER} may start runs and nothing else")


def _attributes(right: Right, namespace: str) -> dict[str, Any]:
    resource, _, sub = right.resource.partition("/")
    where = {"namespace": namespace} if right.spaced else {}
    return {"verb": right.verb, "group": right.group, "resource": resource, "subresource": sub, **where}


def mine(api: Any, right: Right, namespace: str) -> bool:
    """Whether whoever asks has a right."""
    from kubernetes import client

    body = {
        "apiVersion": "authorization.k8s.io/v1",
        "kind": "SelfSubjectAccessReview",
        "spec": {"resourceAttributes": _attributes(right, namespace)},
    }
    return bool(
        client.AuthorizationV1Api(api).create_self_subject_access_review(body, _request_timeout=LIMITS).status.allowed
    )


def theirs(api: Any, right: Right, namespace: str, user: str) -> bool:
    """Whether another user has a right."""
    from kubernetes import client

    body = {
        "apiVersion": "authorization.k8s.io/v1",
        "kind": "SubjectAccessReview",
        "spec": {"user": user, "resourceAttributes": _attributes(right, namespace)},
    }
    return bool(
        client.AuthorizationV1Api(api).create_subject_access_review(body, _request_timeout=LIMITS).status.allowed
    )
