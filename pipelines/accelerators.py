"""Names that accelerators have in Kubernetes. A wrong one is a resource that no node has: its pod waits for ever."""

import re
from collections.abc import Collection
from difflib import get_close_matches
from typing import TYPE_CHECKING

from parfocal.core.errors import UsageError

if TYPE_CHECKING:
    from parfocal_pipelines.placement import Placement

KNOWN = (
    "nvidia.com/gpu",
    "nvidia.com/gpu.shared",
    "amd.com/gpu",
    "gpu.intel.com/i915",
    "gpu.intel.com/xe",
    "habana.ai/gaudi",
    "huawei.com/Ascend310",
    "huawei.com/Ascend310P",
    "huawei.com/Ascend910",
    "cambricon.com/mlu",
    "google.com/tpu",
    "aws.amazon.com/neuron",
    "aws.amazon.com/neuroncore",
    "aws.amazon.com/neurondevice",
)
"""As the makers' device plugins give them out."""
MIG = re.compile(r"nvidia\.com/mig-[12347]g\.[0-9]+gb(\.me|\.me\.all|\.gfx|-me)?(\.shared)?")
"""A part of an NVIDIA GPU, by its profile: slices of computing, memory, what it has besides; time-sliced or not."""
PART = "nvidia.com/mig-1g.10gb"
CLOSE = 0.8
"""Share of letters (difflib's ratio) from which a name is taken for a known one that was misspelt."""


def check(step: str, wanted: "Placement", declared: Collection[str]) -> None:
    """Refuse a name that is nobody's and looks like a known one, or like one of those `declared`.

    Raises:
        UsageError: with the name that was probably meant.
    """
    name, known = wanted.accelerator, (*KNOWN, *declared)
    if not name or name in known or MIG.fullmatch(name):
        return
    letters = {one.lower(): one for one in (*known, PART)}
    if close := get_close_matches(name.lower(), letters, n=1, cutoff=CLOSE):
        raise UsageError(
            f"the step '{step}' asks for {name}, which no device plugin gives out: is it {letters[close[0]]}?",
            where=f"placement, {step}.accelerator",
            expected=f"{', '.join(known)}, or a part such as {PART}",
            next="where nodes do have it, declare them under pools",
        )
