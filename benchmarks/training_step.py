"""How much faster is our training step than a plain PyTorch loop, and than MONAI's loader, transforms and networks?

    python benchmarks/training_step.py [--seconds 150] [--quick] [--steps 3] [--batch 16]   ours and the peers
    python benchmarks/training_step.py --paths [...]                      where the factor comes from, path by path
    python benchmarks/training_step.py --resident [...]                   the device changes the pictures, or the host

Each entrant is a process of its own that waits for its turns (ours changes how the C library keeps memory, which would
help the others too). A turn is a training of some steps, of which the first is not counted. Ours is
`training.engine.fit` as it is, random changes and bookkeeping included. Plain: float32, rows of pixels, `nn.Dropout`,
no random changes at all. MONAI: its cached data set, loader and dictionary transforms, float32. All train the network
of the settings (6 / 40 / 1.1, dropout 0.3) but two, which train MONAI's own: its `UNet` is as large as ours in weights
and a sixth in arithmetic, its `BasicUNet` is as large in arithmetic.
"""

from __future__ import annotations

import argparse
import logging
import time
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from importlib.util import find_spec
from typing import Any

import cv2
import numpy as np
import torch
from kit.turns import in_turn, ratio
from kit.workers import serve, workers
from peers import training_loops as loops
from peers.training_loops import Paths
from torch import nn

from parfocal import models
from parfocal.augmentation.geometric import AugmentConfig
from parfocal.core.reporting import Silent
from parfocal.core.untracked import UntrackedRun
from parfocal.memory.sampler import Sampler, Source
from parfocal.objectives.segment import Segment, SegmentSettings
from parfocal.preprocessing.shards import Arrays
from parfocal.training import hardware
from parfocal.training.config import TrainConfig
from parfocal.training.engine import fit

WARM = 1
"""Steps of a turn that are not counted."""
NONE = Paths()
OURS, PLAIN = "ours", "plain PyTorch, float32"
HOST, DEVICE = "ours, changed on the host", "ours, changed on the device"


class Clock(Silent):
    """Notes when the warm steps and all steps are done, on the device too; a reporter, as the engine wants one."""

    def __init__(self, steps: int) -> None:
        self.steps, self.marks = steps, []

    def progress(self, stage: str, done: int, total: int) -> None:  # noqa: ARG002
        if done in {WARM, self.steps}:
            if torch.cuda.is_available():
                torch.cuda.synchronize()
            self.marks.append(time.perf_counter())

    def tick(self, done: int) -> None:
        self.progress("", done, self.steps)

    def seconds_a_step(self) -> float:
        return (self.marks[-1] - self.marks[0]) / (self.steps - WARM)


