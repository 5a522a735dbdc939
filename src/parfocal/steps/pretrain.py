"""Datasets in, a pretrained network out: from images alone, or from the centre points that are cheap to set."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np

from parfocal import models, objectives
from parfocal.core import manifest
from parfocal.core.errors import DataContractError, UsageError
from parfocal.core.manifest import Manifest
from parfocal.core.protocols import Reporter, Run
from parfocal.core.task import Structure, task
from parfocal.core.types import Split
from parfocal.memory.rows import concatenate
from parfocal.memory.sampler import Sampler, Source
from parfocal.models import ModelSpec
from parfocal.objectives import UNKNOWN, Objective
from parfocal.preprocessing.images import Pixels, decode_image
from parfocal.preprocessing.shards import Arrays, read_arrays, read_dataset, read_points
from parfocal.steps import locating
from parfocal.steps.config import RunConfig
from parfocal.steps.learning import dataset_refs
from parfocal.steps.sides import held_out_patients
from parfocal.training import engine, place, synthesis
from parfocal.training.pretrained import PRETRAINED, Pretrained


def run(
    datasets: Sequence[Path],
    out: Path,
    config: RunConfig,
    *,
    state: Path,
    key: str,
    run: Run,
    reporter: Reporter,
) -> Manifest:
    """Train a network by `config.pretrain` on the outermost structure's frames and write it to `out`.

    Restoration and the cycle learn from every training image, masks or none; localisation from every known centre.
    The cycle's way back from masks to images is kept too, in ``translator/``. Validation and test patients stay out
    of it. Checkpoints live at ``<state>/checkpoints/<key>``.

    Raises:
        DataContractError: there is nothing to learn from.
        UsageError: the objective is not one for pretraining.
    """
    if place.world() > 1:
        raise UsageError("pretraining is for one process", next="start it without torchrun")
    parents = [manifest.read(folder, "dataset").parent(folder) for folder in datasets]
    config = locating.named(config)
    objective = objectives.build(config.pretrain.objective, config.pretrain.loss)
    spec = specification(config, objective)
    structure = task(config.task).structures[0]
    pictures = _by_instrument(datasets, structure, Split.TRAIN, config, objective)
    held_out = _by_instrument(datasets, structure, Split.VALIDATION, config, objective)
    if not pictures:
        missing = f"centre points of {structure.name}" if objective.outputs == "point" else "images"
        raise DataContractError(f"there are no {missing} to learn from", where=", ".join(map(str, datasets)))
    if _radius(config) and all((arrays.mask == UNKNOWN).any((1, 2)).all() for arrays in pictures.values()):
        raise DataContractError(
            f"no picture has a mask of {structure.name}, and a point does not say how large it is",
            where=", ".join(map(str, datasets)),
            next="label a few, or leave out pretrain.objective.radius",
        )
    run.params(config.flat())
    for folder in datasets:
        run.dataset(folder, "training")
    model = models.build(spec.name, spec.parameters, seed=config.seed)
    sources = [Source(name, arrays, len(arrays)) for name, arrays in pictures.items()]
    sampler = Sampler(sources, config.pretrain.batch_size, config.seed, config.pretrain.augment)
    reporter.note(f"pretraining ({config.pretrain.objective.name}): " + _counted(pictures))
    with manifest.new_folder(
        out, "pretrained", parents=parents, seed=config.seed, config=config.model_dump(mode="json")
    ) as scratch:
        result = engine.fit(
            model,
            sampler,
            objective,
            held_out,
            config.pretrain,
            checkpoint=state / "checkpoints" / key,
            reporter=reporter,
            run=run,
            stage="pretrain",
        )
        model.load_state_dict(result.weights)
        models.save(model, spec, scratch)
        synthesis.keep(objective, result.others, scratch)
        made = Pretrained(
            task=config.task,
            objective=config.pretrain.objective.name,
            recipe=config.recipe.model_dump(mode="json"),
            images={name: len(arrays) for name, arrays in pictures.items()},
            score_name=objective.score_name,
            score=None if np.isnan(result.best_score) else result.best_score,
            datasets=dataset_refs(datasets, parents),
            key=key,
        )
        (scratch / PRETRAINED).write_text(made.model_dump_json(indent=1))
    return manifest.read(out)


def specification(config: RunConfig, objective: Objective) -> ModelSpec:
    """The network to pretrain: the run's own with another head, or a localiser around the same encoder."""
    if objective.outputs == "point":
        options = config.model.options | ({"radius": True} if _radius(config) else {})
        return config.model.model_copy(update={"name": "localizer", "options": options}).spec()
    if objective.outputs == "image":
        return config.model.spec(out_channels=3)
    if synthesis.TRANSLATOR in objective.networks():
        return config.model.spec()
    raise UsageError(
        f"the objective {config.pretrain.objective.name} is not one for pretraining",
        where="pretrain.objective",
        expected="restore, localize or cycle",
        next="name it under train.objective",
    )


def _radius(config: RunConfig) -> bool:
    """Whether a localizer learns the radius."""
    return bool(config.pretrain.objective.settings.model_dump().get("radius"))


def _by_instrument(
    datasets: Sequence[Path], structure: Structure, side: Split, config: RunConfig, objective: Objective
) -> dict[str, Arrays]:
    found: dict[str, list[Arrays]] = {}
    for folder in datasets:
        dataset = read_dataset(folder)
        if objective.outputs == "point":
            parts = [read_points(folder, structure.name, side)]
        else:
            parts = [read_arrays(folder, structure.name, side)]
            if side is Split.TRAIN:
                parts.append(_unlabelled(folder, structure, config, held_out_patients(datasets)))
        found.setdefault(dataset.instrument, []).extend(part for part in parts if part is not None and len(part))
    return {name: concatenate(parts) for name, parts in found.items() if parts}


def _unlabelled(folder: Path, structure: Structure, config: RunConfig, out: Collection[str]) -> Arrays | None:
    """Frames of the images that nobody labelled, but of the patients in `out`: they have labelled ones elsewhere."""
    frames = list(_frames(folder, structure, config, out))
    if not frames:
        return None
    images = np.stack([frame for _, frame in frames])
    return Arrays(images, np.full(images.shape[:3], UNKNOWN, np.uint8), tuple(name for name, _ in frames))


def _frames(
    folder: Path, structure: Structure, config: RunConfig, out: Collection[str]
) -> Iterator[tuple[str, Pixels]]:
    for case in (one for one in read_dataset(folder).unlabelled if one.patient not in out):
        image = decode_image((folder / case.image).read_bytes())
        box = config.recipe.box(structure, image.shape[0], image.shape[1], None, case.located)
        if box is not None:
            yield case.id, config.recipe.frame(image, box)


def _counted(pictures: Mapping[str, Arrays]) -> str:
    return ", ".join(f"{name} {len(arrays)} pictures" for name, arrays in pictures.items())
