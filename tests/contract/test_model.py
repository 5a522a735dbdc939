"""Every network of the family, built from its settings alone, does what the rest of the program relies on."""

import json
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import pytest
import torch
from torch import nn

from parfocal import models
from parfocal.core.errors import UsageError
from parfocal.models import ModelConfig, ModelSpec


@dataclass(frozen=True)
class Case:
    """Settings, the documented shapes for two inputs, and a size that is odd for this network."""

    config: ModelConfig
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    odd: tuple[int, ...]
    odd_outputs: tuple[int, ...] | None = None
    out_channels: int = 2

    @property
    def spec(self) -> ModelSpec:
        return self.config.spec(in_channels=self.inputs[1], out_channels=self.out_channels)


def small(name: str, **options: object) -> ModelConfig:
    return ModelConfig(name=name, depth=2, width=4, increment=1.5, options=options)


def u_shaped(config: ModelConfig) -> Case:
    return Case(config, (2, 3, 16, 24), (2, 2, 16, 24), odd=(2, 3, 18, 16))


def monai(network: str, *, dimensions: int = 2, factor: int = 16, pads: bool = False, **options: object) -> Case:
    side = 2 * factor
    config = small("monai", network=network, dimensions=dimensions, options=options)
    inputs, outputs = (2, 3, *(side,) * dimensions), (2, 2, *(side,) * dimensions)
    odd = (2, 3, side + 3, *(side,) * (dimensions - 1))
    return Case(config, inputs, outputs, odd, (2, 2, *odd[2:]) if pads else None)


DYN = {"kernel_size": [3, 3, 3], "strides": [1, 2, 2], "upsample_kernel_size": [2, 2], "filters": [4, 8, 8]}
SHALLOW = {"channels": [4, 8, 8], "strides": [2, 2]}

CASES = {
    "unet": u_shaped(small("unet")),
    "unet-upsample": u_shaped(small("unet", up="upsample", batch_norm=False)),
    "unet-bilinear": u_shaped(small("unet", up="bilinear", widest=6)),
    "residual_unet": u_shaped(small("residual_unet")),
    "localizer": Case(small("localizer"), (2, 3, 16, 24), (2, 2), odd=(2, 3, 18, 16)),
    "localizer-radius": Case(small("localizer", radius=True), (2, 3, 16, 24), (2, 3), odd=(2, 3, 18, 16)),
    "lgan_critic": Case(small("lgan_critic", hidden=8), (2, 4, 32, 48), (2, 1), (2, 4, 33, 17), (2, 1)),
    "patch_critic": Case(small("patch_critic"), (2, 3, 32, 40), (2, 1, 2, 3), (2, 3, 25, 31), (2, 1, 1, 1)),
    "translator": Case(small("translator", blocks=2), (2, 3, 16, 24), (2, 2, 16, 24), odd=(2, 3, 18, 16)),
    "monai-UNet": monai("UNet", factor=4, **SHALLOW),
    "monai-AttentionUnet": monai("AttentionUnet", factor=4, **SHALLOW),
    "monai-SegResNet": monai("SegResNet", factor=8),
    "monai-VNet": monai("VNet"),
    "monai-BasicUNet": monai("BasicUNet", pads=True, features=[4, 4, 8, 8, 8, 4]),
    "monai-DynUNet": monai("DynUNet", factor=4, **DYN),
    "monai-DynUNet-deep": monai("DynUNet", factor=4, **DYN, deep_supervision=True, deep_supr_num=1),
    "monai-SegResNet-3d": monai("SegResNet", dimensions=3, factor=8),
}
NO_GRADIENT = {"monai-DynUNet-deep": "deep_supervision_heads"}
"""Heads of a coarser output: one tensor of logits comes out, so nothing teaches them."""


@pytest.fixture(params=CASES, scope="module")
def case(request: pytest.FixtureRequest) -> Case:
    if request.param.startswith("monai"):
        pytest.importorskip("monai")
    return CASES[request.param]


@lru_cache(maxsize=2)
def _initial(name: str, parameters: str) -> nn.Module:
    return models.build(name, json.loads(parameters), seed=3)


def network(case: Case) -> nn.Module:
    """Built once a case; every test gets the same initial weights, in training mode."""
    spec = case.spec
    return _initial(spec.name, json.dumps(spec.parameters)).train()


