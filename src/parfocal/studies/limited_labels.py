"""Paper 003, table 1: few labelled patients, helped by pretraining without labels, by a click a slice, or by both.

Longitudinal bone in axial CT slices. The network learns from random patches of a growing number of patients;
pretraining restores distorted patches of all of them, labels unseen; the interactive network gets one click when it is
tested.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from parfocal.augmentation import clicks
from parfocal.core.protocols import Reporter
from parfocal.core.types import Split
from parfocal.models.presets import PRESETS
from parfocal.preprocessing.shards import Arrays
from parfocal.studies import learning
from parfocal.studies.frames import frames, patches, shuffle
from parfocal.studies.intervals import chosen, difference, mean, metric
from parfocal.studies.study import CONSTANT, Cell, Data, Need, Place, Row, Scale
from parfocal.studies.tables import Entry, Line, Table

if TYPE_CHECKING:
    from torch import nn

ROLE, STRUCTURE = "scans", "bone"
BASELINE, PRETRAINED, INTERACTIVE, BOTH = "baseline", "pretrained", "interactive", "pretrained and interactive"
ARMS = (BASELINE, PRETRAINED, INTERACTIVE, BOTH)
PAPER: Mapping[int, tuple[float, float, float]] = {
    1: (0.348, 0.392, 0.588),
    2: (0.749, 0.830, 0.929),
    3: (0.795, 0.855, 0.949),
    5: (0.819, 0.858, 0.943),
    10: (0.831, 0.904, 0.948),
    30: (0.974, 0.977, 0.977),
    70: (0.981, 0.984, 0.983),
}
"""Table 1: patients to Dice of the first three arms; the fourth is the paper's future work."""
GRID = (1, 2, 3, 4, 5, 10, 15, 20, 25, 30, 40, 50, 60, 70)


@dataclass(frozen=True, slots=True)
class Plan:
    """What a scale does.

    Attributes:
        size: of a slice, and `patch` of what is learned from, in pixels; `patches` a slice.
        patients, slices: that are simulated; the split of the paper is 70 / 9 / 10.
        grid: numbers of training patients.
        model, train, pretrain: settings.
    """

    size: int
    patch: int
    patches: int
    patients: int
    slices: int
    grid: tuple[int, ...]
    model: Mapping[str, Any]
    train: Mapping[str, Any]
    pretrain: Mapping[str, Any]


