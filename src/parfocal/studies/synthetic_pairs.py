"""What paper 002 leaves to the future: pairs that a CycleGAN makes of masks, to thicken a small training set.

A CycleGAN learns from a few labelled pictures and from the others without their labels. Its way back from masks to
images then makes pictures of turned, moved and scaled masks; a U-Net learns from the labelled pictures alone, or from
them and from those pairs.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np

from parfocal.core.protocols import Reporter
from parfocal.core.types import Split
from parfocal.models.presets import PRESETS
from parfocal.preprocessing.shards import UNKNOWN, Arrays
from parfocal.studies import learning
from parfocal.studies.frames import Frames, frames, shuffle
from parfocal.studies.intervals import chosen, difference, mean, metric
from parfocal.studies.study import CONSTANT, Cell, Data, Need, Place, Row, Scale
from parfocal.studies.tables import Entry, Line, Table

ROLE, STRUCTURE = "images", "prostate"
ALONE, PAIRS = "labelled alone", "with synthetic pairs"
ARMS = (ALONE, PAIRS)
SHARE = 0.5
"""Of a batch that the synthetic pairs fill."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What a scale does.

    Attributes:
        size: of the frame in pixels.
        patients, slices: simulated.
        labelled: numbers of labelled patients.
        model: settings of the U-Net.
        train, cycle: settings of its training, and of the CycleGAN's.
        pictures: how many pairs are made.
    """

    size: int
    patients: int
    slices: int
    labelled: tuple[int, ...]
    model: Mapping[str, Any]
    train: Mapping[str, Any]
    cycle: Mapping[str, Any]
    pictures: int


class SyntheticPairs:
    """A U-Net on few labelled prostates, with and without pairs that a CycleGAN made."""

    name = "synthetic-pairs"
    paper = "002"
    shows = "Do pairs that a CycleGAN makes of masks help where few pictures are labelled?"
    minutes: Mapping[Scale, float] = {"smoke": 0.6, "quick": 15, "paper": 600}
    notes = (
        "The paper names this as future work and gives no figures.",
        "The CycleGAN sees the masks of the labelled patients alone; the other training patients' images take part "
        "without them. Patients of test take no part in anything.",
        f"Synthetic pairs fill {SHARE:.0%} of every batch; both arms take the same number of steps.",
    )

    def needs(self, scale: Scale) -> tuple[Need, ...]:
        plan = _plan(scale)
        return (
            Need(
                role=ROLE,
                label="prostate",
                task="prostate",
                phantom={
                    "task": "prostate", "instrument": "P", "patients": [0, plan.patients], "slices": plan.slices,
                    "seed": 0,
                },
                settings={
                    "recipe": {"name": "mr", "size": plan.size},
                    "split": {"initial": (60, 10, 30)},
                    "static_augmentation": {"copies": 0},
                },
            ),
        )  # fmt: skip

    def cells(self, scale: Scale, seeds: int) -> tuple[Cell, ...]:
        plan = _plan(scale)
        return tuple(
            Cell(
                title=f"{arm}, {count} patients, seed {seed}",
                roles=(ROLE,),
                structure=STRUCTURE,
                settings={
                    "arm": arm, "labelled": count, "model": dict(plan.model), "train": dict(plan.train),
                    "cycle": dict(plan.cycle), "pictures": plan.pictures, "seed": seed,
                },
            )
            for seed, count, arm in product(range(seeds), plan.labelled, ARMS)
        )  # fmt: skip

    def run_cell(self, cell: Cell, data: Mapping[str, Data], place: Place, reporter: Reporter) -> list[Row]:
        own = cell.settings
        learned, held_out, tested = (frames(data[ROLE], STRUCTURE, side) for side in Split)
        few = learned.of(shuffle(learned.patients, cell.seed)[: own["labelled"]])
        sources = {"labelled": few.arrays}
        if own["arm"] == PAIRS:
            sources["synthetic"] = _pairs(cell, few, learned, place, reporter)
        model = learning.build(own["model"], cell.seed)
        learning.fit(
            model, sources, own["train"], cell.seed, place.checkpoints, reporter, held_out={STRUCTURE: held_out.arrays}
        )
        rows = learning.scores(own["arm"], learning.predictor(model), tested, cell.seed, x=own["labelled"])
        if own["arm"] == ALONE:
            rows += learning.constant_scores(few, tested, cell.seed, x=own["labelled"])
        return rows

    def tables(self, rows: Sequence[Row]) -> tuple[Table, ...]:
        dice = metric("dice")
        lines, gains = [], []
        for count in sorted({row.x for row in rows if row.x is not None}):
            own = {arm: chosen(rows, arm=arm, x=count) for arm in (*ARMS, CONSTANT)}
            lines.append(Line(f"{count:g}", tuple(Entry.of(mean(found, dice)) for found in own.values()), count))
            gains.append(Line(f"{count:g}", (Entry.of(difference(own[PAIRS], own[ALONE], dice)),), count))
        heads = "labelled patients"
        caption = "Mean Dice over the slices of the test patients."
        return (
            Table(
                self.name, "Prostate by labelled patients", caption, heads, (*ARMS, CONSTANT), tuple(lines), (0, 1, 2)
            ),
            Table("gain", "What the pairs bring", "Paired by patient.", heads, ("Dice",), tuple(gains), (0,)),
        )

    def cuts(self, scale: Scale) -> tuple[str, ...]:
        if scale == "paper":
            return ()
        plan, full = _plan(scale), _plan("paper")
        return (
            f"frames of {plan.size} x {plan.size}, for {full.size} x {full.size}",
            f"{plan.train['steps']} steps, and {plan.cycle['steps']} of the CycleGAN, for {full.train['steps']} and "
            f"{full.cycle['steps']}",
            f"a U-Net of {plan.model['width']} channels in the first level, for {full.model['width']}",
        )


def _plan(scale: Scale) -> Plan:
    network = PRESETS["paper-002"].model_dump(mode="json")
    train = {"loss": "bce_dice", "batch_size": 8, "schedule": "one-cycle", "learning_rate": 3e-3}
    train = {**train, "augment": learning.flipped(rotation=10.0)}

    def cycle(width: int, blocks: int, steps: int) -> dict[str, Any]:
        objective = {"name": "cycle", "width": width, "blocks": blocks}
        return {
            "objective": objective, "loss": "bce_dice", "batch_size": 4, "steps": steps, "validate_every": steps,
            "learning_rate": 2e-4, "betas": (0.5, 0.999), "schedule": "constant", "augment": learning.flipped(),
        }  # fmt: skip

    if scale == "paper":
        return Plan(
            256, 90, 10, (2, 5, 10, 20), network, {**train, "steps": 4000, "validate_every": 200},
            cycle(64, 9, 40000), 1000,
        )  # fmt: skip
    small = {**network, "width": 12, "options": {"widest": 96}}
    if scale == "quick":
        return Plan(80, 60, 4, (2, 5, 20), small, {**train, "steps": 250, "validate_every": 50}, cycle(12, 3, 400), 200)
    small = {**small, "width": 8, "depth": 3, "options": {"widest": 32}}
    return Plan(48, 24, 3, (2, 4, 12), small, {**train, "steps": 120, "validate_every": 60}, cycle(4, 1, 10), 24)


def _pairs(cell: Cell, few: Frames, learned: Frames, place: Place, reporter: Reporter) -> Arrays:
    """Pairs by the CycleGAN of these labelled patients."""
    from parfocal.augmentation.geometric import AugmentConfig
    from parfocal.training import synthesis

    own = cell.settings
    known = set(few.patients)
    other = learned.of(patient for patient in learned.patients if patient not in known).arrays
    hidden = Arrays(other.image, np.full_like(other.mask, UNKNOWN), other.case_ids)

    def make(folder: Path, work: Path) -> None:
        sources = {"labelled": few.arrays} | ({"unlabelled": hidden} if len(hidden) else {})
        network = learning.build(own["model"], cell.seed)
        learning.keep_translator(network, sources, own["cycle"], cell.seed, work, reporter, folder)

    shared = {key: own[key] for key in ("model", "cycle", "labelled", "seed")}
    network = synthesis.translator(place.once(shared, [ROLE], make))
    shapes = AugmentConfig(rotation=15.0, shift=0.08, zoom=(0.85, 1.2), flip_vertical=False)
    return synthesis.pairs(network, few.arrays.mask, own["pictures"], shapes=shapes, seed=cell.seed)
