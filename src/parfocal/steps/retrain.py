"""A champion and a dataset in, a challenger out that has learned it and kept what the champion knew."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from pathlib import Path

from parfocal import models, strategies
from parfocal.core import bundle, manifest
from parfocal.core.bundle import Bundle, ParentRef, StructureModel
from parfocal.core.errors import DataContractError
from parfocal.core.manifest import Manifest
from parfocal.core.protocols import CheckpointStore, Executor, Reporter, Run
from parfocal.core.task import Structure, task
from parfocal.core.types import Split
from parfocal.memory.buffer import Memory
from parfocal.preprocessing import recipes
from parfocal.preprocessing.shards import Arrays, read_dataset
from parfocal.steps import clicking, elsewhere, locating, reference, sides, together, unlabelled
from parfocal.steps.config import RunConfig
from parfocal.steps.course import Course, Rehearsal
from parfocal.steps.learning import Learner, dataset_refs, labelled
from parfocal.steps.lesson import refuse_other_strategy
from parfocal.steps.remembering import remember, write_memory
from parfocal.strategies import Finished
from parfocal.training import place


def run(
    dataset: Path,
    champion: Path,
    out: Path,
    memory_out: Path,
    config: RunConfig,
    *,
    state: Path,
    key: str,
    run: Run,
    reporter: Reporter,
    executor: Executor | None = None,
    store: CheckpointStore | None = None,
) -> Manifest:
    """Teach the bundle at `champion` the sealed `dataset` and write the challenger to `out`.

    Only structures that the dataset has labels for change; the others are copied byte for byte. What batches are made
    of, and what becomes of the weights afterwards, is the strategy's (``retrain.strategy``). The memory with the new
    instrument's exemplars goes to `memory_out`. Killed at any moment, the same call ends with the same weights; on
    another machine too, where `store` keeps the checkpoints. On several nodes (`config.executor`) `executor` has it
    done.

    Raises:
        DataContractError: champion, memory or dataset are not whole or do not fit together.
        UsageError: several processes cannot share a batch.
    """
    elsewhere.refuse_uneven(config.executor, config.retrain.train.batch_size)
    options = {"--champion": champion, "--out": out, "--memory": memory_out}
    work = elsewhere.work("retrain", options, (dataset,), config, config.executor, key=key, state=state)
    if elsewhere.sent(config.executor, executor, work, reporter):
        return manifest.read(out)
    with elsewhere.told(), place.part(place.Part(out, memory_out, state, run, reporter, store)) as mine:
        return _here(dataset, champion, config, mine, key)


def _here(dataset: Path, champion: Path, config: RunConfig, mine: place.Part, key: str) -> Manifest:
    """`run` in this process, alone or among others."""
    out, memory_out, run, reporter = mine.out, mine.memory, mine.run, mine.reporter
    before = bundle.read(champion)
    memory = Memory.read(Path(before.memory_uri))
    instrument = read_dataset(dataset).instrument
    config = _as_trained(before, dataset, config)
    folders = [Path(ref.uri) for ref in before.datasets] + [dataset]
    sides.refuse_two(folders, folders)
    dataset_parents = [manifest.read(folder, "dataset").parent(folder) for folder in folders]
    parents = [manifest.read(champion).parent(champion), *dataset_parents]
    run.params(config.flat())
    run.dataset(dataset, "training")
    classes = together.classes_in(before, config)
    folder = _checkpoints(mine, key, config)
    learner = Learner(config, config.retrain.train, folder, run, reporter, classes, mine.store)
    course = Course(dataset, champion, before, folders, strategies.build(config.retrain.strategy), learner)
    structures: dict[str, StructureModel] = {}
    choices: dict[str, Finished] = {}
    with manifest.new_folder(
        out, "bundle", parents=parents, seed=config.seed, config=config.model_dump(mode="json")
    ) as scratch:
        if classes is not None:
            structures, memory, choices = _learn_together(course, memory, scratch)
        for structure in task(config.task).structures if classes is None else ():
            known, memory, finished = _learn_one(course, structure, memory, scratch)
            structures |= {structure.name: known} if known else {}
            choices |= {structure.name: finished} if finished else {}
        locator = locating.into_bundle(config.recipe, scratch, [champion])
        if not choices:
            raise DataContractError("the dataset has no labelled training case", where=dataset)
        write_memory(memory, memory_out, parents)
        plain = {ref.checksum for ref in before.datasets if ref.unlabelled}
        plain |= {dataset_parents[-1].checksum} if "unlabelled" in course.strategy.needs else set()
        refs = dataset_refs(folders, dataset_parents, plain)
        made = Bundle(
            task=before.task,
            structures=structures,
            recipe=before.recipe,
            instruments=tuple(dict.fromkeys((*before.instruments, instrument))),
            datasets=refs,
            locator=locator,
            memory_uri=str(memory_out.resolve()),
            parent=ParentRef(uri=str(champion.resolve()), checksum=parents[0].checksum),
            strategy=config.retrain.strategy.name,
            key=key,
        )
        (scratch / bundle.BUNDLE).write_text(made.model_dump_json(indent=1))
        if learner.objective.inputs:
            reporter.note("a network that answers clicks: it has no drift reference and is not for the cascade")
        else:
            reference.write(
                scratch, folders, config.drift, seed=config.seed, reporter=reporter, learned=unlabelled.learned(refs)
            )
    _log(choices, run, reporter)
    return manifest.read(out)


def _checkpoints(mine: place.Part, key: str, config: RunConfig) -> Path:
    """Their folder, with what is kept of it elsewhere."""
    folder = mine.state / "checkpoints" / key
    if mine.store is not None:
        mine.store.bring(folder)
    refuse_other_strategy(folder, config)
    if mine.store is not None:
        mine.store.keep(folder)
    return folder


def _as_trained(before: Bundle, dataset: Path, config: RunConfig) -> RunConfig:
    """The settings with the champion's task, network and recipe: those are what is being taught."""
    read = read_dataset(dataset)
    recipe = recipes.stored(before.recipe, bundle.BUNDLE)
    if read.task != before.task or read.recipe != recipe:
        raise DataContractError(
            "the dataset was preprocessed otherwise than the champion's",
            where=dataset,
            expected=f"task {before.task}, {recipe}",
            next="preprocess it with --champion and the champion's recipe",
        )
    return clicking.as_trained(before, config.model_copy(update={"task": before.task, "recipe": recipe}))


