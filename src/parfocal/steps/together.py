"""One network for several structures: what `train` and `retrain` do otherwise than for a network a structure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from parfocal.core.bundle import Bundle, PretrainedRef, StructureModel
from parfocal.core.errors import DataContractError, UsageError
from parfocal.core.protocols import Reporter
from parfocal.core.task import task
from parfocal.core.types import Split
from parfocal.memory.buffer import Memory
from parfocal.memory.rows import concatenate, take
from parfocal.memory.sampler import Source
from parfocal.memory.storage import Kept
from parfocal.models import ModelSpec
from parfocal.objectives import MAIN, Batch, Objective
from parfocal.preprocessing.classes import Classes
from parfocal.preprocessing.shards import Arrays, read_arrays, read_dataset
from parfocal.steps.config import RunConfig
from parfocal.steps.learning import Learner
from parfocal.steps.remembering import bounded, exemplars, said, wants_logits
from parfocal.training import batches
from parfocal.training.classes import joined, parted

NAME = "together"
"""Folder of the network inside a bundle, and name of its training."""


def classes_for(datasets: Sequence[Path], config: RunConfig, reporter: Reporter) -> Classes:
    """The classes of a first network: a structure each that has labels to learn from and to validate on.

    Raises:
        UsageError: the settings ask for what one network cannot do.
        DataContractError: there are not two such structures.
    """
    _refuse_settings(config)
    found = []
    for name in task(config.task).names:
        if all(
            any(read_arrays(folder, name, side) is not None for folder in datasets)
            for side in (Split.TRAIN, Split.VALIDATION)
        ):
            found.append(name)
        else:
            reporter.note(f"{name}: not labelled, so the network does not know it")
    outers = [task(config.task).structure(name).inside for name in found]
    if len(found) < 2 or any(outer is not None and outer not in found for outer in outers):
        raise DataContractError(
            f"labels of {', '.join(found) or 'nothing'} alone",
            where=", ".join(map(str, datasets)),
            expected="labels of two structures at least, and of what they are inside",
            next="leave out train.together",
        )
    return Classes.of(task(config.task), found)


def classes_in(spec: Bundle, config: RunConfig) -> Classes | None:
    """The classes of a champion's network; None for a champion with a network a structure.

    Raises:
        UsageError: the settings ask such a champion for one network.
    """
    if len({model.folder for model in spec.structures.values()}) < len(spec.structures):
        return Classes(tuple(spec.structures), {name: model.channels for name, model in spec.structures.items()})
    if config.retrain.train.together:
        raise UsageError(
            "the champion has a network a structure, which a retrain does not put together",
            where="retrain.train.together",
            next="train one network anew: parfocal train DATASET... --set train.together=true",
        )
    return None


def labelled(folders: Sequence[Path], classes: Classes, side: Split) -> dict[str, Arrays]:
    """Joint frames on one side by instrument, over several datasets; unlabelled instruments are left out.

    Raises:
        DataContractError: a dataset has a frame a structure.
    """
    found: dict[str, list[Arrays]] = {}
    for folder in folders:
        read = {name: read_arrays(folder, name, side) for name in classes.names}
        drawn = {name: arrays for name, arrays in read.items() if arrays is not None and len(arrays)}
        if drawn:
            found.setdefault(read_dataset(folder).instrument, []).append(joined(drawn, classes))
    return {instrument: concatenate(parts) for instrument, parts in found.items()}


def train(
    datasets: Sequence[Path], learner: Learner, folder: Path, patients: Mapping[str, Mapping[str, str]]
) -> tuple[dict[str, StructureModel], Memory]:
    """Train one network for all classes of `learner` and export it into `folder`.

    Returns:
        What bundle.json says of each structure, and the exemplars.
    """
    classes = of(learner)
    arrays, held_out = (labelled(datasets, classes, side) for side in (Split.TRAIN, Split.VALIDATION))
    model, origin = learner.build(NAME)
    sources = [Source(name, pictures, 1 / len(arrays)) for name, pictures in arrays.items()]
    learner.fit(NAME, model, learner.sampler(sources), held_out)
    structures = export(learner, model, learner.spec, folder, held_out, origin)
    memory = Memory()
    for name, pictures in arrays.items():
        memory = remember(memory, name, learner, model, pictures, patients[name])
    return structures, memory


def export(
    learner: Learner,
    model: nn.Module,
    spec: ModelSpec,
    folder: Path,
    held_out: Mapping[str, Arrays],
    origin: PretrainedRef | None = None,
) -> dict[str, StructureModel]:
    """Write the network once; every structure names its folder and its channels."""
    classes = of(learner)
    runtimes = learner.write(NAME, model, spec, folder, held_out)
    return {
        name: StructureModel(
            folder=NAME,
            inside=task(learner.config.task).structure(name).inside,
            channels=classes.channels[name],
            runtimes=runtimes,
            objective=learner.train.objective.name,
            pretrained=origin,
        )
        for name in classes.names
    }


def rehearsed(memory: Memory, classes: Classes) -> dict[str, Arrays]:
    """The exemplars by instrument, each picture once with the labels of all structures that were drawn in it."""
    kept = {name: memory.arrays(name) for name in classes.names}
    instruments = dict.fromkeys(instrument for arrays in kept.values() for instrument in arrays)
    return {
        instrument: joined({name: found[instrument] for name, found in kept.items() if instrument in found}, classes)
        for instrument in instruments
    }


def logits_of(memory: Memory, classes: Classes) -> dict[str, NDArray[np.float16]]:
    """What is kept of the network's answers to the pictures of `rehearsed`, by instrument: float16 [N, C, S, S].

    Every structure's exemplars have the answers, of all classes, to their own pictures.
    """
    answers: dict[str, dict[str, NDArray[np.float16]]] = {}
    for name in classes.names:
        for instrument, rows in memory.logits(name).items():
            cases = memory.arrays(name)[instrument].case_ids
            answers.setdefault(instrument, {}).update(zip(cases, rows, strict=True))
    return {
        instrument: np.stack([answers[instrument][case] for case in arrays.case_ids])
        for instrument, arrays in rehearsed(memory, classes).items()
        if answers.get(instrument, {}).keys() >= set(arrays.case_ids)
    }


def with_logits(
    memory: Memory, classes: Classes, past: Mapping[str, Arrays], logits: Mapping[str, NDArray[np.float16]]
) -> Memory:
    """A memory that keeps these answers to `past`, of `rehearsed`, with every structure's exemplars."""
    for name in classes.names:
        kept = {key: arrays for key, arrays in memory.arrays(name).items() if key in logits}
        memory = memory.with_logits(name, {key: _answers(past[key], logits[key], kept[key]) for key in kept})
    return memory


