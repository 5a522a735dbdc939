"""Where the steps of a pipeline run on a cluster: GPU pools, shared memory, retries, time limits, volumes, addresses.

A placement file is YAML with a section a step, `platform` for what all steps share, `pools` for the nodes that there
are, and `quota` for what the namespace may have. Those named in `FILES` come with this package; `parfocal pipeline
compile --placement FILE` takes your own. All of it but pools and quota goes into the compiled YAML, and none of it has
an effect on `kfp.local`.
"""

from pathlib import Path
from typing import Any

import yaml
from kfp import dsl, kubernetes
from parfocal_pipelines import accelerators, pools, quota
from parfocal_pipelines.pools import CPU, QUANTITY, Pool
from parfocal_pipelines.quota import SHIPPED, Quota
from pydantic import Field

from parfocal.core.config import Config
from parfocal.core.errors import UsageError

FILES = Path(__file__).parent
DEFAULT = "gpu"
USER = 10001
"""Of components/Containerfile."""
FORM = '{"data": {"instrument": ""}}'
"""What a run's form shows for `config` where the first step has to be told whose images they are: fill in the name."""
RESOURCE = r"^$|^[a-z0-9.-]+/[A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?$"


class Toleration(Config):
    """A taint that the pod puts up with."""

    key: str
    operator: str = Field(default="Exists", pattern="^(Exists|Equal)$")
    value: str | None = None
    effect: str = Field(default="NoSchedule", pattern="^(NoSchedule|PreferNoSchedule|NoExecute)$")


class Placement(Config):
    """What one step asks of the cluster."""

    cpu: str = Field(default="2", pattern=CPU, description="cores requested; no limit, so that idle cores are used")
    memory: str = Field(default="4Gi", pattern=QUANTITY, description="requested, and the limit")
    accelerator: str = Field(
        default="",
        pattern=RESOURCE,
        description="resource name: nvidia.com/gpu, a part of one (nvidia.com/mig-1g.10gb, nvidia.com/gpu.shared), "
        "amd.com/gpu; empty: none, and the step learns on the CPU",
    )
    accelerators: int = Field(default=1, ge=1, description="how many, where an accelerator is named")
    node_selector: dict[str, str] = Field(
        default_factory=dict, description="labels that the node must carry: its pool, its type of accelerator"
    )
    tolerations: tuple[Toleration, ...] = ()
    shared_memory: str | None = Field(
        default=None,
        pattern=QUANTITY,
        description="size of /dev/shm, in memory; the container's own is 64 MiB, too small for loaders and for NCCL",
    )
    labels: dict[str, str] = Field(
        default_factory=dict, description="of the pod, such as kueue.x-k8s.io/queue-name for a queue with a quota"
    )
    retries: int = Field(default=2, ge=0, description="more attempts after a failed one; nodes come and go")
    backoff_seconds: int = Field(default=30, ge=0, description="pause before the first retry; doubles each time")
    timeout_seconds: int = Field(default=3600, ge=1, description="of one attempt's pod (activeDeadlineSeconds)")

    @property
    def all_attempts_seconds(self) -> int:
        """Until the last attempt has ended, pauses included. Kubeflow counts from the start of the first attempt and
        stops trying after an hour if it is not told: a long training would never be tried again."""
        return (self.retries + 1) * self.timeout_seconds + self.backoff_seconds * (2**self.retries - 1)


class Platform(Config):
    """What every step of every pipeline finds in its pod.

    A key that is missing keeps the pod from starting. That is meant: a ledger that falls back to a file in the pod
    would be gone with it.
    """

    claim: str = Field(default="", description="PersistentVolumeClaim (ReadWriteMany) for checkpoints and kept folders")
    mount: str = Field(default="/var/lib/parfocal", description="where the claim is mounted")
    config_map: str = Field(default="", description="ConfigMap whose keys below become environment variables")
    config_keys: tuple[str, ...] = ("MLFLOW_TRACKING_URI", "PARFOCAL_STATE", "PARFOCAL_SHARED", "PARFOCAL_IMAGE")
    secret: str = Field(default="", description="Secret whose keys below become environment variables")
    secret_keys: tuple[str, ...] = ("PARFOCAL_DATABASE_URL",)


