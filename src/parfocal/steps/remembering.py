"""Which training cases go into the exemplar memory, and what is kept of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from parfocal import models, strategies
from parfocal.core.errors import DataContractError, UsageError
from parfocal.core.manifest import MANIFEST, Parent
from parfocal.core.manifest import read as read_manifest
from parfocal.memory import selection
from parfocal.memory.buffer import Memory
from parfocal.memory.rows import concatenate, take
from parfocal.memory.sampler import Sampler, Source
from parfocal.memory.stack_sampler import stacked
from parfocal.memory.storage import Kept
from parfocal.objectives import Batch, Objective
from parfocal.preprocessing.shards import Arrays
from parfocal.steps import stacked as volumes
from parfocal.steps.config import RunConfig
from parfocal.training import batches, gradients, validation

CPU = torch.device("cpu")


def remember(
    memory: Memory,
    instrument: str,
    structure: str,
    model: nn.Module,
    arrays: Arrays,
    patients: Mapping[str, str],
    config: RunConfig,
    objective: Objective,
) -> Memory:
    """Keep some training cases of an instrument, one a patient. Exemplars kept before compete with the new cases.

    One that was drawn anew in `arrays` is kept with its new mask.

    Args:
        patients: case id to patient, for `arrays`.
        config: `retrain.exemplars` says how many of an instrument, `retrain.exemplars_in_all` of all of them, and
            `retrain.selection` which. For a strategy that needs logits they are kept as `model` gives them, where it
            looks at single pictures without clicks.
        objective: what a case's loss is.
    """
    memory = memory.relabelled(instrument, structure, arrays)
    was = memory.kept(structure, instrument)
    patients = {**memory.patients.get(instrument, {}), **patients}
    chosen, seen = exemplars(
        was, arrays, patients, model, config, lambda pictures: _difficulty(model, pictures), objective
    )
    pictures_alone = not models.slices_of(model) and not objective.inputs
    logits = said(model, chosen, was) if wants_logits(config) and pictures_alone and len(chosen) else None
    memory = memory.with_exemplars(instrument, structure, chosen, patients, seen=seen, logits=logits)
    return bounded(memory, [structure], config)


def wants_logits(config: RunConfig) -> bool:
    """Whether the run's strategy wants what a network says of exemplars kept with them."""
    return "logits" in strategies.needs(config.retrain.strategy)


def exemplars(
    was: Kept | None,
    new: Arrays,
    patients: Mapping[str, str],
    model: nn.Module,
    config: RunConfig,
    difficulty: Callable[[Arrays], NDArray[np.float64]],
    objective: Objective,
) -> tuple[Arrays, int]:
    """The cases that are worth keeping, one a patient, and how many have competed for a place so far.

    Args:
        was: what is kept already; it competes.
        new: cases that want a place.
        patients: case id to patient, of both.
        model: the trained network.
        difficulty: of cases, [N]; the more difficult, the more they are worth.
        objective: what a case's loss is.
    """
    old = was.arrays if was is not None else take(new, [])
    pool = concatenate([old, new]) if len(old) else new
    if depth := models.slices_of(model):
        return volumes.exemplars(pool, patients, depth, config), 0
    first = {patients[case]: row for row, case in reversed(list(enumerate(pool.case_ids)))}
    rows = sorted(first.values())
    kept = sum(row < len(old) for row in rows)
    cases, seen = take(pool, rows), was.seen if was is not None else 0
    contest = selection.Pool(
        count=len(rows),
        size=config.retrain.exemplars,
        rng=np.random.default_rng([config.seed, seen] if seen else config.seed),
        kept=kept,
        seen=seen,
        difficulty=lambda: difficulty(cases),
        slopes=lambda: gradients.last_layer_norms(model.to(CPU), one_by_one(cases), objective),
        features=lambda: features(model, cases.image),
    )
    return take(cases, selection.choose(config.retrain.selection, contest)), seen + len(rows) - kept


def bounded(memory: Memory, structures: Sequence[str], config: RunConfig) -> Memory:
    """The memory within `retrain.exemplars_in_all`, which counts once a case of several structures of one network."""
    limit = config.retrain.exemplars_in_all
    if limit is None:
        return memory
    return memory.bounded(structures, limit, ordered=config.retrain.selection in selection.ORDERED, seed=config.seed)


def one_by_one(arrays: Arrays, depth: int = 0) -> Iterator[Batch]:
    """Batches of one case each on the CPU, as they are and in their order.

    For a network of stacks a batch is one of `depth` slices, and the order is none.
    """
    sampler = stacked(Sampler([Source("cases", arrays, 1.0)], 1, 0), depth)
    for step in range(len(arrays)):
        row = slice(step, step + 1)
        image, mask, points = (
            sampler.batch(step) if depth else (arrays.image[row], arrays.mask[row], arrays.points[row])
        )
        yield Batch(
            batches.to_input(image, CPU), torch.from_numpy(mask), torch.from_numpy(points), np.random.default_rng(step)
        )


def said(model: nn.Module, arrays: Arrays, was: Kept | None) -> NDArray[np.float16]:
    """Logits of exemplars, float16 [N, C, S, S]: as they were kept, and of the others as `model` gives them."""
    found = logits_of(model, arrays.image)
    if was is not None and was.logits is not None:
        kept = {case: row for row, case in enumerate(was.arrays.case_ids)}
        for row, case in enumerate(arrays.case_ids):
            if case in kept:
                found[row] = was.logits[kept[case]]
    return found


def logits_of(model: nn.Module, images: NDArray[np.uint8]) -> NDArray[np.float16]:
    """Float16 [N, C, S, S], at least one, of uint8 [N, S, S, 3]; evaluation mode."""
    device = next(model.parameters()).device
    model.eval()
    with torch.inference_mode():
        parts = [images[start : start + 32] for start in range(0, len(images), 32)]
        return np.concatenate([model(batches.to_input(part, device)).half().cpu().numpy() for part in parts])


def _difficulty(model: nn.Module, pool: Arrays) -> NDArray[np.float64]:
    """1 - Dice of the trained network, [N]: a case it gets right teaches little on replay."""
    return 1.0 - validation.dice_by_case(validation.predict_masks(model, pool.image), pool.mask)


def features(model: nn.Module, images: NDArray[np.uint8]) -> NDArray[np.float64]:
    """Spatial mean of the encoder's lowest level, [N, D], of uint8 [N, S, S, 3].

    Raises:
        UsageError: the network has no encoder that it could be asked of.
    """
    if not hasattr(model, "encode"):
        raise UsageError(
            f"{type(model).__name__} has no features by which exemplars could be chosen",
            where="retrain.selection",
            expected="random, reservoir or gradient-norm",
        )
    device = next(model.parameters()).device
    encode: Callable[[torch.Tensor], torch.Tensor] = model.eval().encode  # type: ignore[assignment]
    with torch.inference_mode():
        pooled = [
            encode(batches.to_input(images[start : start + 32], device)).float().mean((2, 3)).cpu().numpy()
            for start in range(0, len(images), 32)
        ]
    return np.concatenate(pooled).astype(np.float64)


def write_memory(memory: Memory, out: Path, parents: Sequence[Parent]) -> None:
    """Write the memory, or keep the same one that a killed run has already written."""
    if (out / MANIFEST).is_file():
        if read_manifest(out, "memory").parents != tuple(parents):
            raise DataContractError("another memory is here already", where=out, next="name another --memory folder")
        return
    memory.write(out, parents=parents)
