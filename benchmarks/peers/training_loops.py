"""Training loops as one writes them first, in plain PyTorch and with MONAI, and what each fast path changes in them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from peers import geometric
from torch import nn
from torch.nn import functional

from parfocal import models
from parfocal.augmentation.geometric import AugmentConfig
from parfocal.memory.sampler import Sampler
from parfocal.models import ModelSpec
from parfocal.models.dropout import PooledDropout
from parfocal.preprocessing.shards import Arrays
from parfocal.training import hardware

Batches = Callable[[int], tuple[torch.Tensor, torch.Tensor]]
"""Step to float images [N, 3, S, S] in [0, 1] and masks [N, 1, S, S], on the device."""


@dataclass(frozen=True)
class Paths:
    """Which of our fast paths a plain loop takes; none by default."""

    channels_last: bool = False
    bf16: bool = False
    pooled: bool = False
    dropout: bool = True
    heap: bool = False
    fused: bool = False


def network(spec: ModelSpec, paths: Paths = Paths(), seed: int = 0) -> nn.Module:
    """Our network, with PyTorch's own dropout unless `pooled`."""
    model = models.build(spec.name, spec.parameters, seed=seed)
    for block in model.modules():
        for name, layer in list(block.named_children()):
            if isinstance(layer, PooledDropout) and not paths.dropout:
                setattr(block, name, nn.Identity())
            elif isinstance(layer, PooledDropout) and not paths.pooled:
                setattr(block, name, nn.Dropout(layer.rate))
    return model


def monai_unet(widths: tuple[int, ...]) -> nn.Module:
    """MONAI's own U-Net with a level for each width and two residual units a level, as its tutorials have it."""
    from monai.networks.nets import UNet

    return UNet(2, 3, 1, channels=widths, strides=(2,) * (len(widths) - 1), num_res_units=2, dropout=0.3)


def monai_basic_unet(widths: tuple[int, ...]) -> nn.Module:
    """MONAI's U-Net after the paper's drawing: two convolutions at full size on each side; five levels."""
    from monai.networks.nets import BasicUNet

    return BasicUNet(2, 3, 1, features=(*widths[:5], widths[0]), dropout=0.3)


def loss(logits: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """Cross entropy and -log soft Dice, without our support for pixels that nobody labelled."""
    logits, mask = logits.float(), mask.float()
    p, t = logits.sigmoid().flatten(1), mask.flatten(1)
    dice = (2 * (p * t).sum(1) + 1) / (p.sum(1) + t.sum(1) + 1)
    return functional.binary_cross_entropy_with_logits(logits, mask) - dice.log().mean()


def train(
    model: nn.Module,
    batches: Batches,
    steps: int,
    tick: Callable[[int], None],
    rate: Callable[[int], float] = lambda _: 1e-3,
    paths: Paths = Paths(),
) -> None:
    """`steps` steps of Adam; `tick` hears the number of those done."""
    device = hardware.default_device()
    if paths.heap:
        hardware.keep_heap()
    layout = torch.channels_last if paths.channels_last else torch.contiguous_format
    model = model.to(device).to(memory_format=layout).train()
    optimizer = torch.optim.Adam(model.parameters(), fused=paths.fused or None)
    for step in range(steps):
        x, y = batches(step)
        for group in optimizer.param_groups:
            group["lr"] = rate(step)
        with torch.autocast(device.type, torch.bfloat16, enabled=paths.bf16):
            value = loss(model(x.contiguous(memory_format=layout)), y)
        optimizer.zero_grad()
        value.backward()
        optimizer.step()
        tick(step + 1)


def sampled(sampler: Sampler) -> Batches:
    """The batches of our sampler, made between two steps."""
    device = hardware.default_device()

    def batch(step: int) -> tuple[torch.Tensor, torch.Tensor]:
        pictures = sampler.batch(step)
        x = torch.from_numpy(np.ascontiguousarray(pictures.image.transpose(0, 3, 1, 2))).float() / 255
        return x.to(device), torch.from_numpy(pictures.mask).unsqueeze(1).to(device)

    return batch


def monai_loader(arrays: Arrays, batch: int, augment: AugmentConfig) -> Batches:
    """MONAI's cached data set, dictionary transforms and loader, in the training's own process as its default is."""
    from monai.data import CacheDataset, DataLoader
    from monai.transforms import Compose, ScaleIntensityRanged

    scaled = ScaleIntensityRanged(["image"], a_min=0, a_max=255, b_min=0, b_max=1)
    transforms = Compose([scaled, *geometric.monai(augment, arrays.image.shape[1])])
    rows = [
        {"image": image.transpose(2, 0, 1).copy(), "mask": mask[None]}
        for image, mask in zip(arrays.image, arrays.mask, strict=True)
    ]
    loader = DataLoader(CacheDataset(rows, transforms, progress=False), batch_size=batch, shuffle=True, drop_last=True)
    stream, device = _endless(loader), hardware.default_device()

    def following(_: int) -> tuple[torch.Tensor, torch.Tensor]:
        found = next(stream)
        return found["image"].as_tensor().to(device), found["mask"].as_tensor().to(device)

    return following


def _endless(loader: Any) -> Iterator[Any]:
    while True:
        yield from loader
