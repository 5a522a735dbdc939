"""What every objective promises (`parfocal.objectives.Objective`); being in the table covers a new member."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from objectives_kit import batch
from torch import nn

from parfocal import models
from parfocal.core.config import Config
from parfocal.objectives import FAMILY, MAIN, UNKNOWN, Batch, Objective

SMALL = {"width": 4, "blocks": 1}
"""Sizes of the networks beside the main one, where an objective has such a setting."""


class Point(nn.Module):
    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv, self.head = nn.Conv2d(channels, 4, 3), nn.Linear(4, 2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(self.conv(x).relu().mean((2, 3)))  # type: ignore[no-any-return]


@pytest.fixture(params=list(FAMILY))
def objective(request: pytest.FixtureRequest) -> Objective:
    member = FAMILY.load(request.param)
    small = {name: value for name, value in SMALL.items() if name in member.Settings.model_fields}
    return member(member.Settings.parse(small))  # type: ignore[no-any-return]


def networks(objective: Objective) -> dict[str, nn.Module]:
    """A small main network that fits, and the others as the objective describes them."""
    torch.manual_seed(0)
    size = {"depth": 1, "width": 4, "increment": 1.0, "in_channels": 3 + objective.inputs, "dropout": 0.0}
    made: dict[str, nn.Module] = {
        MAIN: Point(3 + objective.inputs)
        if objective.outputs == "point"
        else models.build("unet", size | {"out_channels": {"mask": 1, "image": 3}[objective.outputs]})
    }
    for name, spec in objective.networks().items():
        made[name] = models.build(spec.name, spec.parameters, seed=1)
    return made


def partly() -> Batch:
    """One picture with labels, one with a gap in them, one without any."""
    full = batch(n=3)
    target, points = full.target.clone(), full.points.clone()
    target[1, :8], target[2], points[2] = UNKNOWN, UNKNOWN, torch.nan
    return replace(full, target=target, points=points)


def blank() -> Batch:
    full = batch(n=3)
    return replace(full, target=torch.full_like(full.target, UNKNOWN), points=torch.full_like(full.points, torch.nan))


def test_every_network_belongs_to_one_player_and_the_main_one_is_not_described(objective: Objective) -> None:
    assert MAIN not in objective.networks()
    belonging = [name for player in objective.players().values() for name in player.networks]
    assert sorted(belonging) == sorted([MAIN, *objective.networks()])
    assert all(player.rate > 0 for player in objective.players().values())


@pytest.mark.parametrize("pictures", [batch, partly, blank])
def test_each_players_loss_is_a_finite_number_that_reaches_its_networks(objective: Objective, pictures) -> None:  # type: ignore[no-untyped-def]
    made = networks(objective)
    for name, player in objective.players().items():
        for network in made.values():
            network.zero_grad(set_to_none=True)
        loss, parts = objective.loss(name, made, pictures())
        assert (loss.dtype, loss.shape) == (torch.float32, ())
        assert torch.isfinite(loss)
        assert parts
        assert all(part.ndim == 0 and torch.isfinite(part) and not part.requires_grad for part in parts.values())
        loss.backward()
        for mine in player.networks:
            grads = [parameter.grad for parameter in made[mine].parameters()]
            assert all(grad is not None and torch.isfinite(grad).all() for grad in grads)
            if pictures is not blank:
                assert any(grad.any() for grad in grads if grad is not None)
        if MAIN not in player.networks:
            assert all(parameter.grad is None for parameter in made[MAIN].parameters())


def test_chance_comes_from_the_batch_alone(objective: Objective) -> None:
    for name in objective.players():
        losses = []
        for torch_seed in (1, 2):
            made = networks(objective)
            torch.manual_seed(torch_seed)
            losses.append(objective.loss(name, made, batch(n=3, seed=5))[0].item())
        assert losses[0] == losses[1]


def test_modes_are_left_as_they_were_and_batch_norms_keep_tracking(objective: Objective) -> None:
    made = networks(objective)
    for name in objective.players():
        objective.loss(name, made, partly())
    for module in (module for network in made.values() for module in network.modules()):
        assert module.training
        assert getattr(module, "track_running_stats", None) is not False or isinstance(module, nn.InstanceNorm2d)
    assert torch.is_grad_enabled()


def test_there_is_one_score_a_case_and_nothing_unlabelled_lowers_it(objective: Objective) -> None:
    made = {name: network.eval() for name, network in networks(objective).items()}
    with torch.inference_mode():
        full, gaps, none = (objective.score(made, pictures) for pictures in (batch(n=3), partly(), blank()))
    for scores in (full, gaps, none):
        assert (scores.shape, scores.dtype) == ((3,), np.float64)
        assert objective.score_name
    assert np.isfinite(full).all()
    assert np.isfinite(gaps[:2]).all()
    # Where labels are what is scored, a case without any has no score.
    assert np.isnan(none).all() or objective.outputs == "image"


def test_its_settings_say_what_they_are_and_refuse_others(objective: Objective) -> None:
    assert issubclass(objective.Settings, Config)
    assert all(field.description for field in objective.Settings.model_fields.values())
    settings = objective.Settings()
    assert type(settings).from_json(settings.canonical_json()) == settings
