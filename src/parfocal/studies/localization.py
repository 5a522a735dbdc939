"""Paper 004, figure 2: an encoder that first learned to say where the disc is, against one that starts from nothing.

Centre points are cheap: many images have one. Masks are dear: the fewer, the more the points are worth. The encoder is
frozen after localisation, a decoder with skips is added and trained on a part of the masks; the rival trains all of the
same network on the same masks. Five folds, paired by patient.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from parfocal.core.protocols import Reporter
from parfocal.core.types import Split
from parfocal.models.presets import PRESETS
from parfocal.studies import learning
from parfocal.studies.frames import LEARNED, Frames, centred, folds, frames, shuffle
from parfocal.studies.intervals import chosen, difference, differences, mean, metric
from parfocal.studies.study import CONSTANT, Cell, Data, Need, Place, Row, Scale
from parfocal.studies.tables import Entry, Line, Table

if TYPE_CHECKING:
    from torch import nn

MASKS, POINTS = "masks", "points"
RANDOM, LOCALIZED, THAWED = "random weights", "localisation first", "localisation first, not frozen"
LOCALIZER = "localiser"
STRUCTURE = "disc"
DICE = {RANDOM: 0.84, LOCALIZED: 0.88}
"""With all masks."""
P = {100: 1.13e-2, 90: 3.5e-3, 80: 2.37e-4, 70: 1.51e-3, 60: 2.5e-8, 50: 2e-5, 40: 4.95e-8, 30: 1.39e-4, 20: 1.75e-6,
     10: 3.97e-12}  # fmt: skip
"""Figure 2 b: percent of the masks to the p-value of the paired t-test."""
SQUARED = 206.15
"""Mean squared error of a coordinate on the paper's test images, in square pixels of its own, unstated frame."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What a scale does.

    Attributes:
        size: of the frame in pixels.
        images: simulated with masks, and with points.
        fractions: percent of the training masks.
        model, train, pretrain: settings.
    """

    size: int
    images: tuple[int, int]
    fractions: tuple[int, ...]
    folds: int
    model: Mapping[str, Any]
    train: Mapping[str, Any]
    pretrain: Mapping[str, Any]


class Localization:
    """Dice over the part of the masks, with localisation first and from random weights."""

    name = "localization"
    paper = "004"
    shows = "How many masks does an encoder save that first learned to find the disc's centre?"
    minutes: Mapping[Scale, float] = {"smoke": 0.7, "quick": 15, "paper": 60}
    notes = (
        "The frozen split is not used for the masks: five folds by patient take its place, as in the paper.",
        "Where a data set for localisation has masks and no points, the masks' centroids are its points.",
        "All arms have the same network, masks, order of batches and settings. The paper freezes the encoder; what it "
        "gives when it is not frozen is beside it.",
        "The paper names no augmentation: here mild shifts, turns and zooms, and flips.",
        "p: two-sided paired t-test over patients of all folds, each patient's Dice the mean over seeds.",
        "The paper's squared error is in pixels of a frame whose size it does not state.",
    )

    def needs(self, scale: Scale) -> tuple[Need, ...]:
        plan = _plan(scale)
        settings = {
            "recipe": {"name": "retcam", "size": plan.size},
            "split": {"initial": (70, 5, 25)},
            "static_augmentation": {"copies": 0},
        }
        return tuple(
            Need(
                role, f"camera R, {role}", "fundus",
                {"instrument": "R", "patients": [first, count], "seed": 4, "points_only": role == POINTS}, settings,
            )
            for role, first, count in zip((MASKS, POINTS), (0, 10_000), plan.images, strict=True)
        )  # fmt: skip

    def cells(self, scale: Scale, seeds: int) -> tuple[Cell, ...]:
        plan, roles = _plan(scale), (MASKS, POINTS)
        common = {"model": dict(plan.model), "train": dict(plan.train), "pretrain": dict(plan.pretrain)}
        found = []
        for seed in range(seeds):
            found.append(Cell(f"localiser, seed {seed}", roles, STRUCTURE, {**common, "kind": LOCALIZER, "seed": seed}))
            found += [
                Cell(
                    title=f"{part} % of the masks, fold {fold + 1}, seed {seed}",
                    roles=roles,
                    structure=STRUCTURE,
                    settings={**common, "part": part, "fold": fold, "folds": plan.folds, "seed": seed},
                )
                for part, fold in product(plan.fractions, range(plan.folds))
            ]
        return tuple(found)

    def run_cell(self, cell: Cell, data: Mapping[str, Data], place: Place, reporter: Reporter) -> list[Row]:
        weights = _localizer(cell, data[POINTS], place, reporter)
        if cell.settings.get("kind") == LOCALIZER:
            return _distances(cell, data[POINTS], weights)
        learned, tested = _fold(cell, data[MASKS])
        part = float(cell.settings["part"])
        rows = learning.constant_scores(learned, tested, cell.seed, x=part)
        for number, arm in enumerate((RANDOM, LOCALIZED, THAWED)):
            model = learning.build(cell.settings["model"], cell.seed)
            if arm != RANDOM:
                _carry(model, weights, frozen=arm == LOCALIZED)
            sources, folder = {MASKS: learned.arrays}, place.checkpoints / str(number)
            learning.fit(model, sources, cell.settings["train"], cell.seed, folder, reporter)
            rows += learning.scores(arm, learning.predictor(model), tested, cell.seed, x=part)
        return rows

    def tables(self, rows: Sequence[Row]) -> tuple[Table, ...]:
        parts = sorted({row.x for row in chosen(rows, arm=RANDOM) if row.x is not None}, reverse=True)
        main = Table(
            "dice", "Dice over the part of the masks (004 figure 2)",
            "Mean Dice over the test images of all folds. The difference, paired by patient, is that of the first two.",
            "% of the training masks", (RANDOM, LOCALIZED, "difference", "p", THAWED, CONSTANT),
            tuple(_line(chosen(rows, x=part), part) for part in parts), (0, 1, 4, 5), "Dice",
        )  # fmt: skip
        return main, _distance_table(rows)

    def cuts(self, scale: Scale) -> tuple[str, ...]:
        plan, full = _plan(scale), _plan("paper")
        said = []
        if scale != "paper":
            said += [
                f"{plan.images[0]} simulated images with masks and {plan.images[1]} with points, for {full.images[0]} "
                f"and {full.images[1]}",
                f"{', '.join(map(str, plan.fractions))} % of the masks, for every ten",
                f"a smaller network ({plan.model['width']} channels, not {full.model['width']}), "
                f"{plan.train['steps']} steps, for {full.train['steps']}",
            ]
            said += [f"{plan.folds} folds, for {full.folds}"] if plan.folds < full.folds else []
        return tuple(said)


def _plan(scale: Scale) -> Plan:
    paper = PRESETS["paper-004"].model_dump(mode="json")
    # The paper names no augmentation. The papers 000 and 001 have one under which a centre may lie almost anywhere.
    mild = {"rotation": 10.0, "shift": 0.05, "zoom": (0.9, 1.1)}
    train = {"loss": "soft_dice", "batch_size": 16, "learning_rate": 1e-3, "augment": mild}
    seek = {**train, "objective": {"name": "localize"}, "optimizer": "rmsprop", "batch_size": 32}
    if scale == "paper":
        return Plan(
            128, (92, 9047), tuple(range(100, 0, -10)), 5, paper, _steps(train, 800), _steps(seek, 6000)
        )  # fmt: skip
    small = {**paper, "depth": 4, "increment": 1.6, "dropout": 0.1}
    few = {**train, "batch_size": 8, "learning_rate": 3e-3}
    if scale == "quick":
        return Plan(
            128, (60, 800), (100, 30, 10), 5, {**small, "width": 12}, _steps(few, 120),
            _steps({**seek, "batch_size": 16}, 800),
        )  # fmt: skip
    return Plan(
        64, (16, 40), (100, 50), 2, {**small, "width": 8}, _steps(few, 40), _steps({**seek, "batch_size": 16}, 80)
    )


def _steps(train: Mapping[str, Any], steps: int) -> dict[str, Any]:
    return {**train, "steps": steps, "validate_every": steps}


def _fold(cell: Cell, data: Data) -> tuple[Frames, Frames]:
    """What is learned from, a part of the other folds' patients, and what is tested."""
    whole = frames(data, STRUCTURE)
    dealt = folds(whole.patients, cell.settings["folds"], seed=0)
    held = dealt[cell.settings["fold"]]
    others = shuffle(set(whole.patients) - held, cell.seed)
    count = max(1, round(len(others) * cell.settings["part"] / 100))
    return whole.of(others[:count]), whole.of(held)


