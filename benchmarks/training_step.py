"""How much faster is our training step than a plain PyTorch loop, and than MONAI's stock loader and transforms?

    python benchmarks/training_step.py [--steps 12] [--batch 16] [--rounds 3]

All train the same U-Net (6 / 40 / 1.1, dropout 0.3) on the same pictures for the same number of steps, in turn, each in
a process of its own (ours changes how the C library keeps memory, which would help the others too); rounds are
interleaved, and the ratio is that of the medians. Ours is `training.engine.fit` as it is,
augmentation, validation and bookkeeping included. Plain: float32, contiguous, `nn.Dropout`, no augmentation at all.
"""

import argparse
import logging
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from importlib.util import find_spec
from typing import Any

import cv2
import numpy as np
import torch
from torch import nn

from parfocal import models
from parfocal.augmentation.geometric import AugmentConfig
from parfocal.core.reporting import Silent
from parfocal.memory.sampler import Sampler, Source
from parfocal.models.dropout import PooledDropout
from parfocal.objectives.losses import bce_dice
from parfocal.objectives.segment import Segment
from parfocal.preprocessing.shards import Arrays
from parfocal.training import hardware
from parfocal.training.config import TrainConfig
from parfocal.training.engine import fit

SPEC = models.ModelConfig().spec()


class Untracked:
    """A run that nobody follows."""

    id = ""

    def metrics(self, values: object, step: int | None = None) -> None: ...


def pictures(n: int, size: int = 128) -> Arrays:
    rng = np.random.default_rng(0)
    image = rng.integers(0, 120, (n, size, size, 3), dtype=np.uint8)
    mask = np.zeros((n, size, size), np.uint8)
    for i in range(n):
        centre = tuple(int(v) for v in rng.integers(size // 4, 3 * size // 4, 2))
        cv2.circle(mask[i], centre, size // 5, 1, -1)
    image[mask > 0] += 40
    return Arrays(image, mask, tuple(map(str, range(n))))


def stock_network() -> nn.Module:
    """The same network with PyTorch's own dropout."""
    model = models.build(SPEC.name, SPEC.parameters)
    for block in model.modules():
        for name, layer in list(block.named_children()):
            if isinstance(layer, PooledDropout):
                setattr(block, name, nn.Dropout(layer.rate))
    return model.train()


def ours(arrays: Arrays, steps: int, batch: int) -> float:
    config = TrainConfig(steps=steps, batch_size=batch, validate_every=steps)
    sampler = Sampler([Source("a", arrays, 1.0)], batch, 0, AugmentConfig())
    model = models.build(SPEC.name, SPEC.parameters)
    held: Any = {"a": pictures(8)}
    run: Any = Untracked()
    started = time.perf_counter()
    fit(model, sampler, Segment(), held, config, checkpoint=None, reporter=Silent(), run=run)
    return time.perf_counter() - started


def plain(arrays: Arrays, steps: int, batch: int) -> float:
    sampler = Sampler([Source("a", arrays, 1.0)], batch, 0)
    model = stock_network()

    def batches(step: int) -> tuple[torch.Tensor, torch.Tensor]:
        image, mask = sampler.batch(step)
        x = torch.from_numpy(np.ascontiguousarray(image.transpose(0, 3, 1, 2))).float() / 255
        return x, torch.from_numpy(mask).unsqueeze(1)

    return _loop(model, batches, steps)


def monai(arrays: Arrays, steps: int, batch: int) -> float:
    """MONAI's cached data set, dictionary transforms and loader around the same network and loop."""
    from monai.data import CacheDataset, DataLoader
    from monai.transforms import Compose, RandAffined, RandFlipd, ScaleIntensityd, ToTensord

    keys = ["image", "mask"]
    random_changes = [
        RandFlipd(keys, prob=0.5, spatial_axis=0),
        RandFlipd(keys, prob=0.5, spatial_axis=1),
        RandAffined(
            keys,
            prob=1.0,
            rotate_range=np.deg2rad(50),
            translate_range=(19, 19),
            scale_range=(0.3, 0.3),
            mode=("bilinear", "nearest"),
            padding_mode="zeros",
        ),
    ]
    transforms = Compose([ScaleIntensityd(["image"]), *random_changes, ToTensord(keys)])
    rows = [
        {"image": image.transpose(2, 0, 1), "mask": mask[None]}
        for image, mask in zip(arrays.image, arrays.mask, strict=True)
    ]
    loader = DataLoader(CacheDataset(rows, transforms, progress=False), batch_size=batch, shuffle=True, drop_last=True)
    model = stock_network()
    stream = endless(loader)

    def batches(_: int) -> tuple[torch.Tensor, torch.Tensor]:
        found = next(stream)
        return found["image"].as_tensor(), found["mask"].as_tensor()

    return _loop(model, batches, steps)


def endless(loader: Iterable[Any]) -> Iterator[Any]:
    while True:
        yield from loader


def _loop(model: nn.Module, batches: Callable[[int], tuple[torch.Tensor, torch.Tensor]], steps: int) -> float:
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
    started = time.perf_counter()
    for step in range(steps):
        x, y = batches(step)
        loss = bce_dice(model(x), y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return time.perf_counter() - started


ENTRANTS = {"ours": ours, "plain PyTorch, float32": plain, "MONAI loader and transforms, float32": monai}


def measured(name: str, steps: int, batch: int) -> float:
    """Seconds a step, after two that warm up, in a new process."""
    command = [sys.executable, __file__, "--steps", str(steps), "--batch", str(batch), "--only", name]
    return float(subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=12)
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--only", choices=ENTRANTS, help="measure one in this process and print its seconds a step")
    values = parser.parse_args()
    cv2.setNumThreads(1)
    if values.only:
        logging.disable(logging.WARNING)
        arrays = pictures(4 * values.batch)
        ENTRANTS[values.only](arrays, 2, values.batch)
        print(ENTRANTS[values.only](arrays, values.steps, values.batch) / values.steps)
        return
    names = [name for name in ENTRANTS if find_spec("monai") or not name.startswith("MONAI")]
    times: dict[str, list[float]] = {name: [] for name in names}
    for _ in range(values.rounds):
        for name in names:
            times[name].append(measured(name, values.steps, values.batch))
    device = hardware.default_device()
    print(
        f"{device.type}, {torch.get_num_threads()} threads, {hardware.precision('auto', device)}, batch {values.batch}"
    )
    medians = {name: statistics.median(taken) for name, taken in times.items()}
    for name, seconds in medians.items():
        ratio = f"  {seconds / medians['ours']:.2f} times ours" if name != "ours" else ""
        print(f"{name:<38} {1000 * seconds:8.1f} ms a step{ratio}")


if __name__ == "__main__":
    main()
