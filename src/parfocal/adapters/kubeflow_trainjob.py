"""What a TrainJob of Kubeflow Trainer (2.2 or newer) says of a step: its nodes, its command, what it mounts.

Fields as in trainer.kubeflow.org/v1alpha1; the tests hold them against the models of the package kubeflow-trainer-api.
"""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from typing import Any, Literal

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict

from parfocal.core.config import Config
from parfocal.core.errors import UsageError
from parfocal.core.protocols import Work
from parfocal.steps.elsewhere import JOB

GROUP, VERSION, PLURAL = "trainer.kubeflow.org", "v1alpha1", "trainjobs"
CONTAINER = "node"
"""Name of the job and of the container in every runtime of PyTorch."""
KEY, WORK = "parfocal.dev/key", "parfocal.dev/work"
"""Annotations: the idempotency key, and the digest of all that the job is to do."""
PASSED = (
    "MLFLOW_TRACKING_URI",
    "MLFLOW_EXPERIMENT_ID",
    "MLFLOW_RUN_ID",
    "PARFOCAL_EXPERIMENT",
    "PARFOCAL_SHARED",
    "PARFOCAL_IMAGE",
)
"""Of this process's environment, what the job's processes find in theirs. No secret is among them."""
_ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount/namespace")
_QUANTITY = r"^[0-9]+(\.[0-9]+)?(m|k|M|G|T|Ki|Mi|Gi|Ti)?$"


class Node(Config):
    """What one node of a job is asked for."""

    cpu: str = Field(default="4", pattern=_QUANTITY, description="cores requested")
    memory: str = Field(default="16Gi", pattern=_QUANTITY, description="requested, and the limit")
    accelerator: str = Field(default="", description="resource name, such as nvidia.com/gpu; empty: the CPU")
    accelerators: int = Field(default=1, ge=1, description="how many, where an accelerator is named")
    node_selector: dict[str, str] = Field(default_factory=dict, description="labels that the node must carry")
    tolerations: tuple[dict[str, str], ...] = Field(default=(), description="taints put up with, as in a pod")
    shared_memory: str = Field(default="4Gi", pattern=_QUANTITY, description="size of /dev/shm, which NCCL needs")
    labels: dict[str, str] = Field(
        default_factory=dict, description="of the TrainJob, such as kueue.x-k8s.io/queue-name for a queue with a quota"
    )


class TrainJobSettings(BaseSettings):
    """Where jobs are started and what their pods are. From the environment, or by keyword."""

    model_config = SettingsConfigDict(frozen=True, extra="ignore", env_ignore_empty=True, populate_by_name=True)

    namespace: str = Field(
        default_factory=lambda: _ACCOUNT.read_text().strip() if _ACCOUNT.is_file() else "parfocal",
        validation_alias="PARFOCAL_TRAINJOB_NAMESPACE",
        description="default: this pod's own",
    )
    runtime: str = Field(
        default="torch-distributed",
        validation_alias="PARFOCAL_TRAINJOB_RUNTIME",
        description="of PyTorch, with a job and a container `node`",
    )
    runtime_kind: Literal["ClusterTrainingRuntime", "TrainingRuntime"] = Field(
        default="ClusterTrainingRuntime",
        validation_alias="PARFOCAL_TRAINJOB_RUNTIME_KIND",
        description="TrainingRuntime: one of the namespace, as in manifests/trainjobs",
    )
    image: str = Field(default="", validation_alias="PARFOCAL_IMAGE", description="of the components")
    claim: str = Field(
        default="parfocal",
        validation_alias="PARFOCAL_TRAINJOB_CLAIM",
        description="PersistentVolumeClaim (ReadWriteMany) with all folders of a step and its checkpoints",
    )
    mount: Path = Field(
        default=Path("/var/lib/parfocal"),
        validation_alias="PARFOCAL_TRAINJOB_MOUNT",
        description="where it is mounted, here as in the job's pods",
    )
    account: str = Field(
        default="", validation_alias="PARFOCAL_TRAINJOB_ACCOUNT", description="service account of the job's pods"
    )
    secret: str = Field(
        default="", validation_alias="PARFOCAL_TRAINJOB_SECRET", description="whose keys below become variables there"
    )
    secret_keys: tuple[str, ...] = Field(default=(), validation_alias="PARFOCAL_TRAINJOB_SECRET_KEYS")
    node: Node = Field(
        default_factory=Node, validation_alias="PARFOCAL_TRAINJOB_NODE", description="JSON: what a node is"
    )
    seconds: int | None = Field(
        default=None, ge=1, validation_alias="PARFOCAL_TRAINJOB_SECONDS", description="a job that takes longer fails"
    )
    retries: int = Field(
        default=3,
        ge=0,
        validation_alias="PARFOCAL_TRAINJOB_RETRIES",
        description="more jobs, from the checkpoint, after one that lost a node: after 30 s, 60 s, 120 s ...",
    )
    ended: Literal["delete", "suspend", "leave"] = Field(
        default="delete",
        validation_alias="PARFOCAL_TRAINJOB_ENDED",
        description="what becomes of the job when the step that watches it is ended (SIGTERM): deleted; suspended, and "
        "taken up by the next attempt; or left to run. None loses more than what came after the last checkpoint",
    )


