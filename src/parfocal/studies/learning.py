"""What every cell does with networks: build, fit, predict, score, in the frame that the network sees."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from parfocal.core.protocols import Reporter
from parfocal.core.untracked import UntrackedRun
from parfocal.evaluation import metrics
from parfocal.evaluation.constant import ConstantMask
from parfocal.preprocessing.shards import Arrays
from parfocal.studies.frames import Frames
from parfocal.studies.study import CONSTANT, Row

if TYPE_CHECKING:
    import torch
    from torch import nn

    from parfocal.training.state import FitResult

Predict = Callable[[Arrays], NDArray[np.uint8]]
"""Frames to masks, uint8 {0, 1} [N, S, S]."""


def build(model: Mapping[str, Any], seed: int, *, in_channels: int = 3, out_channels: int = 1) -> nn.Module:
    """A network from the values of a `ModelConfig`."""
    from parfocal import models

    spec = models.ModelConfig.parse(model).spec(in_channels=in_channels, out_channels=out_channels)
    return models.build(spec.name, spec.parameters, seed=seed)


def keep(model: nn.Module, folder: Path) -> None:
    """Write a network's weights into a folder, for `kept`."""
    from safetensors.torch import save_file

    from parfocal.models import WEIGHTS

    weights = {name: tensor.detach().cpu().contiguous() for name, tensor in model.state_dict().items()}
    save_file(weights, folder / WEIGHTS)


def kept(folder: Path) -> dict[str, torch.Tensor]:
    """Weights that `keep` wrote."""
    from safetensors.torch import load_file

    from parfocal.models import WEIGHTS

    return dict(load_file(folder / WEIGHTS))


def parameters(model: Mapping[str, Any]) -> int:
    """Trainable parameters of a network."""
    return sum(one.numel() for one in build(model, 0).parameters() if one.requires_grad)


def fit(
    model: nn.Module,
    sources: Mapping[str, Arrays],
    train: Mapping[str, Any],
    seed: int,
    checkpoint: Path,
    reporter: Reporter,
    *,
    held_out: Mapping[str, Arrays] | None = None,
    by_size: bool = False,
) -> nn.Module:
    """Train `model` in place by the values of a `TrainConfig` and return it.

    Args:
        model: the objective's main network.
        sources: what to learn from, in equal parts, or `by_size`.
        train, seed: settings.
        checkpoint: a killed training goes on from here.
        reporter: hears the steps.
        held_out: chooses the best weights; without it the last ones stay.
        by_size: every picture comes equally often.
    """
    model.load_state_dict(_fitted(model, sources, train, seed, checkpoint, reporter, held_out, by_size).weights)
    return model


def keep_translator(
    model: nn.Module,
    sources: Mapping[str, Arrays],
    train: Mapping[str, Any],
    seed: int,
    checkpoint: Path,
    reporter: Reporter,
    folder: Path,
) -> None:
    """Train `model` by the objective `cycle` and keep the way back from masks to images inside `folder`."""
    from parfocal import objectives
    from parfocal.training import synthesis
    from parfocal.training.config import TrainConfig

    config = TrainConfig.parse(dict(train))
    result = _fitted(model, sources, train, seed, checkpoint, reporter)
    synthesis.keep(objectives.build(config.objective, config.loss), result.others, folder)


def _fitted(
    model: nn.Module,
    sources: Mapping[str, Arrays],
    train: Mapping[str, Any],
    seed: int,
    checkpoint: Path,
    reporter: Reporter,
    held_out: Mapping[str, Arrays] | None = None,
    by_size: bool = False,
) -> FitResult:
    from parfocal import objectives
    from parfocal.memory.sampler import Sampler, Source
    from parfocal.training import engine
    from parfocal.training.config import TrainConfig

    config = TrainConfig.parse({**train, "seed": seed})
    shares = [Source(name, one, len(one) if by_size else 1.0) for name, one in sources.items()]
    sampler = Sampler(shares, config.batch_size, seed, config.augment)
    return engine.fit(
        model,
        sampler,
        objectives.build(config.objective, config.loss),
        held_out or {},
        config,
        checkpoint=checkpoint,
        reporter=reporter,
        run=UntrackedRun(),
        stage="training",
    )


def predictor(model: nn.Module) -> Predict:
    """Masks of a network that takes pictures alone."""
    from parfocal.training import validation

    return lambda arrays: validation.predict_masks(model, arrays.image)


def scores(
    arm: str, predict: Predict, frames: Frames, seed: int, *, x: float | None = None, legacy: bool = False, **more: Any
) -> list[Row]:
    """Every measure of every case, in pixels of the frame.

    Args:
        arm, seed, x: what was trained.
        predict: gives the masks.
        frames: one row a case.
        legacy: with paper 002's row-wise quantity.
        more: further fields of the rows.
    """
    predicted = predict(frames.arrays)
    rows = []
    for place, case in enumerate(frames.arrays.case_ids):
        mask, truth = predicted[place] > 0, frames.arrays.mask[place] > 0
        found = metrics.score_case(mask, truth)
        if legacy:
            found["row_hausdorff_legacy"] = metrics.row_hausdorff_legacy(mask, truth)
        rows.append(
            Row(
                arm=arm, role=frames.data.role, data=frames.data.label, structure=frames.structure, seed=seed,
                case=case, patient=frames.patients[place], metrics=found, x=x, **more,
            )
        )  # fmt: skip
    return rows


def constant_scores(learned: Frames, test: Frames, seed: int, **more: Any) -> list[Row]:
    """The same of the constant mask of the training masks."""
    constant = ConstantMask.fit(learned.cases().arrays.mask)
    return scores(CONSTANT, lambda arrays: np.stack([constant.mask] * len(arrays)), test, seed, **more)


def flipped(*, rotation: float = 0.0) -> dict[str, Any]:
    """Dynamic augmentation of flips, and turns, alone: image and mask together."""
    return {"rotation": rotation, "shift": 0.0, "zoom": (1.0, 1.0), "brightness": 0.0, "contrast": 0.0}


def plain() -> dict[str, Any]:
    """No dynamic augmentation."""
    return {**flipped(), "flip_horizontal": False, "flip_vertical": False}


def steps(pictures: int, batch: int, epochs: float) -> int:
    """Optimiser steps of so many epochs."""
    return max(1, round(epochs * pictures / batch))