def _localizer(cell: Cell, data: Data, place: Place, reporter: Reporter) -> dict[str, Any]:
    """Weights of the localiser of the cell's seed; the first cell that asks trains it."""
    pretrain, model = cell.settings["pretrain"], cell.settings["model"]

    def make(folder: Path, work: Path) -> None:
        network = learning.build({**model, "name": "localizer"}, cell.seed)
        arrays = centred(data, STRUCTURE, *LEARNED).arrays
        learning.keep(learning.fit(network, {POINTS: arrays}, pretrain, cell.seed, work, reporter), folder)

    settings = {"part": LOCALIZER, "pretrain": pretrain, "model": model, "seed": cell.seed}
    return learning.kept(place.once(settings, [POINTS], make))


def _carry(model: nn.Module, weights: Mapping[str, Any], *, frozen: bool) -> None:
    from parfocal.models import transfer

    names = transfer.load_encoder(model, weights)
    if frozen:
        transfer.freeze(model, names)


def _distances(cell: Cell, data: Data, weights: Mapping[str, Any]) -> list[Row]:
    """How far the localiser is off on test images, and the mean training point, which sees no image."""
    import torch

    from parfocal.training.batches import to_input

    tested = centred(data, STRUCTURE, Split.TEST)
    truth, learned = tested.arrays, centred(data, STRUCTURE, *LEARNED).arrays
    network = learning.build({**cell.settings["model"], "name": "localizer"}, cell.seed).eval()
    network.load_state_dict(weights)
    with torch.inference_mode():
        answers = [network(to_input(truth.image[i : i + 32], torch.device("cpu"))) for i in range(0, len(truth), 32)]
    flat = np.broadcast_to(learned.points.mean(axis=0), truth.points.shape)
    rows = []
    for arm, said in ((LOCALIZER, torch.cat(answers).float().numpy()), (CONSTANT, flat)):
        off = (said - truth.points) * truth.image.shape[1]
        for place in range(len(truth)):
            found = {"distance": float(np.hypot(*off[place])), "squared": float(np.square(off[place]).mean())}
            rows.append(
                Row(
                    arm=arm, role=data.role, data=data.label, structure=STRUCTURE, seed=cell.seed,
                    case=truth.case_ids[place], patient=tested.patients[place], metrics=found,
                )
            )  # fmt: skip
    return rows


