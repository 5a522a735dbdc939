"""Batch norm over the parts of a batch equals batch norm over the whole; two threads stand in for two processes."""

import copy
import signal
import threading
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import nn

from parfocal.core.untracked import UntrackedRun
from parfocal.objectives.passes import untracked
from parfocal.training import distributed, place
from parfocal.training.eviction import Eviction

WORLD = 2


class Meeting:
    """`torch.distributed.all_reduce` for threads: all hand in a tensor and all get the sum."""

    def __init__(self) -> None:
        self._barrier = threading.Barrier(WORLD, timeout=120)
        self._parts: dict[int, torch.Tensor] = {}

    def all_reduce(self, tensor: torch.Tensor) -> None:
        self._parts[threading.get_ident()] = tensor.detach().clone()
        self._barrier.wait()
        total = torch.stack(list(self._parts.values())).sum(0)
        self._barrier.wait()
        tensor.copy_(total)
        self._parts.clear()
        self._barrier.wait()

    def together(self, work: Callable[[int], Any]) -> list[Any]:
        found: dict[int, Any] = {}
        threads = [threading.Thread(target=lambda i=i: found.update({i: work(i)})) for i in range(WORLD)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        return [found[i] for i in range(WORLD)]


@pytest.fixture
def meeting(monkeypatch: pytest.MonkeyPatch) -> Meeting:
    made = Meeting()
    monkeypatch.setattr(distributed.distributed, "all_reduce", made.all_reduce)
    return made


def network() -> nn.Module:
    torch.manual_seed(1)
    return nn.Sequential(
        nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Conv2d(4, 4, 1),
        nn.BatchNorm2d(4, affine=False, momentum=None),
    )  # fmt: skip


def loss(model: nn.Module, x: torch.Tensor) -> torch.Tensor:
    return (model(x) * torch.linspace(-1, 1, 4)[None, :, None, None]).sigmoid().square().flatten(1).mean(1).mean()


def test_two_parts_give_what_the_whole_gives(meeting: Meeting) -> None:
    x = torch.randn(6, 3, 8, 8, generator=torch.Generator().manual_seed(2)) * 3 + 5
    alone = network()
    whole = loss(alone, x)
    whole.backward()
    models = [copy.deepcopy(network()) for _ in range(WORLD)]

    def part(rank: int) -> float:
        with distributed.whole_batch([models[rank]], WORLD):
            mine = loss(models[rank], x[rank::WORLD])
            mine.backward()
        return float(mine.detach())

    losses = meeting.together(part)
    assert sum(losses) / WORLD == pytest.approx(float(whole), rel=1e-6)
    for name, parameter in alone.named_parameters():
        # What DDP makes of the gradients; a bias in front of a batch norm has none but noise.
        mean = sum(dict(model.named_parameters())[name].grad for model in models) / WORLD
        assert torch.allclose(mean, parameter.grad, rtol=1e-4, atol=1e-7), name
    for name, buffer in alone.named_buffers():
        for model in models:
            assert torch.allclose(dict(model.named_buffers())[name].float(), buffer.float(), rtol=1e-5), name
    assert all("forward" not in vars(module) for model in models for module in model.modules())


def test_alone_every_norm_stays_as_it_is() -> None:
    model = network()
    with distributed.whole_batch([model], 1):
        assert all("forward" not in vars(module) for module in model.modules())


def test_passes_that_leave_no_trace_and_those_in_use_do_so_here_too(meeting: Meeting) -> None:
    x = torch.randn(4, 3, 8, 8, generator=torch.Generator().manual_seed(2))
    models = [network() for _ in range(WORLD)]
    before = {name: value.clone() for name, value in models[0].state_dict().items()}

    def part(rank: int) -> torch.Tensor:
        with distributed.whole_batch([models[rank]], WORLD):
            with untracked(models[rank]):
                models[rank](x[rank::WORLD])
            return models[rank].eval()(x)

    first, second = meeting.together(part)
    assert torch.equal(first, second)
    assert all(torch.equal(value, before[name]) for name, value in models[0].state_dict().items())


def test_one_process_that_is_told_to_end_takes_the_other_along_at_the_same_step(meeting: Meeting) -> None:
    fabric: Any = SimpleNamespace(world_size=WORLD, device=torch.device("cpu"))
    asked = [Eviction(fabric, heeded=True) for _ in range(WORLD)]

    def part(rank: int) -> int:
        for step in range(1, 9):
            if (rank, step) == (1, 5):
                asked[rank]._hear(signal.SIGTERM, None)
            if asked[rank].asks(step):
                return step
        return 0

    assert meeting.together(part) == [5, 5]


def test_only_one_process_writes_and_speaks(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = place.Part(tmp_path / "out", tmp_path / "memory", tmp_path / "state", UntrackedRun(), place.Silent())
    monkeypatch.setenv("RANK", "3")
    with place.part(whole) as mine:  # without torchrun a stray variable means nothing
        assert mine is whole
    monkeypatch.setenv("TORCHELASTIC_RUN_ID", "x")
    with place.part(whole) as mine:
        assert mine.out.parent != tmp_path
        (scratch := mine.out).mkdir()
    assert not scratch.exists()
