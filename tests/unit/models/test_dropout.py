import pytest
import torch
from torch import nn

from parfocal.models.dropout import PooledDropout

RATE = 0.3


def ones(channels_last: bool = True) -> torch.Tensor:
    layout = torch.channels_last if channels_last else torch.contiguous_format
    return torch.ones(8, 16, 24, 24).to(memory_format=layout)


@pytest.mark.parametrize("channels_last", [True, False])
def test_marginal_statistics_are_those_of_stock_dropout(channels_last: bool) -> None:
    torch.manual_seed(0)
    pooled, stock = PooledDropout(RATE).train(), nn.Dropout(RATE).train()
    ours = torch.stack([pooled(ones(channels_last)) for _ in range(20)])
    theirs = torch.stack([stock(ones(channels_last)) for _ in range(20)])
    assert ours.unique().tolist() == theirs.unique().tolist()
    # The eight samples of a call see one sequence, shifted: an eighth of the elements is independent.
    tolerance = 5 * (RATE * (1 - RATE) / (ours.numel() / 8)) ** 0.5
    assert (ours == 0).float().mean().item() == pytest.approx(RATE, abs=tolerance)
    assert (theirs == 0).float().mean().item() == pytest.approx(RATE, abs=tolerance)
    for dims in [(0, 2, 3, 4), (0, 1, 3, 4), (0, 1, 2), (1, 2, 3, 4)]:  # by sample, channel, pixel and call
        assert (ours == 0).float().mean(dims).std() < 3 * (theirs == 0).float().mean(dims).std() + 0.01


def test_neighbours_channels_samples_and_calls_are_not_correlated() -> None:
    torch.manual_seed(0)
    pooled = PooledDropout(RATE).train()
    a, b = (pooled(ones()) == 0).float(), (pooled(ones()) == 0).float()

    def correlation(x: torch.Tensor, y: torch.Tensor) -> float:
        return torch.corrcoef(torch.stack([x.flatten(), y.flatten()]))[0, 1].item()

    assert abs(correlation(a, b)) < 0.03
    assert abs(correlation(a[:-1], a[1:])) < 0.03
    assert abs(correlation(a[:, :-1], a[:, 1:])) < 0.03
    assert abs(correlation(a[..., :-1], a[..., 1:])) < 0.03


def test_the_generators_seed_decides_the_mask_and_nothing_before_it_matters() -> None:
    pooled = PooledDropout(RATE).train()
    torch.manual_seed(5)
    first = pooled(ones())
    pooled(torch.ones(16, 64, 48, 48))  # makes the pool grow
    torch.manual_seed(5)
    assert torch.equal(pooled(ones()), first)
    torch.manual_seed(6)
    assert not torch.equal(pooled(ones()), first)


def test_gradients_pass_where_values_passed() -> None:
    x = torch.randn(2, 4, 8, 8, requires_grad=True)
    y = PooledDropout(RATE).train()(x * 1.0)
    y.sum().backward()
    assert x.grad is not None
    assert torch.equal(x.grad == 0, y == 0)
    assert x.grad.max().item() == pytest.approx(1 / (1 - RATE))


def test_in_evaluation_the_argument_itself_comes_back() -> None:
    x = ones()
    assert PooledDropout(RATE).eval()(x) is x
    assert PooledDropout(0.0).train()(x) is x


def test_an_exported_graph_has_no_trace_of_it() -> None:
    model = nn.Sequential(nn.Conv2d(3, 4, 3), PooledDropout(RATE), nn.ReLU()).eval()
    graph = torch.export.export(model, (torch.rand(1, 3, 8, 8),)).graph
    assert [n.name for n in graph.nodes if n.op == "call_function"] == ["conv2d", "relu"]


@pytest.mark.parametrize("rate", [-0.1, 1.0])
def test_a_rate_outside_its_range_is_refused(rate: float) -> None:
    with pytest.raises(ValueError, match=r"\[0, 1\)"):
        PooledDropout(rate)
