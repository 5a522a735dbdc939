"""Passes through a network that are not the one that trains it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.parallel import DistributedDataParallel


@contextmanager
def untracked(network: nn.Module) -> Iterator[None]:
    """Passes that leave no trace in batch-norm statistics; they normalise as in training all the same.

    For pictures that the network will not meet in use, such as those that a generator made, and for a second pass over
    those that it has met.
    """
    norms = [m for m in network.modules() if isinstance(m, _BatchNorm) and m.training and m.track_running_stats]
    for norm in norms:
        norm.track_running_stats = False
    try:
        yield
    finally:
        for norm in norms:
            norm.track_running_stats = True


@contextmanager
def predicting(network: nn.Module) -> Iterator[None]:
    """Passes as in use: evaluation mode, no gradient; afterwards every layer is in the mode in which it was.

    The processes of a distributed training may make different numbers of them: buffers, which a pass otherwise gets
    from the first process, are not exchanged.
    """
    training = [m for m in network.modules() if m.training]
    wrappers = [m for m in network.modules() if isinstance(m, DistributedDataParallel)]
    exchanging = [wrapper.require_forward_param_sync for wrapper in wrappers]
    network.eval()
    for wrapper in wrappers:
        wrapper.require_forward_param_sync = False
    try:
        with torch.no_grad():
            yield
    finally:
        for wrapper, was in zip(wrappers, exchanging, strict=True):
            wrapper.require_forward_param_sync = was
        for module in training:
            module.training = True
