"""What `train` and `retrain` share: one structure's network is built, fitted, exported, checked and remembered."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from torch import nn

from parfocal import models, objectives
from parfocal.augmentation import clicks
from parfocal.core.bundle import Clicked, DatasetRef, PretrainedRef, StructureModel
from parfocal.core.errors import DataContractError, UsageError
from parfocal.core.manifest import MANIFEST, Parent
from parfocal.core.manifest import read as read_manifest
from parfocal.core.protocols import Reporter, Run
from parfocal.core.task import Structure
from parfocal.core.types import Split
from parfocal.inference.agreement import export_agreeing
from parfocal.inference.runtimes import network_input
from parfocal.memory import selection
from parfocal.memory.buffer import Memory
from parfocal.memory.rows import concatenate, take
from parfocal.memory.sampler import Sampler, Source
from parfocal.models import ModelSpec
from parfocal.objectives import Objective
from parfocal.preprocessing.shards import Arrays, read_arrays, read_dataset
from parfocal.steps.config import RunConfig
from parfocal.training import batches, engine, pretrained, validation
from parfocal.training.config import TrainConfig


def labelled(folders: Sequence[Path], structure: str, side: Split) -> dict[str, Arrays]:
    """Arrays of a structure on one side by instrument, over several datasets; unlabelled instruments are left out."""
    found: dict[str, list[Arrays]] = {}
    for folder in folders:
        arrays = read_arrays(folder, structure, side)
        if arrays is not None and len(arrays):
            found.setdefault(read_dataset(folder).instrument, []).append(arrays)
    return {instrument: concatenate(parts) for instrument, parts in found.items()}


@dataclass(frozen=True)
class Learner:
    """Fits and exports the networks of one run.

    Attributes:
        train: how they are trained.
        checkpoints: folder of the run's checkpoints.
    """

    config: RunConfig
    train: TrainConfig
    checkpoints: Path
    run: Run
    reporter: Reporter

    @cached_property
    def objective(self) -> Objective:
        """What the networks are trained for.

        Raises:
            UsageError: it gives no masks.
        """
        if self.train.loss == "cross_entropy":
            raise UsageError(
                "cross entropy over classes asks for a network of several structures",
                where="train.loss",
                expected="bce_dice, bce, soft_dice or soft_dice_squared: every structure has a network of its own",
            )
        objective = objectives.build(self.train.objective, self.train.loss)
        if objective.outputs != "mask":
            raise UsageError(
                f"the objective {self.train.objective.name} gives no masks",
                where="train.objective",
                next="name it under pretrain.objective, run `parfocal pretrain`, and train from what that writes",
            )
        return objective

    @property
    def spec(self) -> ModelSpec:
        """What a new network of this run is."""
        return self.config.model.spec(in_channels=3 + self.objective.inputs)

    def build(self, structure: str) -> tuple[nn.Module, PretrainedRef | None]:
        """A new network and the pretrained one it starts from, if any.

        The rest of its weights are a function of the seed and the structure's name.
        """
        model = models.build(self.spec.name, self.spec.parameters, seed=self.config.seed + sum(structure.encode()))
        self._draws_masks(model)
        return model, pretrained.start_from(model, self.train.encoder)

    def fit(self, structure: str, model: nn.Module, sampler: Sampler, held_out: Mapping[str, Arrays]) -> None:
        """Train `model` in place to the best weights seen on `held_out`, validation arrays by instrument."""
        result = engine.fit(
            model,
            sampler,
            self.objective,
            held_out,
            self.train.for_structure(structure),
            checkpoint=self.checkpoints / structure,
            reporter=self.reporter,
            run=self.run,
            stage=structure,
        )
        model.load_state_dict(result.weights)

    def sampler(self, sources: Sequence[Source]) -> Sampler:
        """Augmented batches of these sources."""
        return Sampler(sources, self.train.batch_size, self.config.seed, self.train.augment)

    def _draws_masks(self, model: nn.Module) -> None:
        size = self.config.recipe.size
        with torch.inference_mode():
            shape = tuple(model.eval()(torch.zeros(1, 3 + self.objective.inputs, size, size)).shape)
        if shape != (1, 1, size, size):
            raise UsageError(
                f"the network {self.spec.name} gives {list(shape)} for one picture, and not one mask",
                where="model",
                expected=f"[1, 1, {size}, {size}]",
                next="name a segmentation network with one output, such as unet, residual_unet or monai",
            )

    def _clicked(self) -> Clicked | None:
        """How the network is asked; None for one that looks at images alone."""
        said = self.train.objective.settings.model_dump()
        return Clicked(sigma=said["sigma"], previous=said["previous"]) if self.objective.inputs else None

    def export(
        self,
        structure: Structure,
        model: nn.Module,
        spec: ModelSpec,
        folder: Path,
        held_out: Mapping[str, Arrays],
        origin: PretrainedRef | None = None,
    ) -> StructureModel:
        """Write weights and their agreeing export to `folder/<structure>`; without one, inference runs the weights."""
        target = folder / structure.name
        models.save(model, spec, target)
        pictures = concatenate(list(held_out.values()))
        asked = self._clicked()
        inputs = network_input(pictures.image) if asked is None else clicked(pictures, asked.sigma)
        exported, tried = export_agreeing(model, target, self.config.recipe.size, inputs)
        self.run.metrics({f"{structure.name}/agreement/{precision}": value for precision, value in tried.items()})
        if not exported:
            self.reporter.note(f"{structure.name}: no export agrees with the weights ({tried}), so the weights answer")
        return StructureModel(
            folder=structure.name,
            inside=structure.inside,
            runtimes=exported,
            objective=self.train.objective.name,
            clicks=asked,
            pretrained=origin,
        )


def clicked(pictures: Arrays, sigma: float) -> np.ndarray:
    """Input of an interactive network, float32 [N, 6, S, S]: each picture with one click and no previous output."""
    height, width = pictures.mask.shape[1:]
    channels = [clicks.encode([clicks.first(mask)], height, width, sigma) for mask in pictures.mask]
    empty = np.zeros((len(pictures), 1, height, width), np.float32)
    return np.concatenate([network_input(pictures.image), np.stack(channels), empty], axis=1)


def remember(
    memory: Memory,
    instrument: str,
    structure: str,
    model: nn.Module,
    arrays: Arrays,
    patients: Mapping[str, str],
    config: RunConfig,
) -> Memory:
    """Keep some training cases of an instrument, one a patient. Exemplars kept before compete with the new cases.

    Args:
        patients: case id to patient, for `arrays`.
        config: `retrain.exemplars` says how many and `retrain.selection` which.
    """
    known = memory.arrays(structure).get(instrument)
    pool = concatenate([known, arrays]) if known is not None else arrays
    patients = {**memory.patients, **patients}
    first = {patients[case]: row for row, case in reversed(list(enumerate(pool.case_ids)))}
    pool = take(pool, sorted(first.values()))
    size = config.retrain.exemplars
    if config.retrain.selection == "random":
        chosen = selection.at_random(len(pool), size, np.random.default_rng(config.seed))
    else:
        chosen = selection.important_and_diverse(_difficulty(model, pool), features(model, pool.image), size)
    return memory.with_exemplars(instrument, structure, take(pool, chosen), patients)


def _difficulty(model: nn.Module, pool: Arrays) -> np.ndarray:
    """1 - Dice of the trained network, float64 [N]: a case it gets right teaches little on replay."""
    return 1.0 - validation.dice_by_case(validation.predict_masks(model, pool.image), pool.mask)


def patients_of(folders: Sequence[Path]) -> dict[str, str]:
    """Case id to patient, over several datasets."""
    return {case.id: case.patient for folder in folders for case in read_dataset(folder).cases}


def features(model: nn.Module, images: np.ndarray) -> np.ndarray:
    """Spatial mean of the encoder's lowest level, float64 [N, D], of uint8 [N, S, S, 3].

    Raises:
        UsageError: the network has no encoder that it could be asked of.
    """
    if not hasattr(model, "encode"):
        raise UsageError(
            f"{type(model).__name__} has no features by which exemplars could be chosen",
            where="retrain.selection",
            expected="random",
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


def dataset_refs(folders: Sequence[Path], parents: Sequence[Parent]) -> tuple[DatasetRef, ...]:
    """How a bundle names the datasets it has learned from."""
    return tuple(
        DatasetRef(instrument=read_dataset(folder).instrument, uri=parent.uri, checksum=parent.checksum)
        for folder, parent in zip(folders, parents, strict=True)
    )
