"""One network learns one new instrument by the run's strategy."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from parfocal import models
from parfocal.core import manifest
from parfocal.core.bundle import OwnNetwork, StructureModel
from parfocal.core.errors import UsageError
from parfocal.memory.sampler import Pictures, Sampler
from parfocal.memory.stack_sampler import stacked
from parfocal.objectives import MAIN, Objective
from parfocal.objectives.interact import Interact
from parfocal.preprocessing.shards import Arrays
from parfocal.steps import clicking
from parfocal.steps.config import RunConfig
from parfocal.steps.learning import Learner
from parfocal.steps.remembering import logits_of, one_by_one
from parfocal.strategies import Champion, Finished, FinishTools, Strategy, Weights
from parfocal.training import batches, hardware, normalization, validation

BUFFER_BATCHES = 8
"""Mixed batches that batch-norm statistics are recomputed on."""
EARLIER = "earlier-"
"""Beginning of the names of folders with networks of instruments that were learned before."""
STRATEGY = "strategy.json"
"""Among the checkpoints of a retrain: the strategy that they were made with."""

Logits = Mapping[str, NDArray[np.float16]]
"""Of exemplars by instrument, [N, C, S, S]."""


@dataclass(frozen=True, eq=False)
class Lesson:
    """What a network is to learn, and what is kept of its past.

    Attributes:
        name: of the network: a structure's, or that of a network of several.
        instrument: the new one.
        new: its training pictures, at least one.
        held_out: validation pictures by instrument, of all that it is to know.
        source: folder of the champion's network; None where the champion has none, so that there is no past.
        newest: the instrument that the champion learned last.
        past: exemplars by instrument.
        datasets: gives all training pictures of the champion's datasets by instrument.
        logits: of the exemplars, where they are kept.
        carried: what the strategy left in the increment before.
    """

    name: str
    instrument: str
    new: Arrays
    held_out: Mapping[str, Arrays]
    source: Path | None
    newest: str
    past: Mapping[str, Arrays]
    datasets: Callable[[], Mapping[str, Arrays]]
    logits: Logits = field(default_factory=dict)
    carried: Mapping[str, NDArray[np.float32]] = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class Learned:
    """The trained network, how its weights were chosen, and what the memory is to keep beside exemplars."""

    model: nn.Module
    finished: Finished
    logits: Logits = field(default_factory=dict)
    carried: Mapping[str, NDArray[np.float32]] = field(default_factory=dict)


def refuse_other_strategy(checkpoints: Path, config: RunConfig) -> None:
    """Refuse to go on from another strategy's checkpoints: two may draw the same batches for different losses.

    Raises:
        UsageError: they are.
    """
    file, said = checkpoints / STRATEGY, config.retrain.strategy.canonical_json()
    if file.is_file() and file.read_text() != said:
        raise UsageError(
            "the checkpoint was made with another strategy",
            where=file,
            expected=file.read_text(),
            next="give that again, or another --key, or remove the folder",
        )
    checkpoints.mkdir(parents=True, exist_ok=True)
    manifest.write_atomic(file, said)


def learn(lesson: Lesson, strategy: Strategy, learner: Learner) -> Learned:
    """Train a network from the champion's weights by the strategy.

    One that the champion lacks starts from nothing, and there is nothing to go back to. The same call after a kill goes
    on from the last checkpoint: what the strategy computes of the champion is a function of the champion.

    Raises:
        UsageError: the strategy cannot teach such a network.
    """
    past = lesson.datasets() if "datasets" in strategy.needs else lesson.past
    asked = (lesson.instrument, lesson.new, past)
    model = models.load(lesson.source) if lesson.source else learner.build(lesson.name)[0]
    champion, objective = _champion(lesson, strategy, learner.objective), learner.objective
    start = normalization.weights_of(model)
    if champion is not None:
        objective = strategy.objective(objective, champion)
        strategy.prepare(model)
    held_out = {k: v for k, v in lesson.held_out.items() if k == lesson.instrument or not strategy.separate}
    if strategy.trains or champion is None:
        sampler = learner.sampler(strategy.mixture(*asked))
        learner.fit(lesson.name, model, sampler, held_out, objective)
    model.requires_grad_(True)
    end = normalization.weights_of(model)
    if champion is None:
        return Learned(model, Finished(end, 1.0, ()))
    plain = Sampler(strategy.statistics(*asked), learner.train.batch_size, learner.config.seed)
    tools = _tools(model, stacked(plain, models.slices_of(model)), held_out, learner.objective)
    cases = sum(map(len, held_out.values()))
    learner.reporter.note(f"{lesson.name}: trained; its weights are chosen by {cases} validation cases")
    finished = strategy.finish(start, end, tools)
    model.load_state_dict(finished.weights)
    carried = {name: value.numpy() for name, value in champion.carried.items()}
    return Learned(model, finished, champion.logits, carried)


def _champion(lesson: Lesson, strategy: Strategy, base: Objective) -> Champion | None:
    """What the strategy is told of the champion; None where it has no such network."""
    if lesson.source is None:
        return None
    network = models.load(lesson.source)
    exemplars = {name: arrays for name, arrays in lesson.past.items() if len(arrays)}
    logits: dict[str, NDArray[np.float16]] = {}
    if "logits" in strategy.needs:
        if models.slices_of(network):
            raise UsageError(
                "logits are kept of single pictures, and this network sees neighbouring slices",
                where="retrain.strategy.name",
                expected="replay, finetune, ewc, lwf, instrument_norm or joint",
            )
        logits = {
            name: lesson.logits[name] if name in lesson.logits else logits_of(network, arrays.image)
            for name, arrays in exemplars.items()
        }
    champion = Champion(
        network=network,
        newest=lesson.newest,
        exemplars=exemplars,
        cases=lambda arrays: one_by_one(arrays, models.slices_of(network)),
        inputs=batches.to_input,
        logits=logits,
        carried={name: torch.from_numpy(values) for name, values in lesson.carried.items()},
    )
    with hardware.repeatable():
        return replace(champion, carried=strategy.carry(base, champion))


def _tools(model: nn.Module, mixed: Sampler, held_out: Mapping[str, Arrays], objective: Objective) -> FinishTools:
    """What the strategy may ask: statistics on unaltered pictures, scores on all instruments' validation."""
    device = next(model.parameters()).device

    def recompute(weights: Weights) -> Weights:
        pictures = (_input(mixed.batch(step), objective, device) for step in range(BUFFER_BATCHES))
        return normalization.recomputed(model, weights, pictures)

    def score(weights: Weights) -> dict[str, float]:
        model.load_state_dict(weights)
        return validation.score_by_instrument(objective, {MAIN: model}, held_out)

    return FinishTools(recompute, score)


