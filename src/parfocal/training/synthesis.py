"""Synthetic pairs: images made of masks by the way back of a CycleGAN, to thicken a small training set (paper 002)."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from parfocal import models
from parfocal.augmentation import geometric
from parfocal.augmentation.geometric import AugmentConfig
from parfocal.core.errors import DataContractError
from parfocal.objectives import Objective
from parfocal.preprocessing.shards import Arrays
from parfocal.training import hardware
from parfocal.training.normalization import Weights

TRANSLATOR = "translator"
"""Folder of the network from masks to images inside a pretrained one; the objective `cycle` leaves it there."""
_BATCH = 16


def keep(objective: Objective, others: Mapping[str, Weights], folder: Path) -> None:
    """Keep the way back inside `folder`, where training by `objective` has left one among `others`."""
    if TRANSLATOR in others:
        spec = objective.networks()[TRANSLATOR]
        network = models.build(spec.name, spec.parameters)
        network.load_state_dict(others[TRANSLATOR])
        models.save(network, spec, folder / TRANSLATOR)


def translator(pretrained: Path) -> nn.Module:
    """The network from masks to images that a pretraining with the objective `cycle` has left.

    Raises:
        DataContractError: the folder has none.
    """
    if not (pretrained / TRANSLATOR / models.MODEL).is_file():
        raise DataContractError(
            "this pretrained network has no way back from masks to images",
            where=pretrained,
            expected=f"a folder {TRANSLATOR}",
            next="pretrain with pretrain.objective.name=cycle",
        )
    return models.load(pretrained / TRANSLATOR)


def pairs(network: nn.Module, masks: NDArray[np.uint8], count: int, *, shapes: AugmentConfig, seed: int) -> Arrays:
    """Make `count` images of turned, moved and scaled masks.

    Args:
        network: takes float32 [N, 1, S, S] in {0, 1} and gives logits of an image, [N, 3, S, S].
        masks: uint8 {0, 1} [M, S, S], at least one.
        count: how many to make.
        shapes: ranges of the masks' changes.
        seed: of which masks, and how they are changed.

    Returns:
        Pairs whose mask is the one that the image was made of; their cases are called ``synthetic-<i>``.
    """
    rng = np.random.default_rng(seed)
    chosen = masks[rng.integers(len(masks), size=count)]
    blank = np.zeros((*masks.shape[1:], 3), np.uint8)
    changes = geometric.draw(shapes, rng, count)
    moved = np.stack([geometric.apply(blank, mask, change)[1] for mask, change in zip(chosen, changes, strict=True)])
    device = hardware.default_device()
    network = network.to(device).eval()
    images = []
    with torch.inference_mode():
        for start in range(0, count, _BATCH):
            batch = torch.from_numpy(moved[start : start + _BATCH, None]).to(device, torch.float32)
            made = network(batch).float().sigmoid().mul(255).round().to(torch.uint8)
            images.append(made.permute(0, 2, 3, 1).cpu().numpy())
    return Arrays(np.concatenate(images), moved, tuple(f"synthetic-{i}" for i in range(count)))
