"""What `train` and `retrain` share: one structure's network is built, fitted, exported and checked."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from torch import nn

from parfocal import models, objectives
from parfocal.core.bundle import Clicked, DatasetRef, Exported, PretrainedRef, StructureModel
from parfocal.core.errors import UsageError
from parfocal.core.manifest import Parent
from parfocal.core.protocols import CheckpointStore, Reporter, Run
from parfocal.core.task import Structure
from parfocal.core.types import Split
from parfocal.inference.agreement import export_agreeing
from parfocal.inference.export import exporters
from parfocal.inference.runtimes import network_input
from parfocal.memory.rows import concatenate
from parfocal.memory.sampler import Sampler, Source
from parfocal.memory.stack_sampler import stacked
from parfocal.models import ModelSpec
from parfocal.objectives import Objective
from parfocal.objectives.segment import SegmentTogether
from parfocal.preprocessing.classes import Classes
from parfocal.preprocessing.shards import Arrays, read_arrays, read_dataset
from parfocal.steps import clicking
from parfocal.steps import stacked as volumes
from parfocal.steps.config import RunConfig
from parfocal.training import engine, pretrained
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
        classes: of one network for several structures; None for a network a structure.
        store: keeps the checkpoints beyond this machine.
    """

    config: RunConfig
    train: TrainConfig
    checkpoints: Path
    run: Run
    reporter: Reporter
    classes: Classes | None = None
    store: CheckpointStore | None = None

    def __post_init__(self) -> None:
        exporters(self.config.export.runtimes)  # a package that is missing shows before the training, not after it

    @cached_property
    def objective(self) -> Objective:
        """What the networks are trained for.

        Raises:
            UsageError: it gives no masks, or is not one for several structures.
        """
        if self.classes is not None:
            if self.train.objective.name != "segment":
                raise UsageError(
                    f"the objective {self.train.objective.name} is for one structure",
                    where="train.objective",
                    expected="segment with train.together",
                )
            return SegmentTogether(self.classes.groups, self.train.loss)
        if self.train.loss == "cross_entropy":
            raise UsageError(
                "cross entropy over classes asks for a network of several structures",
                where="train.loss",
                expected="bce_dice, bce, soft_dice or soft_dice_squared: every structure has a network of its own",
                next="or train one network for all of them: recipe.one_frame=true and train.together=true",
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
        return self.config.model.spec(in_channels=3 + self.objective.inputs, out_channels=self._channels)

    @property
    def _channels(self) -> int:
        return self.classes.count if self.classes else 1

    def build(self, structure: str) -> tuple[nn.Module, PretrainedRef | None]:
        """A new network and the pretrained one it starts from, if any.

        The rest of its weights are a function of the seed and the structure's name.
        """
        model = models.build(self.spec.name, self.spec.parameters, seed=self.config.seed + sum(structure.encode()))
        self._draws_masks(model)
        return model, pretrained.start_from(model, self.train.encoder)

    def fit(
        self,
        structure: str,
        model: nn.Module,
        sampler: Sampler,
        held_out: Mapping[str, Arrays],
        objective: Objective | None = None,
    ) -> None:
        """Train `model` in place to the best weights seen on `held_out`, validation arrays by instrument.

        For `objective`; for the run's own when it is left out.
        """
        depth = models.slices_of(model)
        if depth:
            volumes.refuse_unfit(structure, self.config, self.train)
            if copies := volumes.left_out(source.arrays for source in sampler.sources):
                self.reporter.note(
                    f"{structure}: {copies} frames are in no stack: static copies of single slices, or cases again"
                )
        result = engine.fit(
            model,
            stacked(sampler, depth),
            objective or self.objective,
            held_out,
            self.train.for_structure(structure),
            checkpoint=self.checkpoints / structure,
            reporter=self.reporter,
            run=self.run,
            stage=structure,
            store=self.store,
        )
        model.load_state_dict(result.weights)

    def sampler(self, sources: Sequence[Source]) -> Sampler:
        """Augmented batches of these sources."""
        return Sampler(sources, self.train.batch_size, self.config.seed, self.train.augment)

    def _draws_masks(self, model: nn.Module) -> None:
        depth, size = models.slices_of(model), self.config.recipe.size
        sides = (*([depth] if depth else []), size, size)
        with torch.inference_mode():
            shape = tuple(model.eval()(torch.zeros(1, 3 + self.objective.inputs, *sides)).shape)
        if shape != (1, self._channels, *sides):
            masks = f"{self._channels} classes" if self.classes else "one mask"
            raise UsageError(
                f"the network {self.spec.name} gives {list(shape)} for one picture, and not {masks}",
                where="model",
                expected=str([1, self._channels, *sides]),
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
        """Write a structure's network to `folder/<structure>` and say how it is to be used."""
        return StructureModel(
            folder=structure.name,
            inside=structure.inside,
            runtimes=self.write(structure.name, model, spec, folder, held_out),
            objective=self.train.objective.name,
            clicks=self._clicked(),
            pretrained=origin,
            slices=models.slices_of(model),
        )

    def write(
        self, name: str, model: nn.Module, spec: ModelSpec, folder: Path, held_out: Mapping[str, Arrays]
    ) -> dict[str, Exported]:
        """Write weights and their agreeing export to `folder/<name>`; without one, inference runs the weights."""
        target = folder / name
        models.save(model, spec, target)
        pictures = concatenate(list(held_out.values()))
        asked, depth = self._clicked(), models.slices_of(model)
        if depth:
            inputs = np.concatenate([volumes.network_stacks(arrays, depth) for arrays in held_out.values()])
        elif asked is not None:
            inputs = clicking.once(pictures.image, pictures.mask, asked.sigma)
        else:
            inputs = network_input(pictures.image)
        self.reporter.note(f"{name}: exporting, and comparing the export on {len(inputs)} validation pictures")
        groups = self.classes.groups if self.classes else ((0,),)
        exported, tried = export_agreeing(
            model,
            target,
            self.config.recipe.size,
            inputs,
            groups=groups,
            runtimes=self.config.export.runtimes,
            note=lambda text: self.reporter.note(f"{name}: {text}"),
        )
        self.run.metrics({f"{name}/agreement/{form}": value for form, value in tried.items()})
        if self.config.export.runtimes and not exported:
            self.reporter.note(f"{name}: no export agrees with the weights ({tried}), so the weights answer")
        return exported


def patients_of(folders: Sequence[Path]) -> dict[str, dict[str, str]]:
    """Case id to patient by instrument, over several datasets; two instruments may have cases of one name."""
    found: dict[str, dict[str, str]] = {}
    for dataset in map(read_dataset, folders):
        owners = found.setdefault(dataset.instrument, {})
        owners |= {case.id: case.patient for case in dataset.unlabelled}
        owners |= {case.id: case.patient for case in dataset.cases}
    return found


def dataset_refs(
    folders: Sequence[Path], parents: Sequence[Parent], unlabelled: Collection[str] = ()
) -> tuple[DatasetRef, ...]:
    """How a bundle names the datasets it has learned from; `unlabelled`: checksums of those without labels too."""
    return tuple(
        DatasetRef(
            instrument=read_dataset(folder).instrument,
            uri=parent.uri,
            checksum=parent.checksum,
            unlabelled=parent.checksum in unlabelled,
        )
        for folder, parent in zip(folders, parents, strict=True)
    )
