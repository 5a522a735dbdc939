"""What is particular to one network; what all have in common is in the contract."""

import pytest
import torch
from torch import nn

from parfocal.core.errors import UsageError
from parfocal.models.blocks import Residual
from parfocal.models.critics import LganCritic, PatchCritic
from parfocal.models.localizer import Localizer
from parfocal.models.presets import PRESETS, preset
from parfocal.models.residual_unet import ResidualUNet
from parfocal.models.translator import Translator
from parfocal.models.unet import RecursiveUNet


def parameters(model: nn.Module) -> int:
    return sum(p.numel() for p in model.parameters())


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("paper-000", 917_492),
        ("paper-001-5/32/1.5", 3_463_742),
        ("paper-001-5/40/1.2", 1_144_520),
        ("paper-001-6/40/1.3", 3_322_089),
        ("paper-001-6/40/1.1", 917_492),
        ("paper-001-7/40/1.2", 2_552_657),
        ("paper-001-7/64/1.3", 14_564_199),
        ("paper-002", 17_267_393),
        ("paper-003", 34_513_345),
        ("paper-004", 8_636_385),
    ],
)
def test_a_preset_is_the_papers_network(name: str, expected: int) -> None:
    with torch.device("meta"):
        model = RecursiveUNet(**preset(name).spec().parameters)
    assert parameters(model) == expected


def test_the_u_net_of_paper_002_narrows_before_it_is_enlarged() -> None:
    with torch.device("meta"):
        model = RecursiveUNet(**preset("paper-002").spec().parameters)
    assert model.widths == (64, 128, 256, 512, 512)
    found = [[m.out_channels for m in block if isinstance(m, nn.Conv2d)] for block in model.merge]
    assert found == [[64, 64], [128, 64], [256, 128], [512, 256]]
    assert not list(model.up.parameters())


def test_an_unknown_preset_suggests_one() -> None:
    with pytest.raises(UsageError, match="paper-01") as error:
        preset("paper-01")
    assert any(name in error.value.next for name in PRESETS)


def test_a_residual_block_adds_its_input_and_projects_it_only_where_widths_differ() -> None:
    block = Residual(3, 3, batch_norm=False, rate=0.0)
    for weight in block.body.parameters():
        nn.init.zeros_(weight)
    x = torch.rand(1, 3, 4, 4)
    assert torch.equal(block(x), x)
    assert not list(block.project.parameters())
    with torch.device("meta"):
        plain, residual = RecursiveUNet(6, 40, 1.1), ResidualUNet(6, 40, 1.1)
    inputs = [(3, 40), *zip(plain.widths[:-1], plain.widths[1:], strict=True), *((2 * w, w) for w in plain.widths[:-1])]
    assert parameters(residual) - parameters(plain) == sum(i * o + o + 2 * o for i, o in inputs)
    assert residual.widths == plain.widths


def test_a_localizer_learns_where_a_spot_is_and_stays_within_the_frame() -> None:
    torch.manual_seed(0)
    model = Localizer(2, 8, 1.5, dropout=0.0)
    optimizer = torch.optim.RMSprop(model.parameters(), 1e-3)
    slower = torch.optim.lr_scheduler.LinearLR(optimizer, 1.0, 0.0, total_iters=80)

    def spots(n: int) -> tuple[torch.Tensor, torch.Tensor]:
        at = torch.randint(2, 22, (n, 2))
        images = torch.zeros(n, 3, 24, 24)
        for image, (x, y) in zip(images, at.tolist(), strict=True):
            image[:, y - 2 : y + 3, x - 2 : x + 3] = 1
        return images, (at + 0.5) / 24

    for _ in range(80):
        images, truth = spots(16)
        optimizer.zero_grad()
        (model.train()(images) - truth).square().mean().backward()
        optimizer.step()
        slower.step()
    images, truth = spots(64)
    found = model.eval()(images)
    by_guess = (truth - truth.mean(0)).norm(dim=1).mean()
    assert (found - truth).norm(dim=1).mean() < by_guess / 4
    nn.init.constant_(model.head.bias, 9.0)
    assert model(images).max() == 1.0
    assert model.train()(images).max() > 1.0


def test_an_untrained_localizer_points_at_the_centre() -> None:
    model = Localizer(2, 4, 1.5).eval()
    nn.init.zeros_(model.head.weight)
    assert torch.equal(model(torch.rand(1, 3, 16, 16)), torch.tensor([[0.5, 0.5]]))


def test_a_critic_judges_each_case_alone() -> None:
    torch.manual_seed(0)
    critic = LganCritic(width=4, hidden=8).train()
    x = torch.rand(3, 4, 32, 32)
    assert torch.allclose(critic(x)[:1], critic(x[:1]), atol=1e-6)
    batched = LganCritic(width=4, hidden=8, norm="batch").train()
    assert not torch.allclose(batched(x)[:1], batched(x[:1]), atol=1e-6)


def test_a_patch_is_seventy_pixels_wide() -> None:
    torch.manual_seed(0)
    critic = PatchCritic(width=2)
    critic.body = nn.Sequential(*[m for m in critic.body if not isinstance(m, nn.InstanceNorm2d)])  # it sees everything
    x = torch.rand(1, 3, 144, 144, requires_grad=True)
    scores = critic(x)
    assert scores.shape == (1, 1, 16, 16)
    scores[0, 0, 8, 8].backward()
    seen = x.grad[0].abs().sum(0) > 0
    assert (seen.any(0).sum(), seen.any(1).sum()) == (70, 70)


@pytest.mark.parametrize("critic", [LganCritic(width=2, hidden=2), PatchCritic(4, width=2)])
def test_a_picture_too_small_to_be_judged_is_refused(critic: nn.Module) -> None:
    with pytest.raises(UsageError, match="15 x 40"):
        critic(torch.rand(1, 4, 15, 40))


def test_cycle_gans_networks_are_as_large_as_their_authors_log_says() -> None:
    with torch.device("meta"):
        assert round(parameters(Translator()) / 1e6, 3) == 11.378
        assert round(parameters(PatchCritic()) / 1e6, 3) == 2.765


def test_a_translator_keeps_full_size_convolutions_free_of_a_border_of_zeros() -> None:
    model = Translator(width=4, blocks=1)
    assert all(m.padding == (0, 0) for m in model.modules() if isinstance(m, nn.Conv2d) and m.stride == (1, 1))
    x = torch.rand(2, 3, 16, 24)
    logits, features = model.described(x)
    assert torch.equal(logits, model(x))
    assert features.shape == (2, 16)
