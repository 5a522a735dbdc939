"""How fast this machine trains: before anything is trained, and in a training's own first steps."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from typing import TypeVar

import torch

from parfocal import models
from parfocal.models import ModelConfig
from parfocal.training import hardware

T = TypeVar("T")

_WARM, _TIMED = 2, 3
_FIRST, STEPS = 2, 6
"""Steps that warm up, and all that are taken for a training's pace."""


def pictures_a_second(model: ModelConfig, *, batch_size: int = 16, size: int = 128) -> float:
    """Pictures of size x size that forward, backward and Adam take a second, on this machine's default device."""
    spec = model.spec()
    device = hardware.default_device()
    network = models.build(spec.name, spec.parameters).to(memory_format=torch.channels_last).to(device).train()  # type: ignore[call-overload]
    optimizer = torch.optim.Adam(network.parameters(), fused=True)
    mixed = hardware.precision("auto", device) == "bf16-mixed"
    pictures = torch.zeros(batch_size, 3, size, size, device=device).to(memory_format=torch.channels_last)
    hardware.keep_heap()
    started = 0.0
    for step in range(_WARM + _TIMED):
        if step == _WARM:
            started = time.monotonic()
        with torch.autocast(device.type, torch.bfloat16, enabled=mixed):
            loss = network(pictures).float().square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        loss.item()
    return batch_size * _TIMED / (time.monotonic() - started)


def seconds_a_step(batches: Iterable[T], step: Callable[[int, T], None]) -> float:
    """Wall time of a step, the making of its batch included.

    Args:
        batches: `STEPS` of them.
        step: gets the step's number and batch, and returns when it is done.
    """
    marks = []
    for number, batch in enumerate(batches):
        step(number, batch)
        marks.append(time.monotonic())
    return (marks[-1] - marks[_FIRST - 1]) / (STEPS - _FIRST)
