"""A whole training on one schedule: how long does it take, and is what comes out as good?

    python benchmarks/training_schedule.py [--seeds 3] [--steps 320] [--quick]    a small network: about 3 minutes
    python benchmarks/training_schedule.py --full      the network of the settings, 600 steps, 5 seeds: hours on a CPU

Discs of phantoms. Ours is `training.engine.fit`; the plain loop gets the batches of our sampler; MONAI has its own
loader and transforms with the same ranges, around our network and, with `--full`, around two of its own. All share the
initial weights of a seed (where the network is ours), steps, batch, optimiser, one-cycle rates and loss. The clock runs
from arrays in memory to trained weights. The Dice of the last weights is the mean over all cases that nobody trained
on, in float32.

Asked: the time as a ratio, and whether the Dice differs by less than 0.005. "yes" and "no" are said only when the 90 %
interval of the difference over seeds lies within or outside of that; else more seeds are needed. The ratio of the small
network is lower than that of the large one: bfloat16 has less to do in it.
"""

from __future__ import annotations

import argparse
import logging
import tempfile
import time
from collections.abc import Callable
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from kit.turns import ratio
from kit.workers import Ask, serve, workers
from peers import training_loops as loops
from scipy.stats import t as student
from torch import nn

from parfocal import models, phantoms
from parfocal.core.reporting import Silent
from parfocal.core.types import Split
from parfocal.core.untracked import UntrackedRun
from parfocal.memory.rows import concatenate
from parfocal.memory.sampler import Sampler, Source
from parfocal.objectives.segment import Segment, SegmentSettings
from parfocal.preprocessing.shards import Arrays, read_arrays
from parfocal.steps import preprocess
from parfocal.steps.config import RunConfig
from parfocal.training import hardware
from parfocal.training.config import TrainConfig, learning_rate
from parfocal.training.engine import fit
from parfocal.training.validation import dice_by_case, predict_masks

MARGIN, LEARNED = 0.005, 0.5
"""Largest difference that counts as none, and the Dice from which on one is worth a comparison."""
SMALL = [
    *("recipe.size=64", "train.batch_size=8", "train.learning_rate=0.003"),
    *("model.depth=4", "model.width=16", "model.increment=1.2", "model.dropout=0.1"),
]
Trainer = Callable[[Arrays, RunConfig], nn.Module]


def ours(arrays: Arrays, config: RunConfig) -> nn.Module:
    train, spec = config.train, config.model.spec()
    sampler = Sampler([Source("a", arrays, 1.0)], train.batch_size, train.seed, train.augment)
    model, run = models.build(spec.name, spec.parameters, seed=train.seed), UntrackedRun()
    objective: Any = Segment(SegmentSettings())
    fit(model, sampler, objective, {}, train, checkpoint=None, reporter=Silent(), run=run)  # type: ignore[arg-type]
    return model


def plain(arrays: Arrays, config: RunConfig) -> nn.Module:
    train = config.train
    sampler = Sampler([Source("a", arrays, 1.0)], train.batch_size, train.seed, train.augment)
    return looped(loops.network(config.model.spec(), seed=train.seed), loops.sampled(sampler), train)


def monai(arrays: Arrays, config: RunConfig, own: Callable[[tuple[int, ...]], nn.Module] | None = None) -> nn.Module:
    from monai.utils import set_determinism

    train = config.train
    set_determinism(train.seed)
    model = loops.network(config.model.spec(), seed=train.seed)
    if own is not None:
        model = own(model.widths)  # type: ignore[arg-type]
    return looped(model, loops.monai_loader(arrays, train.batch_size, train.augment), train)


def looped(model: nn.Module, batches: loops.Batches, train: TrainConfig) -> nn.Module:
    torch.manual_seed(train.seed)
    rate = partial(learning_rate, train, steps=train.steps)
    loops.train(model, batches, train.steps, lambda _: None, rate)
    return model


ENTRANTS: dict[str, Trainer] = {
    "ours": ours,
    "plain PyTorch, float32": plain,
    "MONAI, our network": monai,
    "MONAI, its UNet": partial(monai, own=loops.monai_unet),
    "MONAI, its BasicUNet": partial(monai, own=loops.monai_basic_unet),
}


def make_data(work: Path, patients: int, config: RunConfig) -> None:
    phantoms.write(work / "photos", "A", range(patients), seed=0)
    preprocess.run(work / "photos", work / "data", config, champion=None, reporter=Silent())


def read_data(folder: Path) -> tuple[Arrays, Arrays]:
    """Those to learn from, and all others."""
    train, *held = (read_arrays(folder, "disc", side) for side in (Split.TRAIN, Split.VALIDATION, Split.TEST))
    assert train is not None
    return train, concatenate([arrays for arrays in held if arrays is not None])


