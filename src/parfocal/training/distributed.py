"""Several processes that take one step: batch norm and losses over the whole batch, so that it equals one process's.

Each process has every `world`-th picture of a batch (`memory.sampler`) and DDP averages the gradients. What is left is
what looks at a batch as a whole: batch norm. PyTorch's `SyncBatchNorm` refuses the CPU and takes the place of modules;
here the same sums go through whatever backend there is, and the modules stay what they are.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from typing import Any

import torch
from lightning_fabric import Fabric
from torch import distributed, nn
from torch.nn.modules.batchnorm import _BatchNorm


@contextmanager
def whole_batch(networks: Iterable[nn.Module], world: int) -> Iterator[None]:
    """Batch norms in training mode use mean and variance of all processes' pictures while the block lasts.

    Every process must run the same networks as often and in the same order, on parts of one size. With one process
    nothing changes.
    """
    found = [one for network in networks for one in network.modules() if isinstance(one, _BatchNorm)]
    norms = found if world > 1 else []
    for norm in norms:
        norm.forward = partial(_normalized, norm, world)  # type: ignore[method-assign]
    try:
        yield
    finally:
        for norm in norms:
            del norm.forward


def mean(fabric: Fabric, values: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Scalars averaged over all processes, by one message; with one process as they are."""
    if fabric.world_size == 1 or not values:
        return dict(values)
    joint = torch.stack([value.to(torch.float64) for value in values.values()])
    distributed.all_reduce(joint)
    return dict(zip(values, joint / fabric.world_size, strict=True))


def anywhere(fabric: Fabric, here: bool) -> bool:
    """Whether it holds in any process; all must ask. A GPU is waited for."""
    found = torch.tensor(float(here), device=fabric.device)
    if fabric.world_size > 1:
        distributed.all_reduce(found)
    return bool(found)


def _normalized(norm: _BatchNorm, world: int, x: torch.Tensor) -> torch.Tensor:
    """What `norm` gives for the part `x` [N, C, ...] of a batch, and its running statistics brought up to date.

    Mean and variance of the batch are sums over processes of the parts' E[x] and E[x^2], in float64, where their
    difference loses nothing.
    """
    if not norm.training:
        found: torch.Tensor = type(norm).forward(norm, x)
        return found
    places = [0, *range(2, x.dim())]
    count = world * x.numel() // x.shape[1]
    wide = x.float()
    variance, average = torch.var_mean(wide, places, correction=0)
    average, variance = average.double(), variance.double()
    sums = _summed(torch.cat([average, variance + average.square()])) / world
    average, square = sums.chunk(2)
    variance = square - average.square()
    if norm.track_running_stats:  # objectives.passes switches it off
        _remember(norm, average.detach(), variance.detach() * count / max(count - 1, 1))
    scale = torch.rsqrt(variance + norm.eps)
    shift = -average * scale
    if norm.affine:
        scale = scale * norm.weight
        shift = shift * norm.weight + norm.bias
    shape = [1, -1] + [1] * (x.dim() - 2)
    return (wide * scale.float().view(shape) + shift.float().view(shape)).to(x.dtype)


def _remember(norm: _BatchNorm, average: torch.Tensor, variance: torch.Tensor) -> None:
    """Running statistics as PyTorch keeps them: a moving average, or a plain one where there is no momentum."""
    assert norm.running_mean is not None and norm.running_var is not None
    share = norm.momentum
    if norm.num_batches_tracked is not None:
        norm.num_batches_tracked.add_(1)
        share = 1.0 / float(norm.num_batches_tracked) if share is None else share
    norm.running_mean.lerp_(average.to(norm.running_mean.dtype), share or 0.0)
    norm.running_var.lerp_(variance.to(norm.running_var.dtype), share or 0.0)


def _summed(part: torch.Tensor) -> torch.Tensor:
    found: torch.Tensor = _Sum.apply(part)  # type: ignore[no-untyped-call]
    return found


class _Sum(torch.autograd.Function):
    """Sum over processes; so is the gradient, because every process's loss depends on every process's part."""

    @staticmethod
    def forward(ctx: Any, part: torch.Tensor) -> torch.Tensor:  # noqa: ARG004
        total = part.contiguous().clone()
        distributed.all_reduce(total)
        return total

    @staticmethod
    def backward(ctx: Any, gradient: torch.Tensor) -> torch.Tensor:  # noqa: ARG004
        total = gradient.contiguous().clone()
        distributed.all_reduce(total)
        return total