def _learn_one(
    course: Course, structure: Structure, memory: Memory, scratch: Path
) -> tuple[StructureModel | None, Memory, Finished | None]:
    """Teach one structure's network, if there is anything to learn it from."""
    name, learner, before = structure.name, course.learner, course.before
    labels = course.permitted(labelled([course.dataset], name, Split.TRAIN), memory).get(course.instrument)
    new, known = course.pictures(name, labels, memory), before.structures.get(name)
    if new is None or (known is None and not course.strategy.trains):
        return _carry_over(name, before, course.champion, scratch, learner.reporter), memory, None
    if labels is not None:  # an exemplar that was drawn anew is not rehearsed with its old mask
        memory = memory.relabelled(course.instrument, name, labels)
    held_out = labelled(course.folders, name, Split.VALIDATION)

    def datasets() -> Mapping[str, Arrays]:
        return course.permitted(labelled(course.folders[:-1], name, Split.TRAIN), memory)

    rehearsal = Rehearsal(memory.arrays(name), datasets, memory.logits(name))
    learned, source = course.teach(name, new, known, memory, rehearsal, held_out)
    spec = models.read_spec(source) if source else learner.spec
    origin = known.pretrained if known else None
    made = learner.export(structure, learned.model, spec, scratch, held_out, origin)
    memory = memory.with_logits(name, learned.logits).with_carried(name, learned.carried)
    if labels is not None:
        own = course.patients[course.instrument]
        memory = remember(
            memory, course.instrument, name, learned.model, labels, own, learner.config, learner.objective
        )
    return course.exported(made, known, scratch), memory, learned.finished


def _learn_together(
    course: Course, memory: Memory, scratch: Path
) -> tuple[dict[str, StructureModel], Memory, dict[str, Finished]]:
    """Train the network of all structures; what nobody labelled in `dataset` is kept by what is rehearsed alone."""
    learner, before = course.learner, course.before
    classes = together.of(learner)
    labels = course.permitted(together.labelled([course.dataset], classes, Split.TRAIN), memory).get(course.instrument)
    new = course.pictures(classes.names[0], labels, memory)
    if new is None:
        return {}, memory, {}
    for name in classes.names:
        drawn = course.permitted(labelled([course.dataset], name, Split.TRAIN), memory).get(course.instrument)
        if drawn is not None:  # an exemplar that was drawn anew is not rehearsed with its old mask
            memory = memory.relabelled(course.instrument, name, drawn)
        else:
            learner.reporter.note(f"{name}: not labelled in this dataset, and its network learns the others")
    held_out = together.labelled(course.folders, classes, Split.VALIDATION)
    known = before.structures[classes.names[0]]

    def datasets() -> Mapping[str, Arrays]:
        return course.permitted(together.labelled(course.folders[:-1], classes, Split.TRAIN), memory)

    past = together.rehearsed(memory, classes)
    rehearsal = Rehearsal(past, datasets, together.logits_of(memory, classes))
    learned, source = course.teach(known.folder, new, known, memory, rehearsal, held_out)
    assert source is not None, "a champion with classes has a network"
    made = together.export(learner, learned.model, models.read_spec(source), scratch, held_out, known.pretrained)
    memory = together.with_logits(memory, classes, past, learned.logits).with_carried(known.folder, learned.carried)
    if labels is not None:
        own = course.patients[course.instrument]
        memory = together.remember(memory, course.instrument, learner, learned.model, labels, own)
    structures = {name: course.exported(one, before.structures[name], scratch) for name, one in made.items()}
    return structures, memory, {known.folder: learned.finished}


def _carry_over(
    structure: str, before: Bundle, champion: Path, scratch: Path, reporter: Reporter
) -> StructureModel | None:
    """A structure that the dataset has no labels for stays as it was, byte for byte."""
    if structure not in before.structures:
        reporter.note(f"{structure}: nothing to learn it from, so no network for it")
        return None
    kept = before.structures[structure]
    shutil.copytree(champion / kept.folder, scratch / kept.folder)
    reporter.note(f"{structure}: not labelled in this dataset, so the champion's network stays")
    return kept


def _log(choices: Mapping[str, Finished], run: Run, reporter: Reporter) -> None:
    for structure, finished in choices.items():
        run.metrics({f"{structure}/interpolation": finished.alpha})
        tried = [{"alpha": candidate.alpha, **candidate.scores} for candidate in finished.candidates]
        run.text(json.dumps(tried, indent=1), f"interpolation-{structure}.json")
        reporter.note(f"{structure}: kept the weights at {finished.alpha:g} between champion (0) and retrained (1)")
