from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from training_kit import Log, discs

from parfocal import models
from parfocal.augmentation.geometric import AugmentConfig, Change
from parfocal.core.errors import UsageError
from parfocal.core.types import Slice
from parfocal.memory.sampler import Sampler, Source
from parfocal.memory.stack_sampler import StackSampler
from parfocal.objectives.segment import Segment, SegmentSettings
from parfocal.preprocessing.shards import UNKNOWN, Arrays
from parfocal.training import batches, resident
from parfocal.training.config import TrainConfig
from parfocal.training.engine import fit
from parfocal.training.resident import Resident
from parfocal.training.state import FitResult

CPU = torch.device("cpu")
NO_GPU = pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU here")


def pointed(n: int, seed: int, size: int = 48) -> Arrays:
    """Discs on noise, some of whose centres are known."""
    points = np.random.default_rng(seed).random((n, 2), dtype=np.float32)
    points[::3] = np.nan
    return replace(discs(n, seed, size), points=points)


def classed(n: int, seed: int) -> Arrays:
    """Masks of three classes, of which every fourth is unknown all over and every fourth in a corner."""
    arrays = discs(n, seed, 48)
    mask = arrays.mask * 2
    mask[:, :, 20:24] = 1
    mask[::4] = UNKNOWN
    mask[1::4, :8, :8] = UNKNOWN
    return replace(arrays, mask=mask)


def sampler(augment: AugmentConfig | None, *more: Arrays) -> Sampler:
    parts = (pointed(9, 1), pointed(5, 2), *more)
    return Sampler([Source(str(i), arrays, 1.0) for i, arrays in enumerate(parts)], 12, 4, augment)


def check_alike(one: Sampler, device: torch.device) -> None:
    """Three batches of both ways: the same rows, almost the same pictures and masks."""
    host, there = batches.upcoming(one, 0, 3, device), Resident(one, device).upcoming(0, 3)
    for (image, mask, points), (other, cut, moved) in zip(host, there, strict=True):
        assert torch.equal(points.nan_to_num(-1), moved.nan_to_num(-1))
        assert (other.dtype, cut.dtype) == (torch.float32, torch.uint8)
        assert other.device.type == cut.device.type == device.type
        assert other.is_contiguous(memory_format=torch.channels_last)
        difference = 255 * (image - other).abs()
        assert difference.mean() < 0.01  # grey levels, of noise
        assert difference.max() <= 2
        for value in mask.unique().tolist():
            true, found = (mask == value).flatten(1).float(), (cut == value).flatten(1).float()
            dice = (2 * (true * found).sum(1) + 1e-6) / (true.sum(1) + found.sum(1) + 1e-6)
            assert dice.min() > 0.99, value


@pytest.mark.parametrize(
    "augment", [AugmentConfig(), AugmentConfig(rotation=0, shift=0.3, zoom=(1, 1), contrast=0.9, brightness=90)]
)
def test_the_device_makes_of_a_draw_what_the_host_makes(augment: AugmentConfig) -> None:
    check_alike(sampler(augment), CPU)


def test_masks_of_classes_take_the_nearest_and_unknown_ones_stay_unknown() -> None:
    one = sampler(AugmentConfig(), classed(8, 3))
    check_alike(one, CPU)
    masks = next(Resident(one, CPU).upcoming(0, 1))[1]
    assert set(masks.unique().tolist()) == {0, 1, 2, UNKNOWN}
    assert (masks == UNKNOWN).flatten(1).all(1).any()


@NO_GPU
@pytest.mark.gpu
def test_a_gpu_makes_of_a_draw_what_the_host_makes() -> None:
    check_alike(sampler(AugmentConfig(), classed(8, 3)), torch.device("cuda"))


def test_without_changes_and_on_several_ranks_every_bit_is_the_same() -> None:
    one = sampler(None, classed(8, 3))
    for rank in range(2):
        host = next(batches.upcoming(one, 5, 6, CPU, rank=rank, world=2))
        there = next(Resident(one, CPU).upcoming(5, 6, rank=rank, world=2))
        assert torch.equal(host[0], there[0])
        assert torch.equal(host[1], there[1])


