"""The norm of the last layer's gradient, on a case worked by hand."""

from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import nn

from parfocal.core.errors import UsageError
from parfocal.objectives import Batch
from parfocal.objectives.segment import Segment, SegmentSettings
from parfocal.training.gradients import last_layer_norms

BASE = Segment(SegmentSettings(), "bce")


def case(colour: tuple[float, float, float], mask: int) -> Batch:
    image = torch.tensor(colour).view(1, 3, 1, 1)
    target = torch.full((1, 1, 1), mask, dtype=torch.uint8)
    return Batch(image, target, torch.full((1, 2), torch.nan), np.random.default_rng(0))


def network() -> nn.Module:
    """A first layer that passes its input on, and a head of zeros, so that every probability is one half."""
    first, head = nn.Conv2d(3, 3, 1), nn.Conv2d(3, 1, 1)
    nn.init.dirac_(first.weight)
    for values in (first.bias, head.weight, head.bias):
        nn.init.zeros_(values)  # type: ignore[arg-type]
    return nn.Sequential(first, nn.BatchNorm2d(3), head)


def test_it_is_the_error_times_the_features() -> None:
    """dL/dw = (1/2 - y) x: half the length of x, whatever y; batch norm divides by sqrt(1 + 1e-5)."""
    found = last_layer_norms(network(), [case((3.0, 0.0, 4.0), 1), case((0.0, 1.0, 0.0), 0)], BASE)
    np.testing.assert_allclose(found, [2.5, 0.5], rtol=1e-4)


def test_the_network_is_left_as_it_was() -> None:
    model = network().train()
    model[0].requires_grad_(False)  # type: ignore[index]
    state = {name: value.clone() for name, value in model.state_dict().items()}
    last_layer_norms(model, [case((1.0, 1.0, 1.0), 1)], BASE)
    assert all(torch.equal(value, state[name]) for name, value in model.state_dict().items())
    assert model.training
    assert [p.requires_grad for p in model.parameters()] == [False, False, True, True, True, True]
    assert all(p.grad is None for p in model.parameters())


def test_a_network_without_such_a_layer_is_refused() -> None:
    class Nothing(nn.Module):
        forward: Callable[[torch.Tensor], torch.Tensor]

    with pytest.raises(UsageError, match="no layer of weights"):
        last_layer_norms(Nothing(), [], BASE)