def _line(rows: Sequence[Row], part: float) -> Line:
    dice = metric("dice")
    ours, theirs = chosen(rows, arm=LOCALIZED), chosen(rows, arm=RANDOM)
    told = DICE if part == 100 else {}
    changes = differences(ours, theirs, dice)
    return Line(
        f"{part:g}",
        (
            Entry.of(mean(theirs, dice), told.get(RANDOM)),
            Entry.of(mean(ours, dice), told.get(LOCALIZED)),
            Entry.of(difference(ours, theirs, dice)),
            Entry(p_value(changes), paper=P.get(int(part)), small=True),
            Entry.of(mean(chosen(rows, arm=THAWED), dice)),
            Entry.of(mean(chosen(rows, arm=CONSTANT), dice)),
        ),
        x=part,
    )


def p_value(changes: NDArray[np.float64]) -> float | None:
    """Of the paired t-test that the mean difference is 0; None below two patients or without any difference."""
    from scipy.stats import ttest_1samp

    if len(changes) < 2 or np.ptp(changes) == 0:
        return None
    return float(ttest_1samp(changes, 0.0).pvalue)


def _distance_table(rows: Sequence[Row]) -> Table:
    found = [row for row in rows if "distance" in row.metrics]
    lines = []
    for name, arm, told in (("localiser", LOCALIZER, SQUARED), ("mean training point", CONSTANT, None)):
        own = chosen(found, arm=arm)
        lines.append(
            Line(
                name,
                (
                    Entry.of(mean(own, metric("distance")), digits=2),
                    Entry.of(mean(own, metric("squared")), told, digits=2),
                ),
            )
        )
    return Table(
        "localiser", "How far the localiser is off",
        "On test images, in pixels of the frame: Euclidean distance, and squared error of a coordinate.",
        "", ("distance", "squared error"), tuple(lines),
    )  # fmt: skip
