import pytest
import torch

from parfocal.core.errors import UsageError
from parfocal.models.levels import level_widths
from parfocal.models.unet import RecursiveUNet


@pytest.mark.parametrize(
    ("depth", "width", "increment", "parameters"),
    [
        (5, 32, 1.5, 3_463_742),
        (5, 40, 1.2, 1_144_520),
        (6, 40, 1.3, 3_322_089),
        (6, 40, 1.1, 917_492),
        (7, 40, 1.2, 2_552_657),
        (7, 64, 1.3, 14_564_199),
    ],
)
@pytest.mark.parametrize("up", ["transpose", "upsample"])
def test_the_trainable_parameters_are_exactly_those_of_the_papers_networks(
    depth: int, width: int, increment: float, parameters: int, up: str
) -> None:
    model = RecursiveUNet(depth, width, increment, up=up)
    assert sum(p.numel() for p in model.parameters() if p.requires_grad) == parameters


def test_widths_are_cut_to_whole_channels_at_every_level_not_once() -> None:
    assert level_widths(6, 40, 1.1) == (40, 44, 48, 52, 57, 62, 68)


@pytest.mark.parametrize("up", ["transpose", "upsample"])
@pytest.mark.parametrize("batch_norm", [True, False])
def test_logits_are_as_large_as_the_picture_and_features_as_small_as_the_lowest_level(
    up: str, batch_norm: bool
) -> None:
    model = RecursiveUNet(3, 6, 1.5, in_channels=1, out_channels=2, up=up, batch_norm=batch_norm)
    x = torch.rand(2, 1, 32, 48)
    assert model(x).shape == (2, 2, 32, 48)
    assert model.encode(x).shape == (2, model.widths[-1], 4, 6)


def test_a_picture_that_cannot_be_halved_often_enough_is_refused_with_advice() -> None:
    with pytest.raises(UsageError, match="depth 3") as error:
        RecursiveUNet(3, 4, 1.5)(torch.rand(1, 3, 36, 32))
    assert "multiples of 8" in error.value.expected


@pytest.mark.parametrize(("at", "layers"), [("every", 5), ("bottom", 1), ("none", 0)])
def test_dropout_is_where_it_was_asked_for(at: str, layers: int) -> None:
    model = RecursiveUNet(2, 4, 1.5, dropout_at=at)
    assert sum(type(module).__name__ == "PooledDropout" for module in model.modules()) == layers


def test_every_parameter_gets_a_gradient() -> None:
    model = RecursiveUNet(2, 4, 1.5).train()
    model(torch.rand(2, 3, 16, 16)).sum().backward()
    assert all(p.grad is not None for p in model.parameters())
