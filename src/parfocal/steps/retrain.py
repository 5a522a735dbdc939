"""A champion and a dataset in, a challenger out that has learned it and kept what the champion knew."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from parfocal import models, strategies
from parfocal.core import bundle, manifest
from parfocal.core.bundle import Bundle, ParentRef, StructureModel
from parfocal.core.errors import DataContractError
from parfocal.core.manifest import Manifest
from parfocal.core.protocols import Reporter, Run
from parfocal.core.task import Structure, task
from parfocal.core.types import Split
from parfocal.memory.buffer import Memory
from parfocal.memory.rows import concatenate
from parfocal.preprocessing import recipes
from parfocal.preprocessing.shards import Arrays, read_dataset
from parfocal.steps import clicking, locating, reference, sides, together, unlabelled
from parfocal.steps.config import RunConfig
from parfocal.steps.learning import Learner, dataset_refs, labelled, patients_of
from parfocal.steps.lesson import Learned, Lesson, keep_apart, learn, refuse_other_strategy, source_for
from parfocal.steps.remembering import remember, write_memory
from parfocal.strategies import Finished, Strategy


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
) -> Manifest:
    """Teach the bundle at `champion` the sealed `dataset` and write the challenger to `out`.

    Only structures that the dataset has labels for change; the others are copied byte for byte. What batches are made
    of, and what becomes of the weights afterwards, is the strategy's (``retrain.strategy``). The memory with the new
    instrument's exemplars goes to `memory_out`. Killed at any moment, the same call ends with the same weights.

    Raises:
        DataContractError: champion, memory or dataset are not whole or do not fit together.
    """
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
    learner = Learner(config, config.retrain.train, state / "checkpoints" / key, run, reporter, classes)
    refuse_other_strategy(learner.checkpoints, config)
    course = _Course(dataset, champion, before, folders, strategies.build(config.retrain.strategy), learner)
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
        locating.into_bundle(config.recipe, scratch, [champion])
        if not choices:
            raise DataContractError("the dataset has no labelled training case", where=dataset)
        write_memory(memory, memory_out, parents)
        made = Bundle(
            task=before.task,
            structures=structures,
            recipe=before.recipe,
            instruments=tuple(dict.fromkeys((*before.instruments, instrument))),
            datasets=dataset_refs(folders, dataset_parents),
            memory_uri=str(memory_out.resolve()),
            parent=ParentRef(uri=str(champion.resolve()), checksum=parents[0].checksum),
            strategy=config.retrain.strategy.name,
            key=key,
        )
        (scratch / bundle.BUNDLE).write_text(made.model_dump_json(indent=1))
        if learner.objective.inputs:
            reporter.note("a network that answers clicks: it has no drift reference and is not for the cascade")
        else:
            reference.write(scratch, folders, config.drift, seed=config.seed, reporter=reporter)
    _log(choices, run, reporter)
    return manifest.read(out)


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


@dataclass(frozen=True)
class _Course:
    """What the networks of one retrain share."""

    dataset: Path
    champion: Path
    before: Bundle
    folders: Sequence[Path]
    strategy: Strategy
    learner: Learner

    @cached_property
    def instrument(self) -> str:
        return read_dataset(self.dataset).instrument

    @cached_property
    def patients(self) -> dict[str, dict[str, str]]:
        """By instrument and case."""
        return patients_of(self.folders)

    @cached_property
    def unlabelled(self) -> dict[str, Arrays]:
        """New frames that nobody labelled, by structure, for a strategy that asks for them."""
        return unlabelled.frames(self.dataset, self.champion) if "unlabelled" in self.strategy.needs else {}

    def permitted(self, found: Mapping[str, Arrays], memory: Memory) -> dict[str, Arrays]:
        """Training pictures by instrument without those of purged patients."""
        kept = {name: memory.permitted(arrays, self.patients[name]) for name, arrays in found.items()}
        return {name: arrays for name, arrays in kept.items() if len(arrays)}

    def pictures(self, structure: str, labels: Arrays | None, memory: Memory) -> Arrays | None:
        """The new pictures to learn a structure from."""
        plain = {self.instrument: self.unlabelled[structure]} if structure in self.unlabelled else {}
        parts = [part for part in (labels, *self.permitted(plain, memory).values()) if part is not None]
        return concatenate(parts) if parts else None

    def teach(
        self,
        name: str,
        new: Arrays,
        known: StructureModel | None,
        memory: Memory,
        past: Mapping[str, Arrays],
        datasets: Callable[[], Mapping[str, Arrays]],
        held_out: Mapping[str, Arrays],
    ) -> tuple[Learned, Path | None]:
        """Train one network; it, and the folder of the champion's that it started from."""
        source = source_for(known, self.instrument, self.champion) if known else None
        learned = [one.instrument for one in self.before.datasets]
        lesson = Lesson(
            name=name,
            instrument=self.instrument,
            new=new,
            held_out=held_out,
            source=source,
            newest=next((one for one in reversed(learned) if one in past), learned[-1]),  # the last it had labels of
            past=past,
            datasets=datasets,
            logits=memory.logits(name),
            carried=memory.carried.get(name, {}),
        )
        return learn(lesson, self.strategy, self.learner), source

    def exported(self, made: StructureModel, known: StructureModel | None, scratch: Path) -> StructureModel:
        """What bundle.json says of a structure, with the networks that earlier instruments keep."""
        if known is None or not self.strategy.separate:
            return made
        others = [name for name in self.before.instruments if name != self.instrument]
        return made.model_copy(update={"by_instrument": keep_apart(known, others, self.champion, scratch)})


