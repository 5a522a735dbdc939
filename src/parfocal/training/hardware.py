"""What this machine computes on and in which precision, and the processes that `torchrun` started."""

from __future__ import annotations

import ctypes
import logging
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any, TypeVar

import torch
from lightning_fabric import Fabric

from parfocal.core.errors import ParfocalError

T = TypeVar("T")

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3
"""Parameters of glibc's mallopt(3)."""


def precision(requested: str, device: torch.device) -> str:
    """``bf16-mixed`` or ``32-true``; ``auto`` asks the hardware whether it computes in bfloat16."""
    if requested != "auto":
        return requested
    if device.type == "cuda":
        native = torch.cuda.is_bf16_supported(including_emulation=False)
    else:
        native = torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()
    return "bf16-mixed" if native else "32-true"


def default_device() -> torch.device:
    """The first GPU, or the CPU."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def launch(requested: str) -> Fabric:
    """A Fabric that is ready to use: one device alone, or this process's place among those of `torchrun`."""
    settings: dict[str, Any] = {
        "accelerator": "auto",
        "devices": 1,
        "precision": precision(requested, default_device()),
    }
    if "TORCHELASTIC_RUN_ID" in os.environ:
        local = int(os.environ["LOCAL_WORLD_SIZE"])
        settings |= {"devices": local, "num_nodes": int(os.environ["WORLD_SIZE"]) // local, "strategy": "ddp"}
    logging.getLogger("lightning_fabric").setLevel(logging.WARNING)  # what it chose is in the run's parameters
    fabric = Fabric(**settings)
    fabric.launch()
    return fabric


def first_alone(fabric: Fabric, action: Callable[[], T]) -> T:
    """Run `action` in the first process; all get its answer, or raise its error, and none waits for ever."""
    answer: tuple[T | None, ParfocalError | None] = (None, None)
    if fabric.is_global_zero:
        try:
            answer = (action(), None)
        except ParfocalError as error:
            answer = (None, error)
    value, failure = fabric.broadcast(answer)
    if failure is not None:
        raise failure
    return value  # type: ignore[no-any-return]


@contextmanager
def repeatable() -> Iterator[None]:
    """Deterministic kernels, and the caller's random state (the CPU's) given back afterwards."""
    before = torch.backends.cudnn.deterministic, torch.backends.cudnn.benchmark
    torch.backends.cudnn.deterministic, torch.backends.cudnn.benchmark = True, False
    try:
        with torch.random.fork_rng(devices=[]):
            yield
    finally:
        torch.backends.cudnn.deterministic, torch.backends.cudnn.benchmark = before


def keep_heap() -> None:
    """Let glibc keep freed memory for the next step.

    By default it gives every large block back to the system and faults all its pages in again in the next step,
    which cost 13 % of a training step. Other C libraries have no mallopt and are left as they are.
    """
    with suppress(OSError, AttributeError):
        mallopt = ctypes.CDLL(None).mallopt
        mallopt(_M_MMAP_THRESHOLD, 1 << 30)
        mallopt(_M_TRIM_THRESHOLD, (1 << 31) - 1)
