"""Where the steps of a pipeline run on a cluster: GPU pools, shared memory, retries, time limits, volumes, addresses.

A placement file is YAML with a section a step and `platform` for what all steps share. `gpu` and `cpu` come with this
package; `parfocal pipeline compile --placement FILE` takes your own. All of it goes into the compiled YAML, and none of
it has an effect on `kfp.local`.
"""

from pathlib import Path
from typing import Any

import yaml
from kfp import kubernetes
from pydantic import Field

from parfocal.core.config import Config
from parfocal.core.errors import UsageError

FILES = Path(__file__).parent
DEFAULT = "gpu"
QUANTITY = r"^[0-9]+(E|Ei|P|Pi|T|Ti|G|Gi|M|Mi|K|Ki)?$"
CPU = r"^([0-9]*[.])?[0-9]+m?$"


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
    accelerator: str = Field(default="", description="resource name, such as nvidia.com/gpu; empty: none")
    accelerators: int = Field(default=1, ge=1, description="how many, where an accelerator is named")
    node_selector: dict[str, str] = Field(default_factory=dict, description="labels that the node must carry")
    tolerations: tuple[Toleration, ...] = ()
    shared_memory: str | None = Field(
        default=None,
        pattern=QUANTITY,
        description="size of /dev/shm, in memory; the container's own is 64 MiB, too small for loaders and for NCCL",
    )
    retries: int = Field(default=2, ge=0, description="more attempts after a failed one; nodes come and go")
    backoff_seconds: int = Field(default=30, ge=0, description="pause before the first retry; doubles each time")
    timeout_seconds: int = Field(default=3600, ge=1, description="of one attempt's pod (activeDeadlineSeconds)")


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
    preprocess: Placement = Placement()
    pretrain: Placement = Placement()
    study: Placement = Placement()
    train: Placement = Placement()
    retrain: Placement = Placement()
    evaluate: Placement = Placement()
    promote: Placement = Placement()


def load(name: str = DEFAULT) -> Placements:
    """Read the placement file of that name, or the file at that path.

    Raises:
        UsageError: there is no such file, or a key or value in it is wrong.
    """
    file = FILES / f"placement_{name}.yaml"
    if not file.is_file():
        file = Path(name)
    if not file.is_file():
        known = ", ".join(sorted(path.stem.removeprefix("placement_") for path in FILES.glob("placement_*.yaml")))
        raise UsageError(f"there is no placement '{name}'", expected=f"{known}, or a YAML file")
    try:
        return Placements.parse(yaml.safe_load(file.read_text()) or {}, where=file)
    except yaml.YAMLError as error:
        raise UsageError(f"the placement is not YAML: {error}", where=file) from None


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
    if placement.shared_memory:
        kubernetes.empty_dir_mount(task, "shared-memory", "/dev/shm", "Memory", placement.shared_memory)  # noqa: S108
    if placement.retries:
        task.set_retry(placement.retries, f"{placement.backoff_seconds}s", 2.0)
    kubernetes.set_timeout(task, placement.timeout_seconds)
    if platform.claim:
        kubernetes.mount_pvc(task, platform.claim, platform.mount)
    if platform.config_map:
        kubernetes.use_config_map_as_env(task, platform.config_map, {key: key for key in platform.config_keys})
    if platform.secret:
        kubernetes.use_secret_as_env(task, platform.secret, {key: key for key in platform.secret_keys})
    return task
