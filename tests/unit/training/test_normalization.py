import pytest
import torch
from torch import nn

from parfocal.core.errors import UsageError
from parfocal.models.unet import RecursiveUNet
from parfocal.training.normalization import recompute, recomputed, weights_of


def test_statistics_are_the_plain_average_over_batches() -> None:
    model = nn.Sequential(nn.BatchNorm2d(1)).train()
    norm = model[0]
    model(torch.rand(4, 1, 2, 2) * 100)
    one = torch.tensor([1.0, 2.0, 3.0, 4.0]).reshape(1, 1, 2, 2)  # mean 2.5, unbiased variance 5/3
    two = torch.tensor([0.0, 0.0, 4.0, 8.0]).reshape(1, 1, 2, 2)  # mean 3, unbiased variance 44/3
    recompute(model, [one, two])
    assert norm.running_mean.item() == pytest.approx(2.75)
    assert norm.running_var.item() == pytest.approx((5 / 3 + 44 / 3) / 2)
    assert norm.momentum == 0.1
    assert norm.training


def test_only_statistics_change_and_dropout_is_off() -> None:
    model = RecursiveUNet(2, 4, 1.5).eval()
    before = weights_of(model)
    batches = [torch.rand(4, 3, 16, 16, generator=torch.Generator().manual_seed(i)) for i in range(3)]
    after = recomputed(model, before, batches)
    changed = {name for name, value in after.items() if not torch.equal(value, before[name])}
    assert changed == {name for name in before if "running" in name or "num_batches" in name}
    assert all(torch.equal(value, after[name]) for name, value in recomputed(model, before, batches).items())
    assert not any(module.training for module in model.modules())


def test_a_model_without_batch_norm_is_left_alone() -> None:
    model = RecursiveUNet(2, 4, 1.5, batch_norm=False)
    before = weights_of(model)
    recompute(model, [])
    assert all(torch.equal(value, before[name]) for name, value in weights_of(model).items())


def test_no_pictures_are_refused_and_the_settings_put_back() -> None:
    model = nn.Sequential(nn.BatchNorm2d(1)).eval()
    with pytest.raises(UsageError, match="no pictures"):
        recompute(model, [])
    assert model[0].momentum == 0.1
    assert not model[0].training