def answer(trainer: Trainer, folder: str, overrides: list[str]) -> dict[str, float]:
    """Seconds of the training, and the Dice of its last weights."""
    train, held = read_data(Path(folder))
    config = RunConfig.load(overrides=overrides)
    started = time.perf_counter()
    model = trainer(train, config)
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    seconds = time.perf_counter() - started
    masks = predict_masks(model, held.image, precision="32-true")
    return {"seconds": seconds, "dice": float(dice_by_case(masks, held.mask).mean())}


def constant_dice(train: Arrays, held: Arrays) -> float:
    """What the same mask for every picture gets: where most training masks are 1."""
    mask = (train.mask.mean(0) >= 0.5).astype(np.uint8)
    return float(dice_by_case(np.broadcast_to(mask, held.mask.shape), held.mask).mean())


def verdict(ours: np.ndarray, other: np.ndarray) -> str:
    """Mean difference of the Dice, its 90 % interval over seeds, and what follows."""
    differences = ours - other
    mean, n = float(differences.mean()), len(differences)
    if max(ours.mean(), other.mean()) < LEARNED:
        return f"{mean:+.4f}; neither has learned enough to be compared"
    if n < 2:
        return f"{mean:+.4f}; one seed says nothing"
    half = float(student.ppf(0.95, n - 1) * differences.std(ddof=1) / np.sqrt(n))
    low, high = mean - half, mean + half
    if low > -MARGIN and high < MARGIN:
        word = "yes"
    elif low > MARGIN or high < -MARGIN:
        word = "no"
    else:
        word = f"cannot be said with {n} seeds"
    return f"{mean:+.4f} ({low:+.4f} to {high:+.4f}); within {MARGIN}: {word}"


def race(asks: dict[str, Ask], folder: Path, overrides: list[str], seeds: int) -> dict[str, list[dict[str, float]]]:
    found: dict[str, list[dict[str, float]]] = {name: [] for name in asks}
    names = list(asks)
    for name in names:  # loads and warms up
        asks[name](folder=str(folder), overrides=[*overrides, "train.steps=2"])
    for seed in range(seeds):
        for name in names:
            found[name].append(asks[name](folder=str(folder), overrides=[*overrides, f"train.seed={seed}"]))
        names = names[1:] + names[:1]
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int)
    parser.add_argument("--steps", type=int)
    parser.add_argument("--patients", type=int)
    size = parser.add_mutually_exclusive_group()
    size.add_argument("--quick", action="store_true", help="2 seeds of 4 steps: shows that it runs")
    size.add_argument("--full", action="store_true", help="the network and the frames of the settings")
    parser.add_argument("--only", nargs="+", metavar="ENTRANT", help="these beside ours")
    parser.add_argument("--serve", choices=ENTRANTS, help=argparse.SUPPRESS)
    values = parser.parse_args()
    cv2.setNumThreads(1)
    if values.serve:
        logging.disable(logging.WARNING)
        return serve(partial(answer, ENTRANTS[values.serve]))
    seeds, steps, patients = (2, 4, 24) if values.quick else (5, 600, 400) if values.full else (3, 320, 160)
    seeds, steps, patients = values.seeds or seeds, values.steps or steps, values.patients or patients
    overrides = ["data.instrument=A", *([] if values.full else SMALL)]
    overrides += [f"train.steps={steps}", f"train.validate_every={steps}"]
    names = [name for name in ENTRANTS if find_spec("monai") or not name.startswith("MONAI")]
    chosen = values.only or [name for name in names if values.full or "its" not in name]
    names = [name for name in names if name == "ours" or name in chosen]
    config = RunConfig.load(overrides=overrides)
    with tempfile.TemporaryDirectory() as scratch, workers(__file__, names) as asks:
        make_data(Path(scratch), patients, config)
        folder = Path(scratch) / "data"
        train, held = read_data(folder)
        device = hardware.default_device()
        print(f"{device.type}, {torch.get_num_threads()} threads, {hardware.precision('auto', device)}")
        print(f"{len(train)} frames to learn, {len(held)} others, {seeds} seeds, {steps} steps of batch", end=" ")
        print(config.train.batch_size)
        report(race(asks, folder, overrides, seeds), constant_dice(train, held))
    return None


def report(found: dict[str, list[dict[str, float]]], constant: float) -> None:
    print("ratios: median over seeds, and where their middle 80 % lie")
    seconds = {name: [one["seconds"] for one in rows] for name, rows in found.items()}
    dice = {name: np.array([one["dice"] for one in rows]) for name, rows in found.items()}
    for name in found:
        text = f"{name:<24} {np.median(seconds[name]):8.2f} s   Dice {dice[name].mean():.4f}"
        if name != "ours":
            text += f"   {ratio(seconds[name], seconds['ours'])} times ours"
            text += f"   ours is better by {verdict(dice['ours'], dice[name])}"
        print(text)
    print(f"{'the same mask for all':<24} {'':10}   Dice {constant:.4f}")


if __name__ == "__main__":
    main()
