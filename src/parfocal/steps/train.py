"""Datasets in, a first model bundle out: trained, exported, checked and remembered."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from parfocal.core import bundle, manifest
from parfocal.core.bundle import StructureModel
from parfocal.core.errors import DataContractError
from parfocal.core.manifest import Manifest
from parfocal.core.protocols import Reporter, Run
from parfocal.core.task import task
from parfocal.core.types import Split
from parfocal.memory.buffer import Memory
from parfocal.memory.sampler import Source
from parfocal.preprocessing.shards import read_dataset
from parfocal.steps import reference
from parfocal.steps.config import RunConfig
from parfocal.steps.learning import Learner, dataset_refs, labelled, patients_of, remember, write_memory


def run(
    datasets: Sequence[Path],
    out: Path,
    memory_out: Path,
    config: RunConfig,
    *,
    state: Path,
    key: str,
    run: Run,
    reporter: Reporter,
) -> Manifest:
    """Train one network a structure on all `datasets`, mixed in equal parts, and write a bundle to `out`.

    Equal parts are the papers' fusion (replicate to equal length, shuffle) without the copies. Exemplars of every
    instrument go to `memory_out`. Checkpoints live at ``<state>/checkpoints/<key>``: the same call after a kill goes
    on from there and ends with the same weights.

    Raises:
        DataContractError: the datasets are of different tasks or recipes, or no structure has labels.
    """
    parents = [manifest.read(folder, "dataset").parent(folder) for folder in datasets]
    _refuse_unlike(datasets, config)
    run.params(config.flat())
    for folder in datasets:
        run.dataset(folder, "training")
    learner = Learner(config, config.train, state / "checkpoints" / key, run, reporter)
    memory, patients = Memory(), patients_of(datasets)
    structures: dict[str, StructureModel] = {}
    with manifest.new_folder(
        out, "bundle", parents=parents, seed=config.seed, config=config.model_dump(mode="json")
    ) as scratch:
        for structure in task(config.task).structures:
            arrays = labelled(datasets, structure.name, Split.TRAIN)
            held_out = labelled(datasets, structure.name, Split.VALIDATION)
            if not arrays or not held_out:
                reporter.note(f"{structure.name}: not labelled, so no network for it")
                continue
            model = learner.build(structure.name)
            sources = [Source(name, pictures, 1 / len(arrays)) for name, pictures in arrays.items()]
            learner.fit(structure.name, model, learner.sampler(sources), held_out)
            structures[structure.name] = learner.export(structure, model, config.model.spec(), scratch, held_out)
            for name, pictures in arrays.items():
                memory = remember(memory, name, structure.name, model, pictures, patients, config)
        if not structures:
            raise DataContractError("no structure has labels", where=", ".join(map(str, datasets)))
        write_memory(memory, memory_out, parents)
        made = bundle.Bundle(
            task=config.task,
            structures=structures,
            recipe=config.recipe.model_dump(mode="json"),
            instruments=tuple(dict.fromkeys(read_dataset(folder).instrument for folder in datasets)),
            datasets=dataset_refs(datasets, parents),
            memory_uri=str(memory_out.resolve()),
            key=key,
        )
        (scratch / bundle.BUNDLE).write_text(made.model_dump_json(indent=1))
        reference.write(scratch, datasets, config.drift, seed=config.seed, reporter=reporter)
    return manifest.read(out)


def _refuse_unlike(datasets: Sequence[Path], config: RunConfig) -> None:
    for folder in datasets:
        dataset = read_dataset(folder)
        if dataset.task != config.task:
            raise DataContractError(f"this dataset is of the task {dataset.task}", where=folder, expected=config.task)
        if dataset.recipe != config.recipe:
            raise DataContractError(
                "this dataset was preprocessed with another recipe",
                where=folder,
                expected=str(config.recipe),
                next="preprocess it again with the same settings",
            )
