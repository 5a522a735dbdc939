import pytest
import torch
from torch import nn

from parfocal.core.errors import DataContractError, UsageError
from parfocal.models.localizer import Localizer
from parfocal.models.residual_unet import ResidualUNet
from parfocal.models.transfer import encoder_names, freeze, load_body, load_encoder
from parfocal.models.translator import Translator
from parfocal.models.unet import RecursiveUNet
from parfocal.training.normalization import recompute

SIZE = (2, 4, 1.5)


def seeded(kind: type[nn.Module], seed: int, **settings: object) -> nn.Module:
    torch.manual_seed(seed)
    return kind(*SIZE, **settings)


def copied(model: nn.Module) -> dict[str, torch.Tensor]:
    return {name: value.clone() for name, value in model.state_dict().items()}


def changed(model: nn.Module, before: dict[str, torch.Tensor]) -> set[str]:
    return {name for name, value in model.state_dict().items() if not torch.equal(value, before[name])}


def test_an_encoders_levels_are_those_of_the_network_whole_or_in_part() -> None:
    model = seeded(RecursiveUNet, 0)
    assert encoder_names(model) == [name for name in model.state_dict() if name.startswith("down.")]
    assert {name[:7] for name in encoder_names(model, 2)} == {"down.0.", "down.1."}
    assert encoder_names(model, 3) == encoder_names(model)
    for levels in (0, 4):
        with pytest.raises(UsageError, match=f"no {levels} levels"):
            encoder_names(model, levels)
    with pytest.raises(UsageError, match="Translator has no encoder"):
        encoder_names(Translator(width=2, blocks=1))


def test_a_localizers_encoder_becomes_a_u_nets_and_nothing_else_changes() -> None:
    localizer, model = seeded(Localizer, 0), seeded(RecursiveUNet, 1)
    localizer.train()(torch.rand(4, 3, 16, 16))
    before = copied(model)
    names = load_encoder(model, localizer.state_dict())
    assert list(names) == encoder_names(model) == encoder_names(localizer)
    x = torch.rand(1, 3, 16, 16)
    assert torch.equal(model.eval().encode(x), localizer.eval().encode(x))
    assert changed(model, before) <= set(names)
    residual = seeded(ResidualUNet, 2)
    assert load_encoder(residual, seeded(Localizer, 0, residual=True).state_dict()) == tuple(encoder_names(residual))


def test_levels_that_were_not_asked_for_keep_their_weights() -> None:
    model, before = seeded(RecursiveUNet, 1), copied(seeded(RecursiveUNet, 1))
    load_encoder(model, seeded(Localizer, 0).state_dict(), levels=1)
    assert {name[:6] for name in changed(model, before)} == {"down.0"}


def test_restoration_gives_the_whole_network_but_its_head() -> None:
    restored, model = seeded(RecursiveUNet, 0, out_channels=3), seeded(RecursiveUNet, 1)
    names = load_body(model, restored.state_dict())
    assert set(model.state_dict()) - set(names) == {"head.weight", "head.bias"}
    assert all(torch.equal(model.state_dict()[name], restored.state_dict()[name]) for name in names)


def test_new_input_channels_begin_at_zero_and_stay_free_to_learn() -> None:
    pretrained, model = seeded(RecursiveUNet, 0).eval(), seeded(RecursiveUNet, 1, in_channels=6).eval()
    names = load_encoder(model, pretrained.state_dict())
    assert set(encoder_names(model)) - set(names) == {"down.0.0.weight"}
    x = torch.rand(1, 6, 16, 16)
    assert torch.allclose(model.encode(x), pretrained.encode(x[:, :3]), atol=1e-6)
    freeze(model, names)
    model(x).sum().backward()
    assert model.down[0][0].weight.grad[:, 3:].abs().max() > 0


def test_weights_of_another_shape_are_refused_before_anything_is_copied() -> None:
    model, before = seeded(RecursiveUNet, 1), copied(seeded(RecursiveUNet, 1))
    with pytest.raises(DataContractError, match="does not fit") as wider:
        load_encoder(model, Localizer(2, 5, 1.5).state_dict())
    assert (wider.value.where, wider.value.expected) == ("down.0.0.weight", "[4, 3, 3, 3]")
    with pytest.raises(DataContractError, match="missing") as shallower:
        load_encoder(model, Localizer(1, 4, 1.5).state_dict())
    assert shallower.value.where == "down.2.0.weight"
    with pytest.raises(DataContractError, match="does not fit"):  # fewer channels than the pretrained one looks at
        load_encoder(seeded(RecursiveUNet, 1, in_channels=1), seeded(Localizer, 0).state_dict())
    assert not changed(model, before)


@pytest.mark.parametrize("kind", [RecursiveUNet, ResidualUNet])
def test_what_is_frozen_stays_bit_identical_through_training(kind: type[nn.Module]) -> None:
    model = seeded(kind, 0)
    names = encoder_names(model, 2)
    freeze(model, names)
    before = copied(model)
    optimizer = torch.optim.Adam(model.parameters(), lr=0.1, weight_decay=0.1)
    model.train()
    for step in range(2):
        optimizer.zero_grad()
        (model(torch.rand(2, 3, 16, 16, generator=torch.Generator().manual_seed(step))) ** 2).sum().backward()
        optimizer.step()
    recompute(model, [torch.rand(2, 3, 16, 16)])
    assert changed(model, before) == set(before) - set(names)
    assert list(seeded(kind, 1).state_dict()) == list(before)


def test_a_frozen_norm_answers_as_the_norm_in_evaluation_did() -> None:
    model = seeded(RecursiveUNet, 0)
    model.train()(torch.rand(4, 3, 16, 16) * 9)
    x = torch.rand(2, 3, 16, 16)
    expected = model.eval()(x)
    freeze(model, list(model.state_dict()))
    assert torch.equal(model(x), expected)
    assert not any(parameter.requires_grad for parameter in model.parameters())
    assert not any(isinstance(module, nn.BatchNorm2d) for module in model.modules())


def test_a_name_that_is_no_weight_cannot_be_frozen() -> None:
    with pytest.raises(UsageError, match=r"down\.0\.0\.wieght") as error:
        freeze(seeded(RecursiveUNet, 0), ["down.0.0.wieght"])
    assert "down.0.0.weight" in error.value.next
