"""Paper 001, table 1: recursive U-Nets of different depth, width and increment ratio, on both instruments mixed.

`choose` applies the paper's rule: of architectures with similar results the one with the smallest increment ratio, and
so the fewest parameters.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import product

from parfocal.core.protocols import Reporter
from parfocal.core.types import Interval
from parfocal.studies import fundus, learning
from parfocal.studies.fundus import ROLES
from parfocal.studies.intervals import LEVEL, chosen, close_radius, difference, mean, metric, spread
from parfocal.studies.study import CONSTANT, Cell, Data, Need, Place, Row, Scale
from parfocal.studies.tables import Entry, Line, Table

Architecture = tuple[int, int, float]
"""Depth, width of the first level, increment ratio (D / W / IR)."""
PAPER: Mapping[Architecture, tuple[float, ...]] = {
    (5, 32, 1.5): (0.94, 0.91, 0.99, 0.69, 0.07, 95, 3.5),
    (5, 40, 1.2): (0.90, 0.79, 0.98, 0.64, 0.09, 95, 1.1),
    (6, 40, 1.3): (0.95, 0.91, 0.98, 0.64, 0.09, 96, 3.3),
    (6, 40, 1.1): (0.95, 0.91, 0.97, 0.59, 0.09, 95, 0.9),
    (7, 40, 1.2): (0.95, 0.92, 0.98, 0.61, 0.11, 97, 2.6),
    (7, 64, 1.3): (0.96, 0.94, 0.99, 0.62, 0.08, 97, 14),
}
"""Dice on training and test images; best, worst, standard deviation on test images; RRP; millions of parameters."""
COLUMNS = ("Dice, train", "Dice, test", "best", "worst", "std", "RRP", "million parameters")
SIMILAR = 0.03
"""Dice. Paper 001 takes 6/40/1.1 with .91 for similar to 7/64/1.3 with .94."""
STRUCTURE = "disc"


@dataclass(frozen=True, slots=True)
class Choice:
    """What the rule says.

    Attributes:
        chosen: name of the architecture.
        best: name of the one with the highest Dice.
        behind: by name, Dice of the best less that of the architecture, paired by patient; None for the best itself.
        similar: those that are surely no more than `SIMILAR` behind the best, the best among them.
    """

    chosen: str
    best: str
    behind: Mapping[str, Interval | None]
    similar: tuple[str, ...]

    @property
    def sentence(self) -> str:
        """For a person."""
        others = ", ".join(name for name in self.similar if name != self.chosen)
        rivals = f" among it and {others}" if others else ", the only one this good"
        return (
            f"{self.chosen}: the smallest increment ratio{rivals}. An architecture is similar to the best "
            f"({self.best}) when the {LEVEL:.0%} interval of what it is behind, paired by patient, ends at or below "
            f"{SIMILAR} Dice."
        )


class Architectures:
    """Six networks on the disc."""

    name = "architectures"
    paper = "001"
    shows = "How small may the network be?"
    minutes: Mapping[Scale, float] = {"smoke": 0.6, "quick": 15, "paper": 50}
    notes = (
        "Trained on both instruments mixed, tested on both together; the constant mask is each instrument's own.",
        "Nothing is chosen on held-out images; the papers choose and report on one and the same 25 %.",
    )

    def needs(self, scale: Scale) -> tuple[Need, ...]:
        return fundus.needs(_plan(scale))

    def cells(self, scale: Scale, seeds: int) -> tuple[Cell, ...]:
        plan = _plan(scale)
        fit = [one for one in PAPER if one[0] <= plan.depth]
        return tuple(
            Cell(
                title=f"{_name(one)}, seed {seed}",
                roles=ROLES,
                structure=STRUCTURE,
                settings={"name": _name(one), "model": plan.model(*one), "train": plan.training(), "seed": seed},
            )
            for seed, one in product(range(seeds), fit)
        )

    def run_cell(self, cell: Cell, data: Mapping[str, Data], place: Place, reporter: Reporter) -> list[Row]:
        seed, name = cell.seed, cell.settings["name"]
        learned = {role: fundus.learned(data[role], STRUCTURE) for role in ROLES}
        model = learning.build(cell.settings["model"], seed)
        sources = {role: one.arrays for role, one in learned.items()}
        learning.fit(model, sources, cell.settings["train"], seed, place.checkpoints, reporter)
        size = learning.parameters(cell.settings["model"]) / 1e6
        predict, rows = learning.predictor(model), []
        for role in ROLES:
            tested = fundus.tested(data[role], STRUCTURE)
            rows += learning.scores(name, predict, learned[role].cases(), seed, x=size, side="train")
            rows += learning.scores(name, predict, tested, seed, x=size)
            rows += learning.constant_scores(learned[role], learned[role].cases(), seed, side="train")
            rows += learning.constant_scores(learned[role], tested, seed)
        return rows

    def tables(self, rows: Sequence[Row]) -> tuple[Table, ...]:
        names = [_name(one) for one in PAPER if chosen(rows, arm=_name(one))]
        told = {_name(one): said for one, said in PAPER.items()}
        lines = tuple(_line(chosen(rows, arm=name), name, told.get(name)) for name in (*names, CONSTANT))
        table = Table(
            "architectures", "Disc by architecture (001 table 1)",
            "D / W / IR: poolings, channels of the first level, ratio of neighbouring levels' widths. RRP: percentage "
            "of test images whose radius is within 10 %.", "D/W/IR", COLUMNS, lines, (1,), "Dice",
        )  # fmt: skip
        return table, _choice_table(choose(rows))

    def cuts(self, scale: Scale) -> tuple[str, ...]:
        return fundus.cuts(scale, _plan(scale), _plan("paper"))


def choose(rows: Sequence[Row]) -> Choice:
    """Apply the paper's rule to the scores on test images.

    With too few patients for an interval, none but the best is similar: what was not shown is not assumed.

    Raises:
        ValueError: no architecture was scored.
    """
    tested = {_name(one): found for one in PAPER if (found := chosen(rows, arm=_name(one), side="test"))}
    if not tested:
        raise ValueError("no architecture was scored")
    means = {name: float(sum(r.metrics["dice"] for r in found) / len(found)) for name, found in tested.items()}
    best = max(means, key=lambda name: means[name])
    behind = {
        name: None if name == best else difference(tested[best], found, metric("dice"))
        for name, found in tested.items()
    }
    similar = [name for name, gap in behind.items() if name == best or (gap is not None and gap.high <= SIMILAR)]
    sizes = {name: found[0].x or 0.0 for name, found in tested.items()}
    smallest = min(similar, key=lambda name: (float(name.rsplit("/", 1)[1]), sizes[name]))
    return Choice(smallest, best, behind, tuple(similar))


def _plan(scale: Scale) -> fundus.Protocol:
    return fundus.protocol(scale, batch=96, epoch=100, learning_rate=8e-4)


def _name(one: Architecture) -> str:
    return "/".join(map(str, one))


def _line(rows: Sequence[Row], name: str, told: Sequence[float] | None) -> Line:
    train, test = chosen(rows, side="train"), chosen(rows, side="test")
    best, worst, sd = spread(test)
    said: Sequence[float | None] = told or (None,) * len(COLUMNS)
    size = test[0].x if name != CONSTANT else None
    return Line(
        name,
        (
            Entry.of(mean(train, metric("dice")), said[0]),
            Entry.of(mean(test, metric("dice")), said[1]),
            Entry(best, paper=said[2]),
            Entry(worst, paper=said[3]),
            Entry(sd, paper=said[4]),
            Entry.of(mean(test, close_radius), said[5], digits=0),
            Entry(size, paper=said[6], digits=2),
        ),
    )


def _choice_table(choice: Choice) -> Table:
    lines = []
    for name, gap in choice.behind.items():
        entries = Entry.of(gap), Entry(float(name in choice.similar), digits=0)
        lines.append(Line(name + (", chosen" if name == choice.chosen else ""), entries))
    heads = ("Dice behind the best", "similar (1: yes)")
    return Table("choice", "The smallest that will do", choice.sentence, "D/W/IR", heads, tuple(lines))
