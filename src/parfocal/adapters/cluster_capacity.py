"""What a cluster has room for: volumes that several nodes write, and GPUs that a training finds."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any

from parfocal.adapters.checks import Check
from parfocal.adapters.cluster_rights import LIMITS

CLAIM = "parfocal"
SHARED = (
    "nfs", "efs", "filestore", "file.csi.azure.com", "cephfs", "lustre", "glusterfs", "longhorn", "portworx", "fsx",
)  # fmt: skip
"""Parts of provisioners' names whose volumes several nodes may write. No storage class says so itself."""
ACCELERATORS = ("nvidia.com/", "amd.com/gpu", "gpu.intel.com/")
POOL = ("parfocal.dev/pool", "gpu")
"""Label of the nodes that the committed pipelines train on."""


def storage(api: Any, namespace: str) -> Iterator[Check]:
    """The claim, or, before there is one, the classes that it could be of."""
    from kubernetes import client

    claims = client.CoreV1Api(api).list_namespaced_persistent_volume_claim(
        namespace, field_selector=f"metadata.name={CLAIM}", _request_timeout=LIMITS
    )
    if claims.items:
        yield _claim(claims.items[0])
        return
    classes = client.StorageV1Api(api).list_storage_class(_request_timeout=LIMITS).items
    shared = [one.metadata.name for one in classes if any(part in one.provisioner for part in SHARED)]
    if shared:
        yield Check("storage", "ok", f"several nodes may write volumes of {', '.join(shared)}; no claim yet")
    else:
        said = f"of {', '.join(one.metadata.name for one in classes) or 'none'} none is known to be shared by nodes"
        yield Check("storage", "warn", said, f"the claim {CLAIM} needs ReadWriteMany: NFS, EFS, Filestore, CephFS")


def _claim(claim: Any) -> Check:
    modes, phase = claim.spec.access_modes, claim.status.phase
    said = f"claim {CLAIM} is {phase}, {', '.join(modes)}"
    if phase != "Bound":
        return Check("storage", "fail", said, f"kubectl describe pvc {CLAIM} says why")
    if "ReadWriteMany" not in modes:
        return Check("storage", "warn", said, "monitor and runs can only be on one node")
    return Check("storage", "ok", said)


def accelerators(api: Any, namespace: str) -> Iterator[Check]:  # noqa: ARG001
    """GPUs of all nodes together, the taints before them, and whether the pool's label is on any."""
    from kubernetes import client

    nodes = client.CoreV1Api(api).list_node(_request_timeout=LIMITS).items
    found: Counter[str] = Counter()
    pooled, taints = 0, set()
    for node in nodes:
        room = node.status.allocatable or {}
        mine = {name: int(room[name]) for name in room if name.startswith(ACCELERATORS) and room[name] != "0"}
        found.update(mine)
        if mine:
            pooled += (node.metadata.labels or {}).get(POOL[0]) == POOL[1]
            taints |= {taint.key for taint in node.spec.taints or () if taint.effect != "PreferNoSchedule"}
    if not found:
        yield Check("gpu", "warn", f"none on {len(nodes)} nodes", "compile the pipelines with --placement cpu")
        return
    said = (
        f"{', '.join(f'{found[name]} {name}' for name in sorted(found))}; taints: {', '.join(sorted(taints)) or 'none'}"
    )
    if pooled:
        yield Check("gpu", "ok", f"{said}; {pooled} nodes in the pool")
    else:
        advice = f"label them {'='.join(POOL)}, or compile with a placement that names your cluster's labels"
        yield Check("gpu", "warn", f"{said}; no node is labelled {POOL[0]}", advice)
