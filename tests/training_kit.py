"""Small pictures to train on, and a training run in a process of its own for tests that kill it or start two of it.

    python training_kit.py WORK [--steps N] [--batch N] [--checkpoint-every N]

Writes WORK/result-<rank>.json, checkpoints to WORK/checkpoint, and a line a step.
"""

import argparse
import hashlib
import json
import os
import time
from collections.abc import Mapping
from pathlib import Path

import cv2
import numpy as np
import torch

from parfocal import models
from parfocal.augmentation.geometric import AugmentConfig
from parfocal.memory.sampler import Sampler, Source
from parfocal.objectives.segment import Segment, SegmentSettings
from parfocal.preprocessing.shards import Arrays
from parfocal.training.config import TrainConfig
from parfocal.training.engine import fit


def discs(n: int, seed: int, size: int = 32) -> Arrays:
    """Bright discs on a noisy ground."""
    rng = np.random.default_rng(seed)
    image = rng.integers(0, 90, (n, size, size, 3), dtype=np.uint8)
    mask = np.zeros((n, size, size), np.uint8)
    for i in range(n):
        x, y = (int(v) for v in rng.integers(size // 4, 3 * size // 4, 2))
        cv2.circle(mask[i], (x, y), size // 5, 1, -1)
        image[i][mask[i] > 0] += 60
    return Arrays(image, mask, tuple(f"case-{seed}-{i}" for i in range(n)))


class Log:
    """Reporter and run at once; a line a step, flushed, so that a test knows when to kill."""

    id = "test"

    def params(self, values: object) -> None: ...

    def tags(self, values: object) -> None: ...

    def artifact(self, path: Path, folder: str = "") -> None: ...

    def text(self, content: str, name: str) -> None: ...

    def dataset(self, folder: Path, context: str) -> None: ...

    def __init__(self, pause: float = 0.0, hold: int = 0, go: Path = Path()) -> None:
        self.pause = pause
        self.hold, self.go = hold, go
        self.notes: list[str] = []
        self.logged: dict[int | None, dict[str, float]] = {}

    def progress(self, stage: str, done: int, total: int) -> None:
        print(f"step {done}", flush=True)
        time.sleep(self.pause)
        while done == self.hold and not self.go.exists():
            time.sleep(0.01)

    def epoch(self, stage: str, step: int, values: object) -> None: ...

    def note(self, message: str) -> None:
        self.notes.append(message)
        print(f"note {message}", flush=True)

    def metrics(self, values: Mapping[str, float], step: int | None = None) -> None:
        self.logged[step] = dict(values)
        print(f"metrics {step}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("work", type=Path)
    parser.add_argument("--steps", type=int, default=24)
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--checkpoint-every", type=int, default=3)
    parser.add_argument("--precision", default="auto")
    parser.add_argument("--pause", type=float, default=0.0)
    parser.add_argument("--hold", type=int, default=0, help="a step after which it waits until there is a file `go`")
    values = parser.parse_args()
    torch.set_num_threads(1)
    config = TrainConfig(
        steps=values.steps,
        batch_size=values.batch,
        learning_rate=3e-3,
        validate_every=8,
        checkpoint_every=values.checkpoint_every,
        precision=values.precision,
        seed=7,
    )
    spec = models.ModelConfig(depth=2, width=8, increment=1.3).spec()
    model = models.build(spec.name, spec.parameters, seed=config.seed)
    sources = [Source("old", discs(11, 1), 0.5), Source("new", discs(7, 2), 0.5)]
    sampler = Sampler(sources, config.batch_size, config.seed, AugmentConfig())
    log = Log(values.pause, values.hold, values.work / "go")
    validation = {"old": discs(6, 3), "new": discs(6, 4)}
    folder = values.work / "checkpoint"
    result = fit(
        model,
        sampler,
        Segment(SegmentSettings(), config.loss),
        validation,
        config,
        checkpoint=folder,
        reporter=log,
        run=log,
    )
    digest = hashlib.sha256()
    for name in sorted(result.weights):
        digest.update(name.encode() + result.weights[name].numpy().tobytes())
    last = hashlib.sha256()
    for name, parameter in sorted(model.named_parameters()):
        last.update(name.encode() + parameter.detach().contiguous().numpy().tobytes())
    rank = os.environ.get("RANK", "0")
    outcome = {"best": digest.hexdigest(), "last": last.hexdigest(), "history": result.history}
    (values.work / f"result-{rank}.json").write_text(json.dumps(outcome))


if __name__ == "__main__":
    main()