def name(work: Work) -> str:
    """Of the job: the same for the same step and key, and short enough for the names of its pods."""
    return f"parfocal-{work.step}-{_digest(work.key)}"


def folder(work: Work) -> Path:
    """What step and job tell each other is here."""
    return work.state / "jobs" / name(work)


def check(work: Work, settings: TrainJobSettings) -> None:
    """Refuse what no pod of the job could do.

    Raises:
        UsageError: no image is named, or a folder is not on the volume.
    """
    if not settings.image:
        raise UsageError(
            "the job's pods need an image", where="PARFOCAL_IMAGE", expected="parfocal/components, by its digest"
        )
    for one in (*work.folders, work.state):
        if not one.is_relative_to(settings.mount):
            raise UsageError(
                "the job's pods do not see this folder",
                where=one,
                expected=f"a folder under {settings.mount}, the volume of the claim {settings.claim}",
                next="set PARFOCAL_SHARED and PARFOCAL_STATE to folders there",
            )


def described(work: Work, settings: TrainJobSettings) -> dict[str, Any]:
    """The TrainJob, as it is sent to the API server."""
    node = settings.node
    gpus = {node.accelerator: str(node.accelerators)} if node.accelerator else {}
    processes = work.processes or (node.accelerators if node.accelerator else 1)
    trainer = {
        "image": settings.image,
        "command": ["python", "-m", "torch.distributed.run", "-m", "parfocal"],
        "args": [work.step, *work.arguments, "--key", work.key, "--config", str(folder(work) / "config.json")],
        "env": _environment(work, settings),
        "numNodes": work.nodes,
        "numProcPerNode": processes,
        "resourcesPerNode": {
            "requests": {"cpu": node.cpu, "memory": node.memory, **gpus},
            "limits": {"memory": node.memory, **gpus},
        },
    }
    spec: dict[str, Any] = {
        "runtimeRef": {"apiGroup": GROUP, "kind": settings.runtime_kind, "name": settings.runtime},
        "trainer": trainer,
        "runtimePatches": [_patch(settings)],
    }
    if settings.seconds is not None:
        spec["activeDeadlineSeconds"] = settings.seconds
    return {
        "apiVersion": f"{GROUP}/{VERSION}",
        "kind": "TrainJob",
        "metadata": {
            "name": name(work),
            "namespace": settings.namespace,
            "labels": {"app.kubernetes.io/part-of": "parfocal", **node.labels},
            "annotations": {KEY: work.key, WORK: _digest(repr((work, settings.image, settings.node)))},
        },
        "spec": spec,
    }


def _environment(work: Work, settings: TrainJobSettings) -> list[dict[str, Any]]:
    plain = {key: os.environ[key] for key in PASSED if os.environ.get(key)}
    plain |= {"PARFOCAL_STATE": str(work.state), JOB: str(folder(work))}
    secret = [
        {"name": key, "valueFrom": {"secretKeyRef": {"name": settings.secret, "key": key}}}
        for key in settings.secret_keys
    ]
    return [{"name": key, "value": value} for key, value in plain.items()] + secret


def _patch(settings: TrainJobSettings) -> dict[str, Any]:
    """What the runtime's pods get: the volume, memory to share, a node, and what Pod Security `restricted` asks for."""
    node = settings.node
    pod: dict[str, Any] = {
        "securityContext": {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}},
        "volumes": [
            {"name": "shared", "persistentVolumeClaim": {"claimName": settings.claim}},
            {"name": "shared-memory", "emptyDir": {"medium": "Memory", "sizeLimit": node.shared_memory}},
        ],
        "containers": [
            {
                "name": CONTAINER,
                "securityContext": {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}},
                "volumeMounts": [
                    {"name": "shared", "mountPath": str(settings.mount)},
                    {"name": "shared-memory", "mountPath": "/dev/shm"},  # noqa: S108
                ],
            }
        ],
    }
    if node.node_selector:
        pod["nodeSelector"] = dict(node.node_selector)
    if node.tolerations:
        pod["tolerations"] = [dict(one) for one in node.tolerations]
    if settings.account:
        pod["serviceAccountName"] = settings.account
    job = {"name": CONTAINER, "template": {"spec": {"template": {"spec": pod}}}}
    return {
        "manager": "parfocal.dev/step",
        "trainingRuntimeSpec": {"template": {"spec": {"replicatedJobs": [job]}}},
    }


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:16]
