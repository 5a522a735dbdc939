"""What drift is measured against: every instrument's cases that nobody trained on, seen through the new networks."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path

from parfocal.core import bundle, manifest
from parfocal.core.bundle import REFERENCE
from parfocal.core.protocols import Reporter
from parfocal.core.types import Observation, Split
from parfocal.drift import reference
from parfocal.drift.reference import DriftConfig
from parfocal.evaluation import metrics
from parfocal.inference import camera, flips
from parfocal.inference.observe import describe
from parfocal.inference.predictor import Predictor
from parfocal.preprocessing.images import decode_image, decode_mask
from parfocal.preprocessing.ingest import in_order
from parfocal.preprocessing.shards import Dataset, DatasetCase, UnlabelledCase, read_dataset

MIRRORED = 100
"""Cases of an instrument, at most, that are answered a second time in the mirror: enough for a p-value of 0.02."""
Found = tuple[str, Path, DatasetCase | UnlabelledCase]
"""Instrument, dataset folder and case."""


def write(
    folder: Path,
    datasets: Sequence[Path],
    config: DriftConfig,
    *,
    seed: int,
    reporter: Reporter,
    learned: Collection[str] = (),
) -> None:
    """Fit a drift reference for every instrument of `datasets` and put it into a bundle that is being made.

    It takes the validation, test and unlabelled cases, through the export that will answer, so that new cases of the
    same instrument are to it what these are. A training patient's cases are left out, on whichever dataset they are:
    the networks know them. So are patients of whose unlabelled pictures a network learned. Where a case is labelled,
    its Dice teaches what predicts the Dice of cases that are not; labels that began as a model's mask do not.

    Args:
        folder: of the bundle; networks and bundle.json are there already.
        datasets: sealed dataset folders, the new one included.
        config: of the detectors.
        seed: of the division into fitted and held-out cases.
        learned: patients of whose unlabelled pictures a network learned.
        reporter: hears the progress and how large each instrument's reference is.
    """
    predictor = Predictor(folder, verify=False)
    if predictor.bundle.stacked:
        reporter.note(
            "a network that sees neighbouring slices: it has no drift reference and answers no single picture"
        )
        return
    innermost = list(predictor.bundle.structures.values())[-1]
    extractor = manifest.sha256(folder / innermost.folder / "weights.safetensors")
    cases = list(_unused(datasets, learned))

    mirrored = _first(cases, MIRRORED)

    def observe(case: Found) -> tuple[Observation, dict[str, float]]:
        return _observe(predictor, *case, task=predictor.bundle.task, mirror=(case[0], case[2].id) in mirrored)

    found: defaultdict[str, list[Observation]] = defaultdict(list)
    dice: dict[tuple[str, str], dict[str, float]] = {}
    for (instrument, *_), (seen, scores) in zip(
        cases, in_order(observe, cases, lambda done, total: reporter.progress("reference", done, total)), strict=True
    ):
        found[instrument].append(seen)
        if scores:
            dice[instrument, seen.id] = scores
    name = f"{list(predictor.bundle.structures)[-1]}:{extractor}"
    fitted = reference.fit(found, config, extractor=name, seed=seed, dice=dice)
    fitted.write(folder / REFERENCE)
    reporter.note("drift reference: " + ", ".join(f"{name} {len(seen)} cases" for name, seen in found.items()))
    for name, reason in fitted.absent.items():
        reporter.note(f"no drift reference for {name}: {reason}")


def _unused(folders: Sequence[Path], learned: Collection[str] = ()) -> Iterator[Found]:
    """Instrument, dataset folder and case of everything that no network was trained on; the latest of an id counts."""
    datasets = {folder: read_dataset(folder) for folder in folders}
    trained = _trained(datasets).union(learned)
    chosen: dict[tuple[str, str], Found] = {}
    for folder, dataset in datasets.items():
        cases: tuple[DatasetCase | UnlabelledCase, ...] = (*dataset.cases, *dataset.unlabelled)
        for case in cases:
            if case.patient not in trained:
                chosen[dataset.instrument, case.id] = (dataset.instrument, folder, case)
    yield from chosen.values()


def _first(cases: Sequence[Found], most: int) -> set[tuple[str, str]]:
    """Instrument and id of so many cases of each instrument at most: the first in the order of ids."""
    by_instrument: defaultdict[str, list[str]] = defaultdict(list)
    for instrument, _, case in cases:
        by_instrument[instrument].append(case.id)
    return {(name, id_) for name, ids in by_instrument.items() for id_ in sorted(ids)[:most]}


def _trained(datasets: Mapping[Path, Dataset]) -> set[str]:
    return {case.patient for dataset in datasets.values() for case in dataset.on(Split.TRAIN)}


def _observe(
    predictor: Predictor,
    instrument: str,
    folder: Path,
    case: DatasetCase | UnlabelledCase,
    *,
    task: str,
    mirror: bool = False,
) -> tuple[Observation, dict[str, float]]:
    """What the monitor would be told of a case, and the Dice of each structure that a person drew."""
    data = (folder / case.image).read_bytes()
    image = decode_image(data)
    prediction = predictor.predict(image, instrument)
    seen = describe(image, prediction, camera.of_file(data))
    doubt = flips.disagreement(predictor, image, prediction, instrument) if mirror else {}
    drawn = case.masks if isinstance(case, DatasetCase) and not case.assisted else {}
    dice = {
        name: metrics.dice(prediction.masks[name], decode_mask((folder / file).read_bytes(), empty=True) > 0)
        for name, file in drawn.items()
        if name in prediction.masks
    }
    observation = Observation(
        id=case.id,
        task=task,
        instrument=instrument,
        model_version="",
        reference_id="",
        seq=0,
        time=0.0,
        embedding=seen.embedding,
        shape={**seen.shape, **doubt},
        acquisition=seen.acquisition,
    )
    return observation, dice


def identity(folder: Path) -> str:
    """SHA-256 of a bundle's reference, the `reference_id` of observations; empty when it has none."""
    file = folder / bundle.REFERENCE
    return manifest.sha256(file) if file.is_file() else ""
