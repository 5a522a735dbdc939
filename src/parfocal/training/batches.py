"""Pictures on their way to the network: uint8 in memory, float on the device, the next batch made meanwhile."""

from __future__ import annotations

from collections.abc import Callable, Generator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from typing import Any, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray

from parfocal.memory.sampler import Sampler

T = TypeVar("T")

Batches = Generator[tuple[torch.Tensor, torch.Tensor, torch.Tensor], None, None]
"""Network input, mask and points; close it to end its thread."""


def to_device(array: NDArray[Any], device: torch.device) -> torch.Tensor:
    """The same numbers on the device; from pinned memory and without waiting where that is a GPU."""
    tensor = torch.from_numpy(array)
    if device.type != "cuda":
        return tensor.to(device)
    return tensor.pin_memory().to(device, non_blocking=True)


def to_input(images: NDArray[np.uint8], device: torch.device) -> torch.Tensor:
    """Network input float32 [N, 3, S, S] in [0, 1], channels-last in memory, from uint8 BGR [N, S, S, 3].

    Of stacks [N, 3, D, S, S] from [N, D, S, S, 3].
    """
    tensor = to_device(images, device)
    return tensor.permute(0, tensor.ndim - 1, *range(1, tensor.ndim - 1)).to(torch.float32).div_(255)


def ahead(make: Callable[[int], T], first: int, last: int) -> Generator[T, None, None]:
    """What `make` gives for `first` to `last` - 1; a thread makes one while another is used."""
    if first >= last:
        return
    with ThreadPoolExecutor(max_workers=1, thread_name_prefix="batches") as thread:
        following = thread.submit(make, first)
        for step in range(first, last):
            made = following.result()
            if step + 1 < last:
                following = thread.submit(make, step + 1)
            yield made


def upcoming(
    sampler: Sampler, first: int, last: int, device: torch.device, *, rank: int = 0, world: int = 1
) -> Batches:
    """Input, mask (uint8 [N, S, S], of stacks [N, D, S, S]) and points (float32 [N, 2]) of steps `first` to `last` - 1.

    A thread makes one while another is used.
    """
    with closing(ahead(lambda step: sampler.batch(step, rank, world), first, last)) as made:
        for images, masks, points in made:
            yield to_input(images, device), to_device(masks, device), to_device(points, device)
