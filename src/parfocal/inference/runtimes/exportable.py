"""A network as exports see it: probabilities out, and its pooled features beside them. Only exporting imports this."""

from __future__ import annotations

import copy
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import nn

from parfocal import models


class Exportable(nn.Module):
    """Ends in probabilities and, where the network has them, has its pooled features [N, D] as a second output."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, x: torch.Tensor) -> torch.Tensor | tuple[torch.Tensor, torch.Tensor]:
        logits, features = models.describer(self.model)(x)
        probability = models.probabilities(logits)
        return (probability, features) if features.shape[1] else probability


def exportable(model: nn.Module, *, masks: bool = True) -> nn.Module:
    """A copy on the CPU that is ready to be traced; `masks` is False for a network whose output is left as it is."""
    copied = copy.deepcopy(model).cpu()
    return (Exportable(copied) if masks else copied).eval()


def sides(model: nn.Module, channels: int, size: int) -> list[int]:
    """Shape of one picture that the network takes, [channels, size, size], or of a stack, [channels, D, size, size]."""
    depth = models.slices_of(model)
    return [channels, *([depth] if depth else []), size, size]


@contextmanager
def tracing() -> Iterator[None]:
    """No gradients, and no warnings of what is known.

    Exports trace with TorchScript, which warns of its own age and of the network's check of its input's sides.
    `torch.export` gave the same numbers in three times (OpenVINO) and twenty times (ONNX) the time.
    """
    known = "Converting a tensor|`torch.jit.trace|You are using the legacy|The feature will be removed|ONNX export mode"
    with torch.no_grad(), warnings.catch_warnings():
        warnings.filterwarnings("ignore", known)
        yield
