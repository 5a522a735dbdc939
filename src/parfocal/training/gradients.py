"""How much a case would still teach a network: the gradient of its loss."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from parfocal.core.errors import UsageError
from parfocal.objectives import MAIN, Batch, Objective


def last_layer_norms(model: nn.Module, cases: Iterable[Batch], objective: Objective) -> NDArray[np.float64]:
    """Euclidean norm of the gradient of each case's loss by the last layer's weights, [N], in nats.

    A cheap stand-in for the whole gradient (GraNd: Paul and others, Deep learning on a data diet, 2021). The last layer
    is the weight with more than one dimension that was registered last, in a U-Net its head. Evaluation mode; weights,
    mode and gradients of `model` are left as they are.

    Args:
        model: on the device of the batches.
        cases: batches of one case each.
        objective: of one network.

    Raises:
        UsageError: the network has no such layer.
    """
    weights = [parameter for parameter in model.parameters() if parameter.dim() > 1]
    if not weights:
        raise UsageError("this network has no layer of weights", where="retrain.selection", expected="random")
    needed, was = [(p, p.requires_grad) for p in model.parameters()], model.training
    model.eval().requires_grad_(False)
    weights[-1].requires_grad_(True)  # so that nothing before it is kept for a way back
    found = []
    try:
        for case in cases:
            loss, _ = objective.loss(MAIN, {MAIN: model}, case)
            found.append(float(torch.autograd.grad(loss, weights[-1])[0].double().norm()))
    finally:
        model.train(was)
        for parameter, need in needed:
            parameter.requires_grad_(need)
    return np.array(found, np.float64)