def _input(seen: Pictures, objective: Objective, device: torch.device) -> torch.Tensor:
    """Network input; one click on each picture for a network that answers them, as when it is validated."""
    if isinstance(objective, Interact):
        return torch.from_numpy(clicking.once(seen.image, seen.mask, objective.settings.sigma)).to(device)
    return batches.to_input(seen.image, device)


def keep_apart(
    known: StructureModel, instruments: Sequence[str], champion: Path, scratch: Path
) -> dict[str, OwnNetwork]:
    """Copy the networks that answered for these instruments byte for byte, each once, and say which is whose."""
    own: dict[str, OwnNetwork] = {}
    places: dict[str, str] = {}
    for name in instruments:
        was = known.by_instrument.get(name, OwnNetwork(folder=known.folder, runtimes=known.runtimes))
        if was.folder not in places:
            places[was.folder] = f"{known.folder}/{EARLIER}{len(places)}"
            _copy(champion / was.folder, scratch / places[was.folder])
        own[name] = was.model_copy(update={"folder": places[was.folder]})
    return own


def _copy(source: Path, target: Path) -> None:
    if not target.exists():  # another structure's of the same network
        shutil.copytree(source, target, ignore=shutil.ignore_patterns(f"{EARLIER}*"))


def source_for(known: StructureModel, instrument: str, champion: Path) -> Path:
    """Folder of the network that the champion answers an instrument with."""
    own: OwnNetwork | None = known.by_instrument.get(instrument)
    return champion / (own.folder if own else known.folder)