def pictures(n: int, size: int) -> Arrays:
    rng = np.random.default_rng(0)
    image = rng.integers(0, 120, (n, size, size, 3), dtype=np.uint8)
    mask = np.zeros((n, size, size), np.uint8)
    for i in range(n):
        centre = tuple(int(v) for v in rng.integers(size // 4, 3 * size // 4, 2))
        cv2.circle(mask[i], centre, size // 5, 1, -1)
    image[mask > 0] += 40
    return Arrays(image, mask, tuple(map(str, range(n))))


Entrant = Callable[[Arrays, int, Clock, models.ModelConfig], None]


def ours(arrays: Arrays, batch: int, clock: Clock, model: models.ModelConfig, resident: str = "auto") -> None:
    config = TrainConfig.model_validate(
        {"steps": clock.steps, "batch_size": batch, "validate_every": clock.steps, "resident": resident}
    )
    sampler = Sampler([Source("a", arrays, 1.0)], batch, 0, AugmentConfig())
    network, run = models.build(model.spec().name, model.spec().parameters), UntrackedRun()
    objective: Any = Segment(SegmentSettings())
    fit(network, sampler, objective, {}, config, checkpoint=None, reporter=clock, run=run)  # type: ignore[arg-type]


def plain(
    arrays: Arrays, batch: int, clock: Clock, model: models.ModelConfig, paths: Paths = NONE, change: bool = False
) -> None:
    sampler = Sampler([Source("a", arrays, 1.0)], batch, 0, AugmentConfig() if change else None)
    network = loops.network(model.spec(), paths)
    loops.train(network, loops.sampled(sampler), clock.steps, clock.tick, paths=paths)


def monai(arrays: Arrays, batch: int, clock: Clock, model: models.ModelConfig, kind: str = "ours") -> None:
    batches = loops.monai_loader(arrays, batch, AugmentConfig())
    loops.train(network_of(kind, model), batches, clock.steps, clock.tick)


def network_of(kind: str, model: models.ModelConfig) -> nn.Module:
    if kind == "ours":
        return loops.network(model.spec())
    widths = tuple(int(w) for w in models.build(model.spec().name, model.spec().parameters).widths)  # type: ignore[union-attr]
    return loops.monai_unet(widths) if kind == "UNet" else loops.monai_basic_unet(widths)


PEERS: dict[str, Entrant] = {
    OURS: ours,
    PLAIN: plain,
    "MONAI, our network": monai,
    "MONAI, its UNet": partial(monai, kind="UNet"),
    "MONAI, its BasicUNet": partial(monai, kind="BasicUNet"),
}
FAST = Paths(channels_last=True, bf16=True, pooled=True, heap=True, fused=True)
PATHS: dict[str, Entrant] = {
    PLAIN: plain,
    "plain + our random changes": partial(plain, change=True),
    "plain + channels last": partial(plain, paths=Paths(channels_last=True)),
    "plain + bfloat16": partial(plain, paths=Paths(bf16=True)),
    "plain + pooled dropout": partial(plain, paths=Paths(pooled=True)),
    "plain + memory kept": partial(plain, paths=Paths(heap=True)),
    "channels last, bfloat16": partial(plain, paths=Paths(channels_last=True, bf16=True)),
    "the same, pooled dropout": partial(plain, paths=Paths(channels_last=True, bf16=True, pooled=True)),
    "the same, memory kept, fused Adam": partial(plain, paths=FAST),
    OURS: ours,
    "bound: all of it, no dropout": partial(plain, paths=Paths(True, True, dropout=False, heap=True, fused=True)),
}

PLACES: dict[str, Entrant] = {HOST: partial(ours, resident="off"), DEVICE: partial(ours, resident="on")}
ENTRANTS = {**PEERS, **PATHS, **PLACES}


def size_of(network: nn.Module, side: int) -> str:
    from torch.utils.flop_counter import FlopCounterMode

    with FlopCounterMode(display=False) as counter, torch.no_grad():
        network.eval()(torch.zeros(1, 3, side, side))
    weights = sum(parameter.numel() for parameter in network.parameters())
    return f"{weights / 1e6:.2f} million weights, forward pass {counter.get_total_flops() / 1e9:.2f} GFLOP a picture"


def answer(entrant: Entrant, steps: int, batch: int, side: int, model: dict[str, Any]) -> float:
    """Seconds a step."""
    clock = Clock(WARM + steps)
    entrant(pictures(4 * batch, side), batch, clock, models.ModelConfig.model_validate(model))
    return clock.seconds_a_step()


def compare(names: list[str], values: argparse.Namespace, model: models.ModelConfig) -> None:
    against = PLAIN if values.paths else HOST if values.resident else OURS
    asked = {"steps": values.steps, "batch": values.batch, "side": values.side, "model": model.model_dump(mode="json")}
    started = time.perf_counter()
    with workers(__file__, names) as asks:
        turns = {name: partial(ask, **asked) for name, ask in asks.items()}
        for ask in asks.values():
            ask(**asked | {"steps": 1})  # loads and warms up, which is no part of the race
        left = values.seconds - (time.perf_counter() - started)
        times = in_turn(turns, left, least=values.rounds, warm=False)
    print(f"{len(times[against])} rounds of {values.steps} steps; the middle 80 % of the rounds' ratios in brackets")
    for name, taken in times.items():
        rate = values.batch / float(np.median(taken))
        text = f"{name:<40} {rate:8.1f} pictures/s"
        if name != against:
            faster = values.paths or values.resident
            pair = (times[against], taken) if faster else (taken, times[against])
            text += f"  {ratio(*pair)} times " + (f"as fast as {against}" if faster else "the time of ours")
        print(text)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=150, help="about; at least --rounds rounds are run")
    parser.add_argument("--quick", action="store_true", help="a small network and few steps: shows that it runs")
    which = parser.add_mutually_exclusive_group()
    which.add_argument("--paths", action="store_true", help="each fast path alone, and one after another")
    which.add_argument("--resident", action="store_true", help="all pictures on the device, beside a batch at a time")
    parser.add_argument("--steps", type=int, default=3, help="of a turn")
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--side", type=int, default=128, help="pixels")
    parser.add_argument("--rounds", type=int, default=2, help="at least")
    parser.add_argument("--only", nargs="+", metavar="ENTRANT", help="these beside ours and plain")
    parser.add_argument("--serve", choices=ENTRANTS, help=argparse.SUPPRESS)
    values = parser.parse_args()
    cv2.setNumThreads(1)
    if values.serve:
        logging.disable(logging.WARNING)
        return serve(partial(answer, ENTRANTS[values.serve]))
    model = models.ModelConfig()
    if values.quick:
        values.seconds, values.steps, values.batch, values.side = 5, 2, 4, 32
        model = models.ModelConfig(depth=4, width=8)
    entrants = PATHS if values.paths else PLACES if values.resident else PEERS
    names = [name for name in entrants if find_spec("monai") or not name.startswith("MONAI")]
    if values.only:
        names = [name for name in names if name in {OURS, PLAIN, HOST, *values.only}]
    device = hardware.default_device()
    threads, precision = torch.get_num_threads(), hardware.precision("auto", device)
    print(f"{device.type}, {threads} threads, {precision}, batch {values.batch}")
    kinds = {"our network": "ours", "its UNet": "UNet", "its BasicUNet": "BasicUNet"}
    for name, kind in kinds.items() if entrants is PEERS else [("our network", "ours")]:
        with suppress(ModuleNotFoundError):
            print(f"{name}: {size_of(network_of(kind, model), values.side)}")
    compare(names, values, model)
    return None


if __name__ == "__main__":
    main()
