"""A champion and a dataset in, a challenger out that has learned it and kept what the champion knew."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from pathlib import Path

from torch import nn

from parfocal import models, strategies
from parfocal.core import bundle, manifest
from parfocal.core.bundle import Bundle, ParentRef, StructureModel
from parfocal.core.errors import DataContractError, UsageError
from parfocal.core.manifest import Manifest
from parfocal.core.protocols import Reporter, Run
from parfocal.core.task import Structure, task
from parfocal.core.types import Split
from parfocal.memory.buffer import Memory
from parfocal.memory.sampler import Sampler
from parfocal.preprocessing import recipes
from parfocal.preprocessing.shards import Arrays, read_dataset
from parfocal.steps import reference
from parfocal.steps.config import RunConfig
from parfocal.steps.learning import Learner, dataset_refs, labelled, patients_of, remember, write_memory
from parfocal.strategies import Finished, FinishTools, Weights
from parfocal.training import batches, normalization, validation

BUFFER_BATCHES = 8
"""Mixed batches that batch-norm statistics are recomputed on."""


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
    dataset_parents = [manifest.read(folder, "dataset").parent(folder) for folder in folders]
    parents = [manifest.read(champion).parent(champion), *dataset_parents]
    run.params(config.flat())
    run.dataset(dataset, "training")
    learner = Learner(config, config.retrain.train, state / "checkpoints" / key, run, reporter)
    structures: dict[str, StructureModel] = {}
    choices: dict[str, Finished] = {}
    with manifest.new_folder(
        out, "bundle", parents=parents, seed=config.seed, config=config.model_dump(mode="json")
    ) as scratch:
        for structure in task(config.task).structures:
            new = labelled([dataset], structure.name, Split.TRAIN).get(instrument)
            if new is None:
                structures |= _carry_over(structure.name, before, champion, scratch, reporter)
                continue
            held_out = labelled(folders, structure.name, Split.VALIDATION)
            known = before.structures.get(structure.name)
            _refuse_clicks(structure.name, known)
            source = champion / known.folder if known else None
            past = memory.arrays(structure.name)
            model, finished = _learn(structure, instrument, new, source, past, held_out, learner)
            choices[structure.name] = finished
            spec = models.read_spec(source) if source else config.model.spec()
            origin = known.pretrained if known else None
            structures[structure.name] = learner.export(structure, model, spec, scratch, held_out, origin)
            memory = remember(memory, instrument, structure.name, model, new, patients_of([dataset]), config)
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
    return config.model_copy(update={"task": before.task, "recipe": recipe})


def _refuse_clicks(structure: str, known: StructureModel | None) -> None:
    if known is not None and known.objective == "interact":
        raise UsageError(
            f"the {structure} network answers clicks, and such a network is not retrained",
            next="train it anew on all datasets: parfocal train DATASET... --set train.objective.name=interact",
        )


def _learn(
    structure: Structure,
    instrument: str,
    new: Arrays,
    champion: Path | None,
    past: Mapping[str, Arrays],
    held_out: Mapping[str, Arrays],
    learner: Learner,
) -> tuple[nn.Module, Finished]:
    """Train one structure from the champion's weights by the strategy.

    A structure that the champion lacks (`champion` is None) starts from nothing, and there is nothing to go back to.
    """
    if learner.objective.inputs:
        raise UsageError(
            "a network that looks at images alone cannot be taught to answer clicks",
            where="retrain.train.objective",
            next="train one anew: parfocal train DATASET... --set train.objective.name=interact",
        )
    strategy = strategies.build(learner.config.retrain.strategy)
    sources = strategy.mixture(instrument, new, past)
    model = models.load(champion) if champion else learner.build(structure.name)[0]
    start = normalization.weights_of(model)
    learner.fit(structure.name, model, learner.sampler(sources), held_out)
    end = normalization.weights_of(model)
    tools = _tools(model, Sampler(sources, learner.train.batch_size, learner.config.seed), held_out)
    finished = strategy.finish(start, end, tools) if champion else Finished(end, 1.0, ())
    model.load_state_dict(finished.weights)
    return model, finished


def _tools(model: nn.Module, mixed: Sampler, held_out: Mapping[str, Arrays]) -> FinishTools:
    """What the strategy may ask: statistics on unaltered mixed pictures, scores on all instruments' validation."""
    device = next(model.parameters()).device

    def recompute(weights: Weights) -> Weights:
        pictures = (batches.to_input(mixed.batch(step).image, device) for step in range(BUFFER_BATCHES))
        return normalization.recomputed(model, weights, pictures)

    def score(weights: Weights) -> dict[str, float]:
        model.load_state_dict(weights)
        return validation.dice_by_instrument(model, held_out)

    return FinishTools(recompute, score)


def _carry_over(
    structure: str, before: Bundle, champion: Path, scratch: Path, reporter: Reporter
) -> dict[str, StructureModel]:
    """A structure that the dataset has no labels for stays as it was, byte for byte."""
    if structure not in before.structures:
        return {}
    kept = before.structures[structure]
    shutil.copytree(champion / kept.folder, scratch / kept.folder)
    reporter.note(f"{structure}: not labelled in this dataset, so the champion's network stays")
    return {structure: kept}


def _log(choices: Mapping[str, Finished], run: Run, reporter: Reporter) -> None:
    for structure, finished in choices.items():
        run.metrics({f"{structure}/interpolation": finished.alpha})
        tried = [{"alpha": candidate.alpha, **candidate.scores} for candidate in finished.candidates]
        run.text(json.dumps(tried, indent=1), f"interpolation-{structure}.json")
        reporter.note(f"{structure}: kept the weights at {finished.alpha:g} between champion (0) and retrained (1)")