def _learn_one(
    course: _Course, structure: Structure, memory: Memory, scratch: Path
) -> tuple[StructureModel | None, Memory, Finished | None]:
    """Teach one structure's network, if there is anything to learn it from."""
    name, learner, before = structure.name, course.learner, course.before
    labels = course.permitted(labelled([course.dataset], name, Split.TRAIN), memory).get(course.instrument)
    new, known = course.pictures(name, labels, memory), before.structures.get(name)
    if new is None or (known is None and not course.strategy.trains):
        return _carry_over(name, before, course.champion, scratch, learner.reporter), memory, None
    held_out = labelled(course.folders, name, Split.VALIDATION)

    def datasets() -> Mapping[str, Arrays]:
        return course.permitted(labelled(course.folders[:-1], name, Split.TRAIN), memory)

    learned, source = course.teach(name, new, known, memory, memory.arrays(name), datasets, held_out)
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
    course: _Course, memory: Memory, scratch: Path
) -> tuple[dict[str, StructureModel], Memory, dict[str, Finished]]:
    """Train the network of all structures; what nobody labelled in `dataset` is kept by what is rehearsed alone."""
    learner, before = course.learner, course.before
    classes = together.of(learner)
    labels = course.permitted(together.labelled([course.dataset], classes, Split.TRAIN), memory).get(course.instrument)
    new = course.pictures(classes.names[0], labels, memory)
    if new is None:
        return {}, memory, {}
    for name in classes.names:
        if not labelled([course.dataset], name, Split.TRAIN):
            learner.reporter.note(f"{name}: not labelled in this dataset, and its network learns the others")
    held_out = together.labelled(course.folders, classes, Split.VALIDATION)
    known = before.structures[classes.names[0]]

    def datasets() -> Mapping[str, Arrays]:
        return course.permitted(together.labelled(course.folders[:-1], classes, Split.TRAIN), memory)

    past = together.rehearsed(memory, classes)
    learned, source = course.teach(known.folder, new, known, memory, past, datasets, held_out)
    assert source is not None, "a champion with classes has a network"
    made = together.export(learner, learned.model, models.read_spec(source), scratch, held_out, known.pretrained)
    memory = memory.with_carried(known.folder, learned.carried)
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
