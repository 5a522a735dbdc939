"""Batch-norm statistics recomputed on chosen pictures, as weights that were averaged or moved need it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from parfocal.core.errors import UsageError

Weights = dict[str, torch.Tensor]
"""A state dict on the CPU: parameters and buffers by name."""


def weights_of(model: nn.Module) -> Weights:
    """A copy of the model's state on the CPU, contiguous."""
    return {name: value.detach().cpu().clone().contiguous() for name, value in model.state_dict().items()}


def recompute(model: nn.Module, batches: Iterable[torch.Tensor]) -> None:
    """Replace running means and variances by their plain averages over `batches`, in place.

    Only the batch norms see the pictures as in training: dropout stays off, and no weight changes. Every batch counts
    the same, so they should be equally large; the variance is the mean of the batches' unbiased variances.

    Args:
        model: on any device; a model without batch norm is left alone and no batch is read.
        batches: network inputs, float32 [N, 3, S, S] in [0, 1], on the model's device.

    Raises:
        UsageError: there is no batch.
    """
    norms = [module for module in model.modules() if isinstance(module, _BatchNorm)]
    if not norms:
        return
    momenta = [norm.momentum for norm in norms]
    was = model.training
    model.eval()
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None  # PyTorch's spelling of a cumulative average
        norm.train()
    seen = 0
    try:
        with torch.no_grad():
            for batch in batches:
                model(batch)
                seen += 1
    finally:
        for norm, momentum in zip(norms, momenta, strict=True):
            norm.momentum = momentum
        model.train(was)
    if not seen:
        raise UsageError("there are no pictures to recompute batch-norm statistics on")


def recomputed(model: nn.Module, weights: Mapping[str, torch.Tensor], batches: Iterable[torch.Tensor]) -> Weights:
    """`weights` with batch-norm statistics of `batches`; `model` is used as a scratch network and keeps the result."""
    model.load_state_dict(dict(weights))
    recompute(model, batches)
    return weights_of(model)
