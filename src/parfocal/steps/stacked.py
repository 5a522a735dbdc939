"""What networks that see neighbouring slices need of `train` and `retrain`, beside what all networks need."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np
from numpy.typing import NDArray

from parfocal import strategies
from parfocal.core.errors import UsageError
from parfocal.core.task import task
from parfocal.inference.runtimes import network_input
from parfocal.memory import selection
from parfocal.memory.rows import take
from parfocal.preprocessing import stacks
from parfocal.preprocessing.shards import Arrays
from parfocal.steps.config import RunConfig
from parfocal.training.config import TrainConfig


def refuse_unfit(structure: str, config: RunConfig, train: TrainConfig) -> None:
    """Refuse what a network of stacks cannot do.

    Raises:
        UsageError: another objective than `segment`, several structures in one network, random tiles of slices, a
            structure inside another, exemplars by their features or with logits.
    """
    pictures = "set model.options.dimensions=2"
    if train.objective.name != "segment":
        raise UsageError(
            f"a network of three dimensions, and the objective {train.objective.name} is for pictures",
            where="train.objective", expected="segment", next=pictures,
        )  # fmt: skip
    if train.together:
        raise UsageError("several structures in one network of three dimensions", where="train.together",
                         expected="a network a structure", next=pictures)  # fmt: skip
    if getattr(config.recipe, "tiles_a_slice", 0):
        raise UsageError(
            "random tiles of one slice lie elsewhere on its neighbours", where="recipe.tiles_a_slice",
            expected="0, whole slices, for a network of three dimensions", next=pictures,
        )  # fmt: skip
    inside = task(config.task).structure(structure).inside
    if inside is not None:
        raise UsageError(
            f"{structure} is looked for inside {inside}, in another box on every slice", where="model.options",
            expected="networks of three dimensions for outermost structures alone", next=pictures,
        )  # fmt: skip
    if config.retrain.selection != "random":
        raise UsageError("a network of three dimensions has no features by which exemplars could be chosen",
                         where="retrain.selection", expected="random")  # fmt: skip
    if "logits" in strategies.needs(config.retrain.strategy):
        raise UsageError(
            f"the strategy {config.retrain.strategy.name} keeps logits of single pictures, and a network of three "
            "dimensions answers stacks", where="retrain.strategy.name", expected="another one, such as replay",
        )  # fmt: skip


def left_out(sources: Iterable[Arrays]) -> int:
    """How many rows no stack has: static copies, and cases that came again."""
    return sum(len(arrays) - sum(len(one.rows) for one in stacks.volumes(arrays).values()) for arrays in sources)


def network_stacks(arrays: Arrays, depth: int) -> NDArray[np.float32]:
    """Network input of stacks side by side that cover every volume, float32 [M, 3, D, S, S]."""
    found = [
        network_input(arrays.image[volume.rows[window.slices]]).swapaxes(0, 1)
        for volume in stacks.volumes(arrays).values()
        for window in stacks.covering(volume.numbers, depth, step=depth)
    ]
    return np.stack(found)


def exemplars(pool: Arrays, patients: Mapping[str, str], depth: int, config: RunConfig) -> Arrays:
    """Whole stacks that are worth keeping: of random patients, around the slice that shows most of the structure.

    `retrain.exemplars` counts stacks, one a patient.
    """
    sizes = (pool.mask == 1).sum((1, 2))
    best: dict[str, tuple[int, list[int]]] = {}
    for volume in stacks.volumes(pool).values():
        largest = int(np.argmax(sizes[volume.rows]))
        around = stacks.around(volume.numbers, int(volume.numbers[largest]), depth)
        rows = volume.rows[around.slices[around.there]].tolist()
        patient, size = patients[pool.case_ids[rows[0]]], int(sizes[volume.rows[largest]])
        if patient not in best or size > best[patient][0]:
            best[patient] = size, rows
    kept = list(best.values())
    chosen = selection.at_random(len(kept), config.retrain.exemplars, np.random.default_rng(config.seed))
    return take(pool, [row for one in chosen for row in kept[one][1]])
