"""What a namespace gives at most, and whether a step asks for more. A pod over its namespace's ResourceQuota or
LimitRange is never made: the run would stand still, and only Kubernetes' events would say why."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

from parfocal_pipelines.pools import CPU, QUANTITY, size
from pydantic import Field

from parfocal.core.config import Config
from parfocal.core.errors import UsageError

if TYPE_CHECKING:
    from parfocal_pipelines.placement import Placement


class Largest(Config):
    """What one container may ask for: `max` of a LimitRange. What is not named is not bounded."""

    cpu: str | None = Field(default=None, pattern=CPU)
    memory: str | None = Field(default=None, pattern=QUANTITY)


class Quota(Config):
    """What all pods of the namespace may ask for together (`kubectl describe resourcequota`): `requests` of a
    ResourceQuota, and `limits.memory` where that is less. What is not named is not bounded, as in Kubernetes."""

    cpu: str | None = Field(default=None, pattern=CPU)
    memory: str | None = Field(default=None, pattern=QUANTITY)
    accelerators: dict[str, int] = Field(default_factory=dict, description="resource name to how many")
    container: Largest = Largest()


SHIPPED = Quota(cpu="64", memory="256Gi", accelerators={"nvidia.com/gpu": 8})
"""Of manifests/base/shared/limits.yaml."""


def check(step: str, wanted: "Placement", quota: Quota) -> None:
    """Refuse a step that asks for more than the whole namespace may have.

    What else runs there is not subtracted: a step that fits only beside nothing waits until there is room.

    Raises:
        UsageError: with everything that is too much.
    """
    if reasons := "; ".join(_too_much(wanted, quota)):
        raise UsageError(
            f"the step '{step}' would never start: {reasons}",
            where=f"placement, {step}",
            expected="at most what the namespace may have",
            next="ask for less; where the namespace has another ResourceQuota or LimitRange than "
            "manifests/base/shared/limits.yaml, say so under quota, {} if it has none",
        )


def _too_much(wanted: "Placement", quota: Quota) -> Iterator[str]:
    for what in ("cpu", "memory"):
        asked, may, most = getattr(wanted, what), getattr(quota, what), getattr(quota.container, what)
        if may is not None and size(asked) > size(may):
            yield f"{what} {asked} is more than the namespace's quota of {may}"
        if most is not None and size(asked) > size(most):
            yield f"{what} {asked} is more than the {most} that one container may have"
    left = quota.accelerators.get(wanted.accelerator)
    if wanted.accelerator and left is not None and wanted.accelerators > left:
        yield f"{wanted.accelerators} x {wanted.accelerator} is more than the namespace's quota of {left}"
