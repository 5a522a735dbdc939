"""How fast this machine trains, before anything is trained."""

from __future__ import annotations

import time

import torch

from parfocal import models
from parfocal.models import ModelConfig
from parfocal.training import hardware

_WARM, _TIMED = 2, 3


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
