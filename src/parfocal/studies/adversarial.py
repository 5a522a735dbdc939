"""Paper 002, table 4: a U-Net, the same U-Net with a critic (LGAN), and as one half of a CycleGAN; lung and prostate.

IoU, Dice and the true Hausdorff distance, and beside the paper's Hausdorff figures the quantity that its code computed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any

from parfocal.core.protocols import Reporter
from parfocal.core.types import Split
from parfocal.models.presets import PRESETS
from parfocal.studies import learning
from parfocal.studies.frames import frames
from parfocal.studies.intervals import chosen, difference, mean, metric
from parfocal.studies.study import CONSTANT, Cell, Data, Need, Place, Row, Scale
from parfocal.studies.tables import Entry, Line, Table

ORGANS = ("lung", "prostate")
UNET, LGAN, CYCLEGAN = "U-Net", "LGAN", "CycleGAN"
ARMS = (UNET, LGAN, CYCLEGAN)
PAPER: Mapping[tuple[str, str], tuple[float, float, float]] = {
    ("lung", UNET): (0.8974, 0.9453, 4.93),
    ("lung", LGAN): (0.9028, 0.9483, 4.84),
    ("lung", CYCLEGAN): (0.5289, 0.6803, 7.84),
    ("prostate", UNET): (0.8141, 0.8946, 3.96),
    ("prostate", LGAN): (0.8842, 0.9364, 3.38),
    ("prostate", CYCLEGAN): (0.4099, 0.5302, 4.84),
}
"""Tables 1 to 4: IoU, Dice, and what the paper calls HD."""
MEASURES = (
    ("iou", "IoU", 3),
    ("dice", "Dice", 3),
    ("row_hausdorff_legacy", "row_hausdorff_legacy", 2),
    ("hausdorff", "Hausdorff, pixels", 1),
    ("hd95", "HD95, pixels", 1),
)
EPOCHS = {UNET: 75, LGAN: 75, CYCLEGAN: 200}


@dataclass(frozen=True, slots=True)
class Plan:
    """What a scale does.

    Attributes:
        size: of the frame in pixels.
        patients, slices: simulated, for lung and for prostate.
        model: settings.
        steps: by arm; batch: by arm.
        width, blocks: of the CycleGAN's other networks.
    """

    size: int
    patients: tuple[int, int]
    slices: tuple[int, int]
    model: Mapping[str, Any]
    steps: Mapping[str, int]
    batch: Mapping[str, int]
    width: int
    blocks: int
    fast: bool = True


class Adversarial:
    """U-Net, LGAN and CycleGAN on lung and prostate."""

    name = "adversarial"
    paper = "002"
    shows = "Does a critic make a U-Net's masks better, on lung and on prostate?"
    minutes: Mapping[Scale, float] = {"smoke": 0.8, "quick": 15, "paper": 600}
    notes = (
        "The paper's figures for HD stand under row_hausdorff_legacy: its code compared image rows as points, which "
        "can read 0 for a mask moved by 40 pixels. The true distance is beside it.",
        "IoU and Dice have no smoothing constant; the paper's code adds 1 to both parts of the IoU.",
        "Where the published code flips image and mask independently, splits neighbouring slices at random and trains "
        "one generator with another's optimiser, here image and mask are flipped together, patients are split, and "
        "each network has its own optimiser.",
        "CycleGAN: the U-Net turns images into masks, a residual translator turns masks into images; here every pair "
        "also counts in a supervised term, as the paper says of its semi-supervised scheme.",
        "The best validation Dice chooses the weights, as in the paper; patients of test take no part.",
    )

    def needs(self, scale: Scale) -> tuple[Need, ...]:
        plan = _plan(scale)
        recipes = {"lung": "chest", "prostate": "mr"}
        instruments = {"lung": "M", "prostate": "P"}
        return tuple(
            Need(
                role=organ,
                label=organ,
                task=organ,
                phantom={
                    "task": organ, "instrument": instruments[organ], "patients": [0, count], "slices": slices,
                    "seed": 0,
                },
                settings={
                    "recipe": {"name": recipes[organ], "size": plan.size},
                    "split": {"initial": (70, 10, 20)},
                    "static_augmentation": {"copies": 0},
                },
            )
            for organ, count, slices in zip(ORGANS, plan.patients, plan.slices, strict=True)
        )  # fmt: skip

    def cells(self, scale: Scale, seeds: int) -> tuple[Cell, ...]:
        plan = _plan(scale)
        return tuple(
            Cell(
                title=f"{organ}, {arm}, seed {seed}",
                roles=(organ,),
                structure=organ,
                settings={"arm": arm, "model": dict(plan.model), "train": _train(plan, arm), "seed": seed},
            )
            for seed, organ, arm in product(range(seeds), ORGANS, ARMS)
        )

    def run_cell(self, cell: Cell, data: Mapping[str, Data], place: Place, reporter: Reporter) -> list[Row]:
        arm, (organ,) = cell.settings["arm"], cell.roles
        learned, held_out, tested = (frames(data[organ], organ, side) for side in Split)
        model = learning.build(cell.settings["model"], cell.seed)
        learning.fit(
            model, {organ: learned.arrays}, cell.settings["train"], cell.seed, place.checkpoints, reporter,
            held_out={organ: held_out.arrays},
        )  # fmt: skip
        rows = learning.scores(arm, learning.predictor(model), tested, cell.seed, legacy=True)
        if arm == UNET:
            rows += learning.constant_scores(learned, tested, cell.seed, legacy=True)
        return rows

    def tables(self, rows: Sequence[Row]) -> tuple[Table, ...]:
        organs = [organ for organ in ORGANS if chosen(rows, role=organ)]
        return tuple(table for organ in organs for table in _tables(chosen(rows, role=organ), organ))

    def cuts(self, scale: Scale) -> tuple[str, ...]:
        if scale == "paper":
            return ()
        plan, full = _plan(scale), _plan("paper")
        return (
            f"frames of {plan.size} x {plan.size}, for {full.size} x {full.size}",
            f"{plan.patients[0] * plan.slices[0]} images of lungs and {plan.patients[1] * plan.slices[1]} of "
            "prostates, for about 700 and 900",
            f"{plan.steps[UNET]}, {plan.steps[LGAN]} and {plan.steps[CYCLEGAN]} steps, for 75, 75 and 200 epochs",
            f"a U-Net of {plan.model['width']} channels in the first level, for {full.model['width']}; a translator "
            f"and critics of {plan.width}, for {full.width}",
            "Adam with a rate that rises and falls, for RMSprop that halves its rate on a plateau; cross entropy and "
            "-log soft Dice, for cross entropy alone: so few steps suffice",
        )


def _plan(scale: Scale) -> Plan:
    paper = PRESETS["paper-002"].model_dump(mode="json")
    if scale == "paper":
        patients, slices = (700, 90), (1, 10)
        pictures = round(0.7 * 700)  # of lungs; prostates are a little more
        batch = {UNET: 12, LGAN: 12, CYCLEGAN: 2}
        steps = {arm: learning.steps(pictures, batch[arm], EPOCHS[arm]) for arm in ARMS}
        return Plan(256, patients, slices, paper, steps, batch, 64, 9, fast=False)
    batch = {UNET: 8, LGAN: 8, CYCLEGAN: 2}
    if scale == "quick":
        model = {**paper, "width": 12, "options": {"widest": 96}}
        return Plan(96, (80, 40), (1, 4), model, {UNET: 300, LGAN: 300, CYCLEGAN: 400}, batch, 12, 3)
    model = {**paper, "width": 8, "depth": 3, "options": {"widest": 32}}
    return Plan(64, (20, 20), (1, 2), model, {UNET: 40, LGAN: 30, CYCLEGAN: 30}, batch, 8, 1)


def _train(plan: Plan, arm: str) -> dict[str, Any]:
    """Section 4 of the settled details: RMSprop for the U-Net and the LGAN, Adam for the CycleGAN."""
    objectives: dict[str, dict[str, Any]] = {
        UNET: {"name": "segment"},
        LGAN: {"name": "adversarial"},
        CYCLEGAN: {"name": "cycle", "width": plan.width, "blocks": plan.blocks},
    }
    steps = plan.steps[arm]
    common = {
        "objective": objectives[arm], "loss": "bce_dice" if plan.fast else "bce", "batch_size": plan.batch[arm],
        "steps": steps,
        "validate_every": max(1, steps // (EPOCHS[arm] if not plan.fast else 4)), "augment": learning.flipped(),
    }  # fmt: skip
    if plan.fast:
        return {**common, "learning_rate": 3e-3 if arm == UNET else 2e-3, "schedule": "one-cycle"}
    if arm == CYCLEGAN:
        return {**common, "learning_rate": 2e-4, "betas": (0.5, 0.999), "schedule": "constant"}
    return {
        **common, "optimizer": "rmsprop", "learning_rate": 1e-4, "weight_decay": 1e-7, "momentum": 0.9,
        "clip_value": 0.1, "schedule": "plateau", "plateau": 2,
    }  # fmt: skip


def _tables(rows: Sequence[Row], organ: str) -> tuple[Table, ...]:
    lines, gains = [], []
    for arm in (*ARMS, CONSTANT):
        own = chosen(rows, arm=arm)
        said = dict(zip(("iou", "dice", "row_hausdorff_legacy"), PAPER.get((organ, arm), ()), strict=False))
        entries = tuple(Entry.of(mean(own, metric(name)), said.get(name), digits) for name, _, digits in MEASURES)
        lines.append(Line(arm, entries))
        if arm in (LGAN, CYCLEGAN):
            less = (difference(own, chosen(rows, arm=UNET), metric(name)) for name, *_ in MEASURES)
            gains.append(Line(arm, tuple(Entry.of(one, digits=m[2]) for one, m in zip(less, MEASURES, strict=True))))
    heads = tuple(head for _, head, _ in MEASURES)
    name = rows[0].data
    return (
        Table(
            organ, f"{name} (002 table 4)", f"Means over the test images of {name}, pixels of the frame.", "", heads,
            tuple(lines), (0, 1), "",
        ),
        Table(
            f"{organ}-gain", f"{name}: less the U-Net", "Paired by patient; of distances, less is better.", "", heads,
            tuple(gains),
        ),
    )  # fmt: skip