def picture(shape: tuple[int, ...]) -> torch.Tensor:
    return torch.rand(*shape, generator=torch.Generator().manual_seed(0))


def test_every_member_of_the_family_is_here() -> None:
    assert {case.config.name for case in CASES.values()} == set(models.FAMILY)


def test_its_settings_survive_json_and_the_output_has_the_documented_shape(case: Case) -> None:
    assert ModelSpec.model_validate_json(case.spec.model_dump_json()) == case.spec
    for mode in (True, False):
        output = network(case).train(mode)(picture(case.inputs))
        assert tuple(output.shape) == case.outputs
        assert output.isfinite().all()


def test_its_weights_are_a_function_of_the_seed_and_the_callers_randomness_is_left_alone(case: Case) -> None:
    torch.manual_seed(1)
    expected = torch.rand(3)
    torch.manual_seed(1)
    again, other = (models.build(case.spec.name, case.spec.parameters, seed=seed).state_dict() for seed in (3, 4))
    assert torch.equal(torch.rand(3), expected)
    weights = [name for name, tensor in again.items() if tensor.ndim > 1]
    assert weights
    assert not any(torch.equal(again[name], other[name]) for name in weights)
    first = dict(network(case).named_parameters())
    assert first.keys() <= again.keys()
    assert all(torch.equal(parameter, again[name]) for name, parameter in first.items())


def test_what_is_saved_is_what_is_loaded_and_holds_no_pickle(case: Case, tmp_path: Path) -> None:
    model = network(case)
    model(picture(case.inputs))  # moves the batch-norm statistics
    models.save(model, case.spec, tmp_path)
    assert {file.name for file in tmp_path.iterdir()} == {models.WEIGHTS, models.MODEL}
    payload = (tmp_path / models.WEIGHTS).read_bytes()
    header = json.loads(payload[8 : 8 + int.from_bytes(payload[:8], "little")])
    assert header.keys() - {"__metadata__"} == model.state_dict().keys()
    loaded = models.load(tmp_path)
    assert not loaded.training
    assert torch.equal(loaded(picture(case.inputs)), model.eval()(picture(case.inputs)))


def test_channels_last_changes_the_layout_alone(case: Case) -> None:
    x = picture(case.inputs)
    expected = network(case).eval()(x)
    layout = torch.channels_last if x.ndim == 4 else torch.channels_last_3d
    model = models.build(case.spec.name, case.spec.parameters, seed=3)
    model.load_state_dict(network(case).state_dict())
    found = model.eval().to(memory_format=layout)(x.to(memory_format=layout))
    assert torch.allclose(found, expected, atol=1e-4)


def test_a_gradient_reaches_every_parameter(case: Case) -> None:
    model = network(case)
    model.zero_grad()
    torch.manual_seed(0)
    (model(picture(case.inputs)) ** 2).sum().backward()
    untaught = next((part for name, part in NO_GRADIENT.items() if CASES[name] is case), "nothing")
    for name, parameter in model.named_parameters():
        if untaught in name:
            continue
        assert parameter.grad is not None, name
        assert parameter.grad.isfinite().all(), name
        if parameter.ndim > 1:  # a bias that a norm takes away again may well have none
            assert parameter.grad.abs().max() > 0, name


def test_an_odd_size_works_or_is_refused_with_what_would_be_right(case: Case) -> None:
    model = network(case).eval()
    if case.odd_outputs:
        assert tuple(model(picture(case.odd)).shape) == case.odd_outputs
        return
    with pytest.raises(UsageError, match=f"{case.odd[2]} x ") as refused:
        model(picture(case.odd))
    assert "multiples of" in refused.value.expected


def test_in_evaluation_the_answer_is_always_the_same(case: Case) -> None:
    model = network(case).eval()
    assert torch.equal(model(picture(case.inputs)), model(picture(case.inputs)))


def test_a_volume_goes_through_the_v_net() -> None:
    pytest.importorskip("monai")
    spec = small("monai", network="VNet", dimensions=3).spec(in_channels=1)
    model = models.build(spec.name, spec.parameters).eval()
    with torch.inference_mode():
        assert model(picture((1, 1, 32, 16, 16))).shape == (1, 1, 32, 16, 16)