class LimitedLabels:
    """Baseline, pretrained, interactive and both over the number of labelled patients."""

    name = "limited-labels"
    paper = "003"
    shows = "What helps when few patients are labelled: pretraining without labels, a click, or both?"
    minutes: Mapping[Scale, float] = {"smoke": 0.8, "quick": 15, "paper": 1500}
    notes = (
        "Pretraining sees the images of all training patients, the labelled among them; never those of validation or "
        "test.",
        "Both interactive arms get one click a slice when they are tested, on the innermost point of the true bone: an "
        "advantage by design, as in the paper.",
        "The best validation Dice chooses the weights; patients of test take no part.",
        "Patches are drawn once for each slice and then shuffled, where the paper draws them anew in each step.",
        "Slices are scored whole, in pixels of the frame. The previous output is the interactive network's sixth "
        "input, as the paper's future work asks; it is empty at the only click.",
    )

    def needs(self, scale: Scale) -> tuple[Need, ...]:
        plan = _plan(scale)
        return (
            Need(
                ROLE, "CT scanner X", "bone",
                {"task": "bone", "instrument": "X", "patients": [0, plan.patients], "slices": plan.slices, "seed": 0},
                {
                    "recipe": {"name": "ct", "size": plan.size},
                    "split": {"initial": (79, 10, 11)},
                    "static_augmentation": {"copies": 0},
                },
            ),
        )  # fmt: skip

    def cells(self, scale: Scale, seeds: int) -> tuple[Cell, ...]:
        plan = _plan(scale)
        common = {
            "model": dict(plan.model), "train": dict(plan.train), "pretrain": dict(plan.pretrain),
            "patch": plan.patch, "patches": plan.patches,
        }  # fmt: skip
        return tuple(
            Cell(
                title=f"{arm}, {count} patients, seed {seed}",
                roles=(ROLE,),
                structure=STRUCTURE,
                settings={**common, "arm": arm, "patients": count, "seed": seed},
            )
            for seed, count, arm in product(range(seeds), plan.grid, ARMS)
        )

    def run_cell(self, cell: Cell, data: Mapping[str, Data], place: Place, reporter: Reporter) -> list[Row]:
        arm, count = cell.settings["arm"], int(cell.settings["patients"])
        clicked = arm in (INTERACTIVE, BOTH)
        everyone = frames(data[ROLE], STRUCTURE, Split.TRAIN)
        known = everyone.of(shuffle(everyone.patients, cell.seed)[:count])
        model = learning.build(cell.settings["model"], cell.seed, in_channels=6 if clicked else 3)
        if arm in (PRETRAINED, BOTH):
            _carry(model, _pretrained(cell, data[ROLE], place, reporter))
        objective = {"name": "interact", "max_clicks": 5, "begun": 0.0} if clicked else {"name": "segment"}
        learning.fit(
            model,
            {ROLE: patches(known, cell.settings["patch"], cell.settings["patches"], cell.seed).arrays},
            {**cell.settings["train"], "objective": objective},
            cell.seed,
            place.checkpoints,
            reporter,
            held_out={ROLE: frames(data[ROLE], STRUCTURE, Split.VALIDATION).arrays},
        )
        tested = frames(data[ROLE], STRUCTURE, Split.TEST)
        predict = one_click(model) if clicked else learning.predictor(model)
        rows = learning.scores(arm, predict, tested, cell.seed, x=float(count))
        if arm == BASELINE:
            rows += learning.constant_scores(known, tested, cell.seed, x=float(count))
        return rows

    def tables(self, rows: Sequence[Row]) -> tuple[Table, ...]:
        counts = sorted({row.x for row in rows if row.x is not None})
        dice = metric("dice")
        lines, gains = [], []
        for count in counts:
            own = {arm: chosen(rows, arm=arm, x=count) for arm in (*ARMS, CONSTANT)}
            told = PAPER.get(int(count), ())
            said = dict(zip(ARMS, told, strict=False))
            lines.append(
                Line(
                    f"{count:g}", tuple(Entry.of(mean(found, dice), said.get(arm)) for arm, found in own.items()), count
                )
            )
            less = [difference(own[arm], own[BASELINE], dice) for arm in ARMS[1:]]
            gains.append(Line(f"{count:g}", tuple(map(Entry.of, less)), count))
        return (
            Table(
                "dice", "Dice over labelled patients (003 table 1)", "Mean Dice over the test patients' slices.",
                "labelled patients", (*ARMS, CONSTANT), tuple(lines), (0, 1, 2, 3, 4), "Dice",
            ),
            Table(
                "gain", "Dice above the baseline", "Paired by patient.", "labelled patients", ARMS[1:], tuple(gains),
                (0, 1, 2), "Dice above the baseline",
            ),
        )  # fmt: skip

    def cuts(self, scale: Scale) -> tuple[str, ...]:
        if scale == "paper":
            return ()
        plan, full = _plan(scale), _plan("paper")
        return (
            f"{plan.train['steps']} steps of {plan.train['batch_size']} patches, for {full.train['steps']} of "
            f"{full.train['batch_size']}; {plan.pretrain['steps']} steps of pretraining, for {full.pretrain['steps']}",
            f"{', '.join(map(str, plan.grid))} labelled patients, for {', '.join(map(str, full.grid))}",
            f"{plan.patients} patients with {plan.slices} slices each, for {full.patients} with whole scans",
            f"a network of {plan.model['width']} channels that doubles to depth {plan.model['depth']}, for "
            f"{full.model['width']} to depth {full.model['depth']}; with batch norm, which few steps need",
            f"a learning rate of {plan.train['learning_rate']:g} that rises and falls, for a constant "
            f"{full.train['learning_rate']:g}; cross entropy and -log soft Dice, for cross entropy alone",
            f"patches of {plan.patch} pixels, for {full.patch}",
        )