def test_a_shift_of_two_pixels_and_a_mirror_worked_by_hand() -> None:
    shift, mirror = resident.sampling([Change(shift=(2 / 8, 0.0)), Change(mirror=True)], 4, 8)
    # Pixel x of the result is x - 2 of the source: 2 (x - 2) / 8 + 1 / 8 - 1.
    assert shift[:6].tolist() == [0.25, 0.0, -0.5 + 0.125 - 1, 0.0, 0.5, 0.25 - 1]
    # Pixel x is 7 - x: 2 (7 - x) / 8 + 1 / 8 - 1.
    assert mirror[:6] == pytest.approx([-0.25, 0.0, 1.75 + 0.125 - 1, 0.0, 0.5, 0.25 - 1])


class Stops(Log):
    """Ends a training after a step, as a kill would."""

    def __init__(self, step: int) -> None:
        super().__init__()
        self.step = step

    def progress(self, stage: str, done: int, total: int) -> None:
        if done == self.step:
            raise KeyboardInterrupt


def train(setting: str, folder: Path | None = None, log: Log | None = None, steps: int = 30) -> FitResult:
    config = TrainConfig(
        steps=steps, batch_size=6, learning_rate=0.01, validate_every=steps, checkpoint_every=4, resident=setting
    )
    model = models.build("unet", {"depth": 2, "width": 6, "increment": 1.5, "dropout": 0.1})
    sources = Sampler([Source("a", discs(9, 1), 1.0)], config.batch_size, 0, AugmentConfig())
    log = log or Log()
    objective = Segment(SegmentSettings(), config.loss)
    return fit(model, sources, objective, {"a": discs(5, 3)}, config, checkpoint=folder, reporter=log, run=log)


def test_thirty_steps_come_to_the_same_loss_on_either_way() -> None:
    host, there = train("off"), train("on")
    assert there.history[-1]["loss"] == pytest.approx(host.history[-1]["loss"], rel=0.01)
    assert there.best_score == pytest.approx(host.best_score, abs=0.02)


def test_a_training_stopped_midway_ends_with_the_very_same_weights(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        train("on", tmp_path, Stops(7), steps=12)
    log = Log()
    resumed, whole = train("on", tmp_path, log, steps=12), train("on", steps=12)
    assert log.notes == ["train goes on from step 4 of 12"]
    assert all(torch.equal(value, resumed.weights[name]) for name, value in whole.weights.items())


@pytest.mark.parametrize(("first", "then"), [("on", "off"), ("off", "on"), ("auto", "on")])
def test_a_checkpoint_of_the_one_way_is_not_taken_up_by_the_other(tmp_path: Path, first: str, then: str) -> None:
    train(first, tmp_path, steps=1)
    with pytest.raises(UsageError, match=r"something else: train\.resident"):
        train(then, tmp_path, steps=1)


@pytest.mark.parametrize("first", ["on", "off"])
def test_auto_goes_on_as_the_checkpoint_began(tmp_path: Path, first: str) -> None:
    with pytest.raises(KeyboardInterrupt):
        train(first, tmp_path, Stops(7), steps=12)
    with pytest.raises(KeyboardInterrupt):
        train("auto", tmp_path, Stops(9), steps=12)  # which writes a checkpoint of its own
    resumed, whole = train("auto", tmp_path, steps=12), train(first, steps=12)
    assert all(torch.equal(value, resumed.weights[name]) for name, value in whole.weights.items())


def test_auto_takes_a_gpu_with_room_and_never_a_cpu(monkeypatch: pytest.MonkeyPatch) -> None:
    one, notes = sampler(None), Log()
    assert resident.size(one) == 14 * 48 * 48 * 4
    gpu = torch.device("cuda")
    for free, expected in ((10 * resident.size(one), True), (10 * resident.size(one) - 11, False)):
        monkeypatch.setattr(resident, "_free", lambda _, free=free: free)
        assert resident.chosen("auto", one, gpu, notes.note) is expected
    assert not resident.chosen("auto", one, CPU, notes.note)
    assert not resident.chosen("off", one, gpu, notes.note)
    assert resident.chosen("on", one, CPU, notes.note)
    assert not notes.notes


def test_stacks_are_made_on_the_host_and_whoever_asked_is_told() -> None:
    slices = tuple(Slice("v", number) for number in range(6))
    volume = replace(discs(6, 1), slices=slices)
    stacks, log = StackSampler(Sampler([Source("a", volume, 1.0)], 2, 0), 3), Log()
    assert not resident.chosen("auto", stacks, CPU, log.note)
    assert not log.notes
    assert not resident.chosen("on", stacks, CPU, log.note)
    assert log.notes == ["train.resident=on is for pictures; stacks of slices are made on the host"]
