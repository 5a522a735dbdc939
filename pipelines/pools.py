"""The nodes that a cluster has, and whether a step fits on one of them. Asked when compiling, where a person reads the
answer; on the cluster the pod would wait for a node for ever."""

from collections.abc import Iterator, Mapping
from decimal import Decimal
from typing import TYPE_CHECKING

from pydantic import Field

from parfocal.core.config import Config
from parfocal.core.errors import UsageError

if TYPE_CHECKING:
    from parfocal_pipelines.placement import Placement

QUANTITY = r"^[0-9]+(E|Ei|P|Pi|T|Ti|G|Gi|M|Mi|K|Ki)?$"
CPU = r"^([0-9]*[.])?[0-9]+m?$"
SHARES = ("/mig-", ".shared")
"""In the names of resources that are a part of a GPU: NVIDIA's MIG, by its profile, and time-slicing."""
_POWERS = ("K", "M", "G", "T", "P", "E")


class Taint(Config):
    """A taint of every node of a pool."""

    key: str
    value: str = ""
    effect: str = Field(default="NoSchedule", pattern="^(NoSchedule|PreferNoSchedule|NoExecute)$")


class Pool(Config):
    """What one node of a pool offers to pods (`kubectl describe node`: Allocatable)."""

    cpu: str = Field(pattern=CPU)
    memory: str = Field(pattern=QUANTITY)
    accelerators: dict[str, int] = Field(default_factory=dict, description="resource name to how many a node has")
    labels: dict[str, str] = Field(default_factory=dict)
    taints: tuple[Taint, ...] = ()


def check(step: str, wanted: "Placement", pools: Mapping[str, Pool]) -> None:
    """Refuse a placement that no pod can have, or, where pools are declared, none of their nodes.

    Raises:
        UsageError: with the reason, pool by pool.
    """
    for reason in _impossible(wanted):
        raise UsageError(f"the step '{step}' cannot be placed: {reason}", where=f"placement, {step}")
    refusals = {name: "; ".join(_lacks(wanted, pool)) for name, pool in pools.items()}
    if refusals and all(refusals.values()):
        said = ". ".join(f"Pool {name}: {reason}" for name, reason in refusals.items())
        raise UsageError(f"the step '{step}' fits on no node. {said}", where=f"placement, {step}")


def size(quantity: str) -> Decimal:
    """Bytes of a Kubernetes quantity, or cores of a CPU: ``4Gi`` is 4 x 1024^3, ``500m`` is 0.5."""
    number = quantity.rstrip("EPTGMKim")
    unit = quantity.removeprefix(number)
    if unit == "m":
        return Decimal(number) / 1000
    base = 1024 if unit.endswith("i") else 1000
    return Decimal(number) * (base ** (_POWERS.index(unit[0]) + 1) if unit else 1)


def _impossible(wanted: "Placement") -> Iterator[str]:
    if wanted.shared_memory and size(wanted.shared_memory) >= size(wanted.memory):
        yield (
            f"shared memory of {wanted.shared_memory} counts as the pod's, which may have {wanted.memory} in all: "
            "a full one would have it killed"
        )
    if wanted.accelerators > 1 and any(share in wanted.accelerator for share in SHARES):
        yield f"{wanted.accelerators} x {wanted.accelerator}: a process sees one part of a GPU, whatever it is given"


def _lacks(wanted: "Placement", pool: Pool) -> Iterator[str]:
    """What keeps a step off the nodes of a pool."""
    for label, value in wanted.node_selector.items():
        if pool.labels.get(label) != value:
            yield f"not labelled {label}={value}"
    for taint in pool.taints:
        if taint.effect != "PreferNoSchedule" and not any(_puts_up(one, taint) for one in wanted.tolerations):
            shown = f"{taint.key}={taint.value}" if taint.value else taint.key
            yield f"the taint {shown}:{taint.effect} is not tolerated"
    for what in ("cpu", "memory"):
        if size(getattr(wanted, what)) > size(getattr(pool, what)):
            yield f"{what} {getattr(wanted, what)} is more than a node's {getattr(pool, what)}"
    has = pool.accelerators.get(wanted.accelerator, 0)
    if wanted.accelerator and wanted.accelerators > has:
        yield f"{wanted.accelerators} x {wanted.accelerator} is more than a node's {has}"


def _puts_up(toleration: object, taint: Taint) -> bool:
    """As Kubernetes says: an empty effect is any, `Exists` any value."""
    key, operator, value, effect = (getattr(toleration, name) for name in ("key", "operator", "value", "effect"))
    return (key, effect) == (taint.key, taint.effect) and (operator == "Exists" or (value or "") == taint.value)
