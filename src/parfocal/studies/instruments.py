"""Papers 000 and 001: what a network learned at one instrument is worth at another, and what a short retraining does.

Three ways of training a structure: at one instrument and then, for three epochs, at the other (either way round), or at
both together. Every network is tested at both.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import product

from parfocal.core.protocols import Reporter
from parfocal.evaluation.constant import skill
from parfocal.studies import fundus, learning
from parfocal.studies.fundus import ROLES
from parfocal.studies.intervals import Measure, chosen, close_radius, mean, metric, spread
from parfocal.studies.study import CONSTANT, Cell, Data, Need, Place, Row, Scale
from parfocal.studies.tables import Entry, Line, Table

STRUCTURES = ("disc", "cup")
ONE, OTHER, MIXED, FORTH, BACK = "first alone", "second alone", "mixed", "first, then second", "second, then first"
ARMS = (ONE, OTHER, MIXED, FORTH, BACK, CONSTANT)
ORDERS = {"first": (ONE, FORTH), "second": (OTHER, BACK)}
"""By where a chain starts: the arm before the retraining and the arm after it."""
RETRAINING = 3
"""Epochs (paper 001)."""

Places = tuple[str, str]
"""Structure and role: a column."""
COLUMNS: tuple[Places, ...] = tuple(product(STRUCTURES, ROLES))
DICE = {ONE: (0.98, 0.50, 0.98, 0.42), OTHER: (0.66, 0.97, 0.61, 0.96), MIXED: (0.96, 0.87, 0.94, 0.82)}
"""Paper 000, table 1; its disc columns are paper 001, table 2."""
CLOSE = {ONE: (100, 38, 100, 0), OTHER: (62, 100, 0, 95), MIXED: (100, 82, 100, 54)}
"""Paper 000, table 2; paper 001, table 3."""
RETRAINED = {ONE: (0.98, 0.64, None), FORTH: (0.89, 0.80, 0.69)}
"""Paper 001, table 4, disc: both instruments, and the worst image of all."""


class Instruments:
    """Single, mixed and incremental training on two instruments, disc and cup."""

    name = "instruments"
    paper = "000, 001"
    shows = "Does a network carry over from one instrument to another, trained alone, mixed, or retrained?"
    minutes: Mapping[Scale, float] = {"smoke": 0.7, "quick": 15, "paper": 45}
    notes = (
        "The cup's frame is the true disc's box and 10 %: it was made with the truth's help, as in the papers.",
        "The constant mask of an instrument is made of its own training masks, and given for every image unseen.",
        "Nothing is chosen on held-out images: 75 % of the patients are learned from, the last weights are tested on "
        "the other 25 %. The papers choose and report on one and the same 25 %.",
        "The papers name no loss: here the sum of cross entropy and -log soft Dice.",
        "The papers' instruments are DRISHTI-GS and RIM-ONE, the second of which is cropped about the disc: their "
        "columns are comparable only where the data sets given here are those.",
    )

    def needs(self, scale: Scale) -> tuple[Need, ...]:
        return fundus.needs(_plan(scale))

    def cells(self, scale: Scale, seeds: int) -> tuple[Cell, ...]:
        plan = _plan(scale)
        common = {
            "model": plan.model(6, 40, 1.1),
            "train": plan.training(),
            "retrain": plan.training(RETRAINING, rate=1.0 if scale == "paper" else 0.3),
        }
        return tuple(
            Cell(
                title=f"{structure}, {start if start == MIXED else ' then '.join(_order(start))}, seed {seed}",
                roles=ROLES,
                structure=structure,
                settings={**common, "start": start, "structure": structure, "seed": seed},
            )
            for seed, structure, start in product(range(seeds), STRUCTURES, (*ROLES, MIXED))
        )

    def run_cell(self, cell: Cell, data: Mapping[str, Data], place: Place, reporter: Reporter) -> list[Row]:
        start, seed, structure = cell.settings["start"], cell.seed, cell.structure
        learned = {role: fundus.learned(data[role], structure) for role in ROLES}
        tested = {role: fundus.tested(data[role], structure) for role in ROLES}
        model = learning.build(cell.settings["model"], seed)

        def score(arm: str) -> list[Row]:
            predict = learning.predictor(model)
            return [row for role in ROLES for row in learning.scores(arm, predict, tested[role], seed)]

        def fit(roles: Sequence[str], train: str) -> None:
            sources = {role: learned[role].arrays for role in roles}
            folder = place.checkpoints / train
            learning.fit(model, sources, cell.settings[train], seed, folder, reporter)

        if start == MIXED:
            fit(ROLES, "train")
            flat = [learning.constant_scores(learned[role], tested[role], seed) for role in ROLES]
            return score(MIXED) + flat[0] + flat[1]
        before, after = ORDERS[start]
        one, other = _order(start)
        fit([one], "train")
        rows = score(before)
        fit([other], "retrain")
        return rows + score(after)

    def tables(self, rows: Sequence[Row]) -> tuple[Table, ...]:
        names = {role: next((row.data for row in rows if row.role == role), role) for role in ROLES}
        columns = tuple(place for place in COLUMNS if chosen(rows, structure=place[0], role=place[1]))
        heads = tuple(f"{structure}, {names[role]}" for structure, role in columns)

        def table(name: str, title: str, caption: str, measure: Measure, paper: Mapping[str, Sequence[float]]) -> Table:
            digits = 0 if measure is close_radius else 3
            lines = []
            for arm in ARMS:
                said = dict(zip(COLUMNS, paper.get(arm, (None,) * len(COLUMNS)), strict=True))
                found = [(place, chosen(rows, arm=arm, structure=place[0], role=place[1])) for place in columns]
                entries = tuple(Entry.of(mean(own, measure), said[place], digits) for place, own in found)
                lines.append(Line(_named(arm, names), entries))
            unit = "% of images" if digits == 0 else "Dice"
            return Table(name, title, caption, "trained at", heads, tuple(lines), tuple(range(len(heads))), unit)

        return (
            table(
                "dice", "Dice (000 table 1, 001 table 2)", "Mean Dice over the test images of each instrument.",
                metric("dice"), DICE,
            ),
            table(
                "rrp10", "Images with a radius error below 10 % (000 table 2, 001 table 3)",
                "Percentage of test images whose mean radius, sqrt(area / pi), is within 10 % of the true one.",
                close_radius, CLOSE,
            ),
            _retraining(rows, names),
            _skill(rows, columns, heads, names),
        )  # fmt: skip

    def cuts(self, scale: Scale) -> tuple[str, ...]:
        return fundus.cuts(scale, _plan(scale), _plan("paper"))


def _plan(scale: Scale) -> fundus.Protocol:
    return fundus.protocol(scale, batch=120, epoch=150, learning_rate=7.5e-4)


def _order(start: str) -> tuple[str, str]:
    return ("first", "second") if start == "first" else ("second", "first")


def _named(arm: str, names: Mapping[str, str]) -> str:
    for role, name in names.items():
        arm = arm.replace(role, name)
    return arm


def _retraining(rows: Sequence[Row], names: Mapping[str, str]) -> Table:
    """R of both orders, as paper 001's table 4 has one of them: what is gained at the new, lost at the old."""
    lines = []
    for structure in STRUCTURES:
        for arm in (ONE, FORTH, OTHER, BACK):
            cells = [chosen(rows, arm=arm, structure=structure, role=role) for role in ROLES]
            if not all(cells):
                continue
            said = RETRAINED.get(arm, (None,) * 3) if structure == "disc" else (None,) * 3
            means = [Entry.of(mean(own, metric("dice")), told) for own, told in zip(cells, said, strict=False)]
            worst = Entry(min(spread(own)[1] for own in cells), paper=said[2])
            lines.append(Line(f"{structure}, {_named(arm, names)}", (*means, worst)))
    return Table(
        name="retraining",
        title="Before and after three epochs at the other instrument (001 table 4)",
        caption="Dice at both instruments before and after. Forgetting is the loss in the column of the instrument "
        "that was learned first (the last row of R less its diagonal). The worst image is that of all tests, its mean "
        "over seeds. Paper 001 tests the first network on all of its second data set, here it is the held-out quarter.",
        head="trained at",
        columns=(names["first"], names["second"], "worst image"),
        lines=tuple(lines),
    )


def _skill(rows: Sequence[Row], columns: Sequence[Places], heads: tuple[str, ...], names: Mapping[str, str]) -> Table:
    """What is added over the constant mask."""

    def entry(arm: str, place: Places) -> Entry:
        both = [
            mean(chosen(rows, arm=one, structure=place[0], role=place[1]), metric("dice")) for one in (arm, CONSTANT)
        ]
        if both[0] is None or both[1] is None:
            return Entry()
        return Entry(skill(both[0].estimate, both[1].estimate))

    lines = tuple(Line(_named(arm, names), tuple(entry(arm, place) for place in columns)) for arm in ARMS[:-1])
    caption = "(Dice - constant) / (1 - constant): 1 is perfect, 0 is no better than one mask for every image."
    return Table("skill", "Skill over the constant mask", caption, "trained at", heads, lines)