def _answers(of: Arrays, logits: NDArray[np.float16], wanted: Arrays) -> NDArray[np.float16]:
    """The rows of `logits`, which are of the pictures `of`, of the cases that are wanted; one row a case."""
    row = {case: number for number, case in enumerate(of.case_ids)}
    return logits[[row[case] for case in wanted.case_ids]]


def remember(
    memory: Memory,
    instrument: str,
    learner: Learner,
    model: nn.Module,
    arrays: Arrays,
    patients: Mapping[str, str],
) -> Memory:
    """Keep the same training cases for every structure, one a patient, so that they can be joined again."""
    classes = of(learner)
    for name, drawn in parted(arrays, classes).items():
        memory = memory.relabelled(instrument, name, drawn)
    known = rehearsed(memory, classes).get(instrument)
    seen = max((one.seen for name in classes.names if (one := memory.kept(name, instrument))), default=0)
    patients = {**memory.patients.get(instrument, {}), **patients}

    def difficulty(pictures: Arrays) -> np.ndarray:
        return 1.0 - _scores(learner.objective, model, pictures)

    was = Kept(known, seen, logits_of(memory, classes).get(instrument)) if known is not None else None
    kept, seen = exemplars(was, arrays, patients, model, learner.config, difficulty, learner.objective)
    chosen = parted(kept, classes)
    logits = said(model, kept, was) if wants_logits(learner.config) and len(kept) else None
    for name in classes.names:
        own = chosen.get(name, take(kept, []))
        answers = None if logits is None else _answers(kept, logits, own)
        memory = memory.with_exemplars(instrument, name, own, patients, seen=seen, logits=answers)
    return bounded(memory, classes.names, learner.config)


def _scores(objective: Objective, model: nn.Module, pictures: Arrays) -> np.ndarray:
    """Score of each case, float64 [N]; 0 where nobody labelled anything."""
    device = next(model.parameters()).device
    found = []
    model.eval()
    with torch.inference_mode():
        for start in range(0, len(pictures), 32):
            rows = slice(start, start + 32)
            batch = Batch(
                batches.to_input(pictures.image[rows], device),
                batches.to_device(pictures.mask[rows], device),
                batches.to_device(pictures.points[rows], device),
                np.random.default_rng(start),
            )
            found.append(objective.score({MAIN: model}, batch))
    return np.nan_to_num(np.concatenate(found))


def of(learner: Learner) -> Classes:
    """The classes that it learns."""
    assert learner.classes is not None, "a learner of one structure at a time"
    return learner.classes


def _refuse_settings(config: RunConfig) -> None:
    if len(task(config.task).structures) < 2:
        raise UsageError(
            f"the task {config.task} has one structure", where="train.together", next="leave out train.together"
        )
    if config.train.synthetic.share:
        raise UsageError(
            "synthetic pairs show the outermost structure alone",
            where="train.synthetic.share",
            expected="0 with train.together",
        )
