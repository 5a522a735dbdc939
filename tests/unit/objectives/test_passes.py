import torch
from torch import nn

from parfocal.objectives.passes import predicting, untracked


def network() -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(1, 2, 1), nn.BatchNorm2d(2), nn.Dropout())


def test_an_untracked_pass_normalises_as_in_training_and_leaves_the_statistics_alone() -> None:
    model, x = network(), torch.randn(4, 1, 8, 8) * 5
    before = {name: value.clone() for name, value in model.state_dict().items()}
    with untracked(model):
        untraced = model[:2](x)
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert torch.equal(untraced, model[:2](x))
    assert not torch.equal(model[1].running_mean, before["1.running_mean"])  # type: ignore[arg-type]


def test_predicting_is_evaluation_without_gradient_and_gives_every_layer_its_mode_back() -> None:
    model = network()
    model[1].eval()  # frozen
    with predicting(model):
        assert not any(m.training for m in model.modules())
        assert not model(torch.zeros(1, 1, 2, 2)).requires_grad
    assert [m.training for m in model] == [True, False, True]
    assert model.training
    assert torch.is_grad_enabled()


def test_processes_may_predict_different_numbers_of_times() -> None:
    """Two processes whose dialogues differed in length waited for each other in the exchange of buffers."""
    torch.distributed.init_process_group("gloo", store=torch.distributed.HashStore(), rank=0, world_size=1)
    try:
        model = nn.parallel.DistributedDataParallel(network())
        with predicting(model):
            for _ in range(2):
                assert not model.require_forward_param_sync
                model(torch.zeros(1, 1, 2, 2))
        assert model.require_forward_param_sync
    finally:
        torch.distributed.destroy_process_group()