class Placements(Config):
    """Contents of a placement file."""

    platform: Platform = Platform()
    pools: dict[str, Pool] = Field(
        default_factory=dict, description="the cluster's nodes; where there are any, every step must fit on one"
    )
    quota: Quota | None = Field(
        default=SHIPPED, description="of the namespace of the runs; {} or nothing where it has none"
    )
    preprocess: Placement = Placement()
    pretrain: Placement = Placement()
    study: Placement = Placement()
    train: Placement = Placement()
    retrain: Placement = Placement()
    evaluate: Placement = Placement()
    promote: Placement = Placement()


STEPS = tuple(name for name, field in Placements.model_fields.items() if field.annotation is Placement)


def load(name: str = DEFAULT) -> Placements:
    """Read the placement file of that name, or the file at that path.

    Raises:
        UsageError: there is no such file, a key or value in it is wrong, or a step asks for what no node has, or for
            more than the namespace may have.
    """
    file = FILES / f"placement_{name}.yaml"
    if not file.is_file():
        file = Path(name)
    if not file.is_file():
        known = ", ".join(sorted(path.stem.removeprefix("placement_") for path in FILES.glob("placement_*.yaml")))
        raise UsageError(f"there is no placement '{name}'", expected=f"{known}, or a YAML file")
    try:
        read = Placements.parse(yaml.safe_load(file.read_text()) or {}, where=file)
    except yaml.YAMLError as error:
        raise UsageError(f"the placement is not YAML: {error}", where=file) from None
    for step in STEPS:
        _check(step, getattr(read, step), read)
    return read


def _check(step: str, wanted: Placement, read: Placements) -> None:
    given = read.quota or Quota()
    if not read.pools:  # which have the names of their accelerators
        accelerators.check(step, wanted, tuple(given.accelerators))
    pools.check(step, wanted, read.pools)
    quota.check(step, wanted, given)


def imported(address: Any, kind: Any, title: str) -> Any:
    """A task whose output is what lies at `address`: looked up anew in every run, and again where a store was away."""
    task = dsl.importer(artifact_uri=address, artifact_class=kind, reimport=False)
    task.set_caching_options(enable_caching=False).set_retry(2, "30s", 2.0, "600s")
    return task.set_display_name(title)


def place(task: Any, placement: Placement, platform: Platform) -> Any:
    """Apply a placement to a task of a pipeline and return the task.

    Nothing is ever taken from Kubeflow's cache: its key is the address of an input, not its content, and a gate that
    answered from yesterday's champion would be wrong without a word. A repeated training costs little all the same,
    because it goes on from the checkpoint of its idempotency key.
    """
    task.set_caching_options(enable_caching=False)
    task.set_cpu_request(placement.cpu)
    task.set_memory_request(placement.memory).set_memory_limit(placement.memory)
    if placement.accelerator:
        task.set_accelerator_type(placement.accelerator).set_accelerator_limit(placement.accelerators)
    for label, value in placement.node_selector.items():
        kubernetes.add_node_selector(task, label, value)
    for taint in placement.tolerations:
        kubernetes.add_toleration(task, taint.key, taint.operator, taint.value, taint.effect)
    for label, value in placement.labels.items():
        kubernetes.add_pod_label(task, label, value)
    if placement.shared_memory:
        kubernetes.empty_dir_mount(task, "shared-memory", "/dev/shm", "Memory", placement.shared_memory)  # noqa: S108
    if placement.retries:
        task.set_retry(placement.retries, f"{placement.backoff_seconds}s", 2.0, f"{placement.all_attempts_seconds}s")
    kubernetes.set_timeout(task, placement.timeout_seconds)
    # The images' user: a namespace that enforces Pod Security `restricted` starts nothing that may be root.
    kubernetes.set_security_context(task, run_as_user=USER, run_as_group=USER, run_as_non_root=True)
    if platform.claim:
        kubernetes.mount_pvc(task, platform.claim, platform.mount)
    if platform.config_map:
        kubernetes.use_config_map_as_env(task, platform.config_map, {key: key for key in platform.config_keys})
    if platform.secret:
        kubernetes.use_secret_as_env(task, platform.secret, {key: key for key in platform.secret_keys})
    return task
