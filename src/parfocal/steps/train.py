"""Datasets in, a first model bundle out: trained, exported, checked and remembered."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from parfocal.core import bundle, manifest
from parfocal.core.bundle import StructureModel
from parfocal.core.errors import DataContractError
from parfocal.core.manifest import Manifest
from parfocal.core.protocols import CheckpointStore, Executor, Reporter, Run
from parfocal.core.task import task
from parfocal.core.types import Split
from parfocal.memory.buffer import Memory
from parfocal.memory.sampler import Source
from parfocal.preprocessing.shards import read_dataset
from parfocal.steps import clicking, elsewhere, locating, reference, sides, together
from parfocal.steps import unlabelled as plain_pictures
from parfocal.steps.config import RunConfig
from parfocal.steps.learning import Learner, dataset_refs, labelled, patients_of
from parfocal.steps.remembering import remember, write_memory
from parfocal.training import place, synthesis
from parfocal.training import pretrained as pretrained_networks

LOCALIZE = "localize"
"""The one pretraining that learns from points alone; the others learn from unlabelled pictures too."""


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
    pretrained: Path | None = None,
    executor: Executor | None = None,
    store: CheckpointStore | None = None,
) -> Manifest:
    """Train a network a structure, or one for all, by `config.train` on all `datasets` in equal parts; write a bundle.

    `pretrained`, a folder of the step `pretrain`, takes the place of `config.train.encoder.pretrained`.

    Equal parts are the papers' fusion (replicate to equal length, shuffle) without the copies. Exemplars of every
    instrument go to `memory_out`. Checkpoints live at ``<state>/checkpoints/<key>``: the same call after a kill goes on
    from there and ends with the same weights; on another machine too, where `store` keeps them. On several nodes
    (`config.executor`) `executor` has it done.

    Raises:
        DataContractError: the datasets are of different tasks or recipes, or no structure has labels.
        UsageError: several processes cannot share a batch.
    """
    elsewhere.refuse_uneven(config.executor, config.train.batch_size)
    options = {"--out": out, "--memory": memory_out, "--pretrained": pretrained}
    work = elsewhere.work("train", options, tuple(datasets), config, config.executor, key=key, state=state)
    if elsewhere.sent(config.executor, executor, work, reporter):
        return manifest.read(out)
    with elsewhere.told(), place.part(place.Part(out, memory_out, state, run, reporter, store)) as mine:
        return _here(datasets, config, mine, key, pretrained)


def _here(datasets: Sequence[Path], config: RunConfig, mine: place.Part, key: str, pretrained: Path | None) -> Manifest:
    """`run` in this process, alone or among others."""
    out, memory_out, run, reporter = mine.out, mine.memory, mine.run, mine.reporter
    parents = [manifest.read(folder, "dataset").parent(folder) for folder in datasets]
    if pretrained is not None:
        config = _starting_from(pretrained, config)
    config = locating.named(config)
    origins, learned, plain, seen = [], list(datasets), set[str](), set[str]()
    if config.train.encoder.pretrained:
        source = Path(config.train.encoder.pretrained)
        origins.append(manifest.read(source, "pretrained").parent(source))
        told = pretrained_networks.read(source)
        there = [Path(one.uri) for one in told.datasets if (Path(one.uri) / manifest.MANIFEST).is_file()]
        learned += there
        plain = {one.checksum for one in told.datasets} if told.objective != LOCALIZE else set()
        seen = _seen(there, unlabelled=bool(plain))
        if told.recipe != config.recipe.model_dump(mode="json"):
            reporter.note(f"{source} was pretrained on frames of another recipe than these")
    _refuse_unlike(datasets, config)
    sides.refuse_two(learned, datasets)
    run.params(config.flat())
    for folder in datasets:
        run.dataset(folder, "training")
    classes = together.classes_for(datasets, config, reporter) if config.train.together else None
    learner = Learner(config, config.train, mine.state / "checkpoints" / key, run, reporter, classes, mine.store)
    if mine.store is not None:
        mine.store.bring(learner.checkpoints)
    if learner.objective.inputs:
        clicking.refuse_selection(config)
    learn = together.train if classes else _one_by_one
    with manifest.new_folder(
        out, "bundle", parents=[*parents, *origins], seed=config.seed, config=config.model_dump(mode="json")
    ) as scratch:
        structures, memory = learn(datasets, learner, scratch, patients_of(datasets))
        if not structures:
            raise DataContractError("no structure has labels", where=", ".join(map(str, datasets)))
        locator = locating.into_bundle(config.recipe, scratch, datasets)
        write_memory(memory, memory_out, parents)
        made = bundle.Bundle(
            task=config.task,
            structures=structures,
            recipe=config.recipe.model_dump(mode="json"),
            instruments=tuple(dict.fromkeys(read_dataset(folder).instrument for folder in datasets)),
            datasets=dataset_refs(datasets, parents, plain),
            locator=locator,
            memory_uri=str(memory_out.resolve()),
            key=key,
        )
        (scratch / bundle.BUNDLE).write_text(made.model_dump_json(indent=1))
        if learner.objective.inputs:
            reporter.note("a network that answers clicks: it has no drift reference and is not for the cascade")
        else:
            reference.write(scratch, datasets, config.drift, seed=config.seed, reporter=reporter, learned=seen)
    return manifest.read(out)


def _one_by_one(
    datasets: Sequence[Path], learner: Learner, folder: Path, patients: Mapping[str, Mapping[str, str]]
) -> tuple[dict[str, StructureModel], Memory]:
    """Train a network a structure and export it into `folder`; what bundle.json says of each, and the exemplars."""
    structures: dict[str, StructureModel] = {}
    memory, config = Memory(), learner.config
    for structure in task(config.task).structures:
        arrays = labelled(datasets, structure.name, Split.TRAIN)
        held_out = labelled(datasets, structure.name, Split.VALIDATION)
        if not arrays or not held_out:
            learner.reporter.note(f"{structure.name}: not labelled, so no network for it")
            continue
        model, origin = learner.build(structure.name)
        sources = [Source(name, pictures, 1 / len(arrays)) for name, pictures in arrays.items()]
        if structure.inside is None:
            sources = _thickened(sources, config)
        learner.fit(structure.name, model, learner.sampler(sources), held_out)
        structures[structure.name] = learner.export(structure, model, learner.spec, folder, held_out, origin)
        for name, pictures in arrays.items():
            memory = remember(memory, name, structure.name, model, pictures, patients[name], config, learner.objective)
    return structures, memory


def _thickened(sources: list[Source], config: RunConfig) -> list[Source]:
    """The sources, and beside them what `config.train.synthetic` asks for."""
    wanted, encoder = config.train.synthetic, config.train.encoder
    if not wanted.share:
        return sources
    network = synthesis.translator(Path(encoder.pretrained))
    masks = np.concatenate([source.arrays.mask for source in sources])
    made = synthesis.pairs(network, masks, wanted.pictures, shapes=config.train.augment, seed=config.seed)
    rest = [replace(source, share=source.share * (1 - wanted.share)) for source in sources]
    return [*rest, Source("synthetic", made, wanted.share)]


def _seen(folders: Sequence[Path], *, unlabelled: bool) -> set[str]:
    """Patients from whom a pretraining on these datasets learned, from their unlabelled pictures too or not."""
    found = {case.patient for folder in folders for case in read_dataset(folder).on(Split.TRAIN)}
    return found.union(*(plain_pictures.patients(folder, folders) for folder in folders if unlabelled))


def _starting_from(pretrained: Path, config: RunConfig) -> RunConfig:
    encoder = config.train.encoder.model_copy(update={"pretrained": str(pretrained)})
    return config.model_copy(update={"train": config.train.model_copy(update={"encoder": encoder})})


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