def _plan(scale: Scale) -> Plan:
    paper = PRESETS["paper-003"].model_dump(mode="json")
    still = {"augment": learning.plain()}
    if scale == "paper":
        train = {
            **still, "loss": "bce", "batch_size": 32, "learning_rate": 1e-5, "schedule": "constant", "steps": 65_000,
            "validate_every": 500,
        }  # fmt: skip
        pretrain = {**train, "objective": {"name": "restore"}, "steps": 104_000, "validate_every": 104_000}
        return Plan(176, 96, 16, 89, 32, GRID, paper, train, pretrain)
    fast = {**still, "learning_rate": 3e-3, "schedule": "one-cycle"}
    small = {**paper, "batch_norm": True}
    if scale == "quick":
        return Plan(
            176, 96, 8, 89, 4, (1, 2, 5, 20), {**small, "width": 10}, _steps({**fast, "batch_size": 8}, 150, 50),
            _steps({**fast, "batch_size": 16, "objective": {"name": "restore"}}, 500, 500),
        )  # fmt: skip
    return Plan(
        96, 64, 4, 20, 3, (1, 6), {**small, "width": 8, "depth": 3}, _steps({**fast, "batch_size": 8}, 40, 40),
        _steps({**fast, "batch_size": 8, "objective": {"name": "restore"}}, 40, 40),
    )  # fmt: skip


def _steps(train: Mapping[str, Any], steps: int, every: int) -> dict[str, Any]:
    return {**train, "steps": steps, "validate_every": every}


def one_click(model: nn.Module) -> learning.Predict:
    """Masks of an interactive network after one click on the innermost point of the truth."""
    import torch

    from parfocal.training import hardware
    from parfocal.training.batches import to_input

    def predict(arrays: Arrays) -> NDArray[np.uint8]:
        height, width = arrays.mask.shape[1:]
        device = next(model.parameters()).device
        mixed = hardware.precision("auto", device) == "bf16-mixed"
        masks = []
        model.eval()
        for start in range(0, len(arrays), 16):
            rows = slice(start, start + 16)
            maps = np.stack([clicks.encode([clicks.first(mask)], height, width) for mask in arrays.mask[rows]])
            empty = np.zeros((len(maps), 1, height, width), np.float32)
            told = torch.from_numpy(np.concatenate([maps, empty], 1)).to(device)
            with torch.inference_mode(), torch.autocast(device.type, torch.bfloat16, enabled=mixed):
                logits = model(torch.cat([to_input(arrays.image[rows], device), told], 1))
            masks.append((logits[:, 0] >= 0).to(torch.uint8).cpu().numpy())
        return np.concatenate(masks)

    return predict


def _pretrained(cell: Cell, data: Data, place: Place, reporter: Reporter) -> dict[str, Any]:
    """Weights that restore distorted patches; the first cell of a seed that asks trains them."""
    own = cell.settings

    def make(folder: Path, work: Path) -> None:
        network = learning.build(own["model"], cell.seed, out_channels=3)
        pictures = patches(frames(data, STRUCTURE, Split.TRAIN), own["patch"], own["patches"], cell.seed)
        learning.keep(
            learning.fit(network, {ROLE: pictures.arrays}, own["pretrain"], cell.seed, work, reporter), folder
        )

    shared = {key: own[key] for key in ("model", "pretrain", "patch", "patches", "seed")}
    return learning.kept(place.once(shared, [ROLE], make))


def _carry(model: nn.Module, weights: Mapping[str, Any]) -> None:
    """Everything but the head, the decoder too, as in the paper; a click's channels begin at zero."""
    from parfocal.models import transfer

    transfer.load_body(model, weights)
