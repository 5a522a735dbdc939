from pathlib import Path

import pytest
import torch

from parfocal import models
from parfocal.core.errors import DataContractError, UsageError
from parfocal.models import ModelConfig

SMALL = ModelConfig(depth=2, width=4, increment=1.5)


def test_what_was_saved_is_what_is_loaded(tmp_path: Path) -> None:
    spec = SMALL.spec(out_channels=2)
    model = models.build(spec.name, spec.parameters, seed=3)
    model(torch.rand(2, 3, 16, 16))  # moves the batch-norm statistics
    models.save(model.to(memory_format=torch.channels_last), spec, tmp_path / "disc")
    loaded = models.load(tmp_path / "disc")
    x = torch.rand(1, 3, 16, 16)
    assert not loaded.training
    assert models.read_spec(tmp_path / "disc") == spec
    assert all(torch.equal(value, loaded.state_dict()[name]) for name, value in model.state_dict().items())
    assert torch.allclose(loaded(x), model.eval()(x), atol=1e-5)


def test_the_seed_alone_decides_the_initial_weights_and_the_callers_randomness_is_left_alone() -> None:
    spec = SMALL.spec()
    torch.manual_seed(1)
    expected = torch.rand(3)
    torch.manual_seed(1)
    first = models.build(spec.name, spec.parameters, seed=3)
    assert torch.equal(torch.rand(3), expected)
    again, other = (models.build(spec.name, spec.parameters, seed=seed) for seed in (3, 4))
    assert torch.equal(first.head.weight, again.head.weight)
    assert not torch.equal(first.head.weight, other.head.weight)


def test_damaged_or_missing_files_are_named(tmp_path: Path) -> None:
    with pytest.raises(DataContractError, match="description") as missing:
        models.load(tmp_path)
    assert missing.value.where.endswith("model.json")
    spec = SMALL.spec()
    models.save(models.build(spec.name, spec.parameters), spec, tmp_path)
    weights = tmp_path / models.WEIGHTS
    weights.write_bytes(weights.read_bytes()[:100])
    with pytest.raises(DataContractError, match="weights cannot be loaded"):
        models.load(tmp_path)


def test_weights_of_another_size_are_refused(tmp_path: Path) -> None:
    spec = SMALL.spec()
    models.save(models.build(spec.name, spec.parameters), ModelConfig(depth=2, width=6, increment=1.5).spec(), tmp_path)
    with pytest.raises(DataContractError, match="size mismatch"):
        models.load(tmp_path)


def test_unknown_names_and_arguments_are_usage_errors() -> None:
    with pytest.raises(UsageError, match="unknown models 'unett'"):
        models.build("unett", {})
    with pytest.raises(UsageError, match="cannot be built"):
        models.build("unet", {"depht": 6})


def test_settings_become_constructor_arguments_with_options_last() -> None:
    parameters = ModelConfig(dropout=0.1, options={"up": "upsample"}).spec().parameters
    assert (parameters["depth"], parameters["dropout"], parameters["up"]) == (6, 0.1, "upsample")
    assert parameters["in_channels"] == 3
