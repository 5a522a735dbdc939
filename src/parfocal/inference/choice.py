"""Which runtime answers for a structure on this machine."""

from __future__ import annotations

import ctypes
import os
from collections.abc import Iterable
from functools import lru_cache

from parfocal.core.errors import UsageError
from parfocal.inference.runtimes import FAMILY, NATIVE, member_of

AUTO = "auto"
RUNTIME = "PARFOCAL_RUNTIME"
"""Names the runtime that answers wherever the settings say ``auto``."""


def choose(structure: str, exported: Iterable[str], asked: str = AUTO) -> str:
    """The runtime that executes a structure's network.

    Args:
        structure: its name, for the message.
        exported: runtimes it was exported for, the preferred first.
        asked: member of the family `runtimes`, or one with a precision (``openvino-bf16``), or ``auto``: what the
            environment names in PARFOCAL_RUNTIME; else, on a machine with CUDA, PyTorch, which then computes there;
            else the first export, or the weights without one.

    Raises:
        UsageError: there is no such runtime, or the structure was not exported for it.
    """
    known = list(exported)
    where = ""
    if asked == AUTO:
        asked, where = os.environ.get(RUNTIME) or AUTO, RUNTIME
    if asked == AUTO:
        return NATIVE if has_cuda() else next(iter(known), NATIVE)
    if member_of(asked) not in (NATIVE, *known):
        if member_of(asked) not in FAMILY.table:
            FAMILY.load(asked)  # says which there are
        raise UsageError(
            f"{structure} was not exported for {asked}",
            where=where,
            expected=f"one of {', '.join(dict.fromkeys([*known, NATIVE]))}",
            next="use the runtime `auto`, or train with --set export.runtimes",
        )
    return asked


@lru_cache(maxsize=1)
def has_cuda() -> bool:
    """Whether PyTorch finds a GPU; a machine without NVIDIA's driver is spared the import of PyTorch."""
    try:
        ctypes.CDLL("libcuda.so.1")
    except OSError:
        return False
    import torch

    return torch.cuda.is_available()
