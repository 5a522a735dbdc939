"""Which changes of an instrument do harm, which are noticed, by what, and how soon.

A network learns at one instrument. Three in five of the patients that it never saw are the drift reference; the others
arrive: as they are, changed in ways that cameras change, and other patients by another camera.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from parfocal.core.protocols import Reporter
from parfocal.core.types import Observation, Split
from parfocal.core.untracked import UntrackedRun
from parfocal.drift import run_length
from parfocal.drift.cusum import normal_scores
from parfocal.drift.reference import DriftConfig, Reference, fit
from parfocal.evaluation import metrics
from parfocal.preprocessing.images import Pixels
from parfocal.preprocessing.shards import DatasetCase, read_dataset, read_image, read_mask
from parfocal.studies import changes, code, fundus, learning
from parfocal.studies import detection_tables as tables
from parfocal.studies.changes import Masks
from parfocal.studies.detection_tables import AS_IS, BUDGET, CASES_A_DAY, RUNS, STREAMS, STRUCTURES, SWAP
from parfocal.studies.frames import LEARNED, frames, shuffle
from parfocal.studies.intervals import chosen
from parfocal.studies.study import Cell, Data, Need, Place, Row, Scale
from parfocal.studies.tables import Table

if TYPE_CHECKING:
    from parfocal.inference.predictor import Predictor

ROLES = ("usual", "arriving")
SPLIT = {"initial": (40, 5, 55)}
REFERENCE = 0.6
"""Part of the test patients that are the reference; the others arrive."""
STRENGTHS = {0.5: "mild", 1.0: "strong"}
USED = ("drift", "inference", "studies/changes.py", "steps/train.py")
"""Parts of the program, beside those of every study, that decide the rows."""


class Detection:
    """Simulated changes: the Dice they cost, how well each stream tells them, and the delay to the alarm."""

    name = "detection"
    paper = "none"
    shows = "Which changes of an instrument do harm, and are they noticed, by which stream and how soon?"
    minutes: Mapping[Scale, float] = {"smoke": 0.7, "quick": 10, "paper": 30}
    notes = (
        "Dice is of whole pictures, in their own pixels; that of the constant mask alone is in the network's frame.",
        "AUROC: arriving cases that were changed against the same patients unchanged, by normal score; `max` is the "
        "largest of the streams'. Mild is half of strong; strengths are in studies/changes.py.",
        f"Delays: medians of {RUNS} runs of cases drawn from the arriving ones, to the first alarm of any stream, at "
        f"{BUDGET:g} false alarm a month of {CASES_A_DAY:g} cases a day over all streams.",
        "The predicted Dice is by the reference's labelled cases; its interval is promised for unchanged cases alone.",
    )

    def needs(self, scale: Scale) -> tuple[Need, ...]:
        plan = _plan(scale)
        settings = {"recipe": {"size": plan.size}, "split": SPLIT, "static_augmentation": {"copies": 0}}
        return tuple(
            Need(
                role=role, label=f"camera {camera}", task="fundus", settings=settings,
                phantom={"instrument": camera, "patients": [first, count], "seed": 0},
            )
            for role, camera, first, count in zip(ROLES, "AB", (0, 5000), plan.patients, strict=True)
        )  # fmt: skip

    def cells(self, scale: Scale, seeds: int) -> tuple[Cell, ...]:
        plan = _plan(scale)
        settings = {"model": plan.model(6, 40, 1.1), "train": plan.training(), "code": code.of(*USED)}
        return tuple(Cell(f"seed {seed}", ROLES, STRUCTURES[0], {**settings, "seed": seed}) for seed in range(seeds))

    def run_cell(self, cell: Cell, data: Mapping[str, Data], place: Place, reporter: Reporter) -> list[Row]:
        from parfocal.inference.predictor import Predictor

        training = {name: cell.settings[name] for name in ("model", "train", "seed")}
        folder = place.once(training, ROLES[:1], _trained(cell, data[ROLES[0]], reporter))
        predictor = Predictor(folder / "bundle")
        usual = data[ROLES[0]]
        held_out = read_dataset(usual.folder).on(Split.TEST)
        patients = shuffle((case.patient for case in held_out), cell.seed)
        kept = set(patients[: round(REFERENCE * len(patients))])
        come = [case for case in held_out if case.patient not in kept]
        reference = _reference(predictor, usual, [case for case in held_out if case.patient in kept], cell.seed)
        rows: list[Row] = []
        arms = list(_arms())
        for done, (arm, strength, name) in enumerate(arms):
            reporter.progress("changes", done, len(arms))
            source = data[ROLES[1]] if name == SWAP else usual
            cases = read_dataset(source.folder).cases if name == SWAP else come
            rows += _arrive(predictor, reference, source, cases, Arm(arm, name, strength, cell.seed))
        return rows + learning.constant_scores(
            frames(usual, STRUCTURES[0], *LEARNED), frames(usual, STRUCTURES[0], Split.TEST), cell.seed
        )

    def tables(self, rows: Sequence[Row]) -> tuple[Table, ...]:
        arms = [arm for arm, _, _ in _arms() if chosen(rows, arm=arm)]
        return tables.harm(rows, arms), tables.telling(rows, arms[1:]), tables.delays(rows, arms)

    def cuts(self, scale: Scale) -> tuple[str, ...]:
        return fundus.cuts(scale, _plan(scale), _plan("paper"))


@dataclass(frozen=True, slots=True)
class Arm:
    """Arriving cases: how they are called and what is done to them."""

    title: str
    change: str
    strength: float
    seed: int


@dataclass(frozen=True)
class Seen:
    """A case as it arrived."""

    observation: Observation
    dice: Mapping[str, float]
    patient: str


def _plan(scale: Scale) -> fundus.Protocol:
    patients = {"smoke": (100, 24), "quick": (500, 80), "paper": (3000, 300)}[scale]
    return replace(fundus.protocol(scale, batch=60, epoch=100, learning_rate=7.5e-4), patients=patients)


def _arms() -> Iterator[tuple[str, float, str]]:
    """Title, strength and name of everything that arrives; as it is comes first."""
    yield AS_IS, 0.0, AS_IS
    for name in changes.ARMS:
        for strength, said in STRENGTHS.items():
            yield f"{name}, {said}", strength, name
    yield SWAP, 1.0, SWAP


def _trained(cell: Cell, data: Data, reporter: Reporter) -> Any:
    def make(folder: Path, work: Path) -> None:
        from parfocal.steps import train
        from parfocal.steps.config import RunConfig

        dataset = read_dataset(data.folder)
        values = {name: cell.settings[name] for name in ("model", "train")}
        named = {"seed": cell.seed, "data": {"instrument": dataset.instrument}}
        config = RunConfig.parse({**values, **named, "recipe": dataset.recipe.model_dump(mode="json")})
        train.run(
            [data.folder], folder / "bundle", folder / "memory", config, state=work, key="detection",
            run=UntrackedRun(), reporter=reporter,
        )  # fmt: skip

    return make


def _see(predictor: Predictor, image: Pixels, truth: Masks, case: DatasetCase, instrument: str) -> Seen:
    from parfocal.inference.observe import describe

    prediction = predictor.predict(image)
    found = describe(image, prediction)
    observation = Observation(
        case.id, "fundus", instrument, "", "", 0, 0.0, found.embedding, found.shape, found.acquisition
    )
    dice = {
        name: metrics.dice(prediction.masks[name], mask) for name, mask in truth.items() if name in prediction.masks
    }
    return Seen(observation, dice, case.patient)


def _opened(data: Data, case: DatasetCase) -> tuple[Pixels, Masks]:
    read = {name: read_mask(data.folder, case, name) for name in case.masks}
    return read_image(data.folder, case), {name: mask > 0 for name, mask in read.items() if mask is not None}


def _reference(predictor: Predictor, data: Data, cases: Sequence[DatasetCase], seed: int) -> Reference:
    seen = [_see(predictor, *_opened(data, case), case, data.label) for case in cases]
    dice = {(data.label, one.observation.id): one.dice for one in seen}
    streams = len(STREAMS)
    config = DriftConfig(arl0=run_length.arl0_for(BUDGET, CASES_A_DAY, streams))
    return fit({data.label: [one.observation for one in seen]}, config, extractor="study", seed=seed, dice=dice)


def _arrive(
    predictor: Predictor, reference: Reference, data: Data, cases: Sequence[DatasetCase], arm: Arm
) -> list[Row]:
    """The rows of one arm: a row a case and structure; what streams say of a case stands in each."""
    rng = np.random.default_rng([arm.seed, 2])
    usual = reference.instruments[0]
    seen = []
    for case in cases:
        image, truth = _opened(data, case)
        if arm.change in changes.ARMS:
            image, truth = changes.apply(arm.change, image, truth, arm.strength, rng)
        seen.append(_see(predictor, image, truth, case, usual))
    observations = [one.observation for one in seen]
    said: dict[str, NDArray[np.float64]] = {}
    for stream in reference.streams:
        scorer = reference.scorer(usual, stream)
        said[stream] = normal_scores(scorer.p_values(observations))
    said["held out"] = np.full(len(seen), float(reference.scorer(usual, reference.streams[0]).calibration_size))
    features = reference.features(usual, observations)
    guesses = {name: one.cases(features) for name, one in reference.quality.items()}
    rows = []
    for place, one in enumerate(seen):
        shared = {name: float(values[place]) for name, values in said.items()}
        for structure, dice in one.dice.items():
            found = {**shared, "dice": dice}
            if structure in guesses:
                guess = guesses[structure][place]
                found |= {"predicted": guess.estimate, "inside": float(guess.low <= dice <= guess.high)}
            rows.append(
                Row(
                    arm=arm.title, role=data.role, data=data.label, structure=structure, seed=arm.seed,
                    case=one.observation.id, patient=one.patient, metrics=found, x=arm.strength,
                )
            )  # fmt: skip
    return rows
