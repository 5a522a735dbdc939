"""Several instruments, one after another: what each strategy learns, and what it keeps.

Two questions. A sequence of four instruments: a champion is taught one after another, and after each every one is
tested: the whole matrix R. And the papers' own: trained at the first, briefly retrained at the second (paper 001 kept
.89 and reached .80), here with as many labelled cases of the second as a clinic has: 5, 10, 20, all.

Every strategy stands beside fine-tuning (the papers' method, the lower bound) and joint training on all data (the upper
bound), from the same weights, with the same memory and steps, through the function that `parfocal retrain` calls.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from parfocal.core.protocols import Reporter
from parfocal.core.types import Interval, Split
from parfocal.preprocessing.shards import UNKNOWN
from parfocal.studies import learning
from parfocal.studies.frames import Frames, frames
from parfocal.studies.intervals import chosen, difference, mean, metric
from parfocal.studies.study import CONSTANT, Cell, Data, Need, Place, Row, Scale
from parfocal.studies.tables import Entry, Line, Table

if TYPE_CHECKING:
    from torch import nn

    from parfocal.preprocessing.shards import Arrays
    from parfocal.steps.learning import Learner

ROLES = ("first", "second", "third", "fourth")
OLDER = len(ROLES) - 1
"""Instruments that have been learned before the last one."""
CAMERAS = ("A", "B", "C", "D")
FINETUNE, REPLAY, JOINT = "finetune", "replay", "joint"
STRATEGIES = (FINETUNE, "ewc", "lwf", REPLAY, "derpp", "instrument_norm", "bn_adapt", JOINT)
FIRST = "before"
"""The arm of the first model, before it is taught anything else."""
SEQUENCE, PAIR = "sequence", "pair"
TWO = "two: "
"""Before the arms of the pair, so that they are not taken for those of the sequence."""
HELD_OUT = 5
"""One in so many of a few labelled cases is for validation, as a clinic would have to do."""
PAPER = {FIRST: (0.98, 0.64), FINETUNE: (0.89, 0.80)}
"""Paper 001, table 4: at the first and at the second instrument, before and after a retrain of three epochs."""
DICE = metric("dice")


@dataclass(frozen=True, slots=True)
class Plan:
    """What a scale does.

    Attributes:
        size: of the frame in pixels.
        patients: simulated at each instrument.
        strategies: in the sequence, and with all labels of the pair.
        labels: labelled training cases of the second instrument; 0: all.
        structures: which are learned.
        model, train, retrain: settings.
        exemplars: cases that the memory keeps of an instrument.
    """

    size: int
    patients: int
    strategies: tuple[str, ...]
    labels: tuple[int, ...]
    structures: tuple[str, ...]
    model: Mapping[str, Any]
    train: Mapping[str, Any]
    retrain: Mapping[str, Any]
    exemplars: int = 20

    @property
    def counted(self) -> tuple[str, ...]:
        """Strategies that are tried with few labels."""
        return tuple(name for name in (FINETUNE, REPLAY, JOINT) if name in self.strategies)


class InTurn:
    """All strategies on four instruments in turn, and on two with few labels."""

    name = "sequence"
    paper = "001"
    shows = "What does a model keep of the instruments before, and what does it learn of the new one, by strategy?"
    minutes: Mapping[Scale, float] = {"smoke": 0.9, "quick": 25, "paper": 60}
    notes = (
        "Seed s decides the first weights, the order of batches, the exemplars, and the order of the instruments after "
        "the first model's own; the columns of R are places in that order.",
        "Weights and interpolation are chosen on validation cases of all instruments; what is reported is the frozen "
        "test cases, which nobody chose on.",
        "Joint training sees every training case of every instrument so far: an upper bound that keeps all patients' "
        "images. Fine-tuning sees the new ones alone. All others see the new ones and 20 exemplars an instrument.",
        "bn_adapt sees no label of the new instrument; instrument_norm is asked with the true instrument's name.",
        "Paper 001's figures are of DRISHTI-GS and RIM-ONE, and comparable only where those are the data.",
    )

    def needs(self, scale: Scale) -> tuple[Need, ...]:
        plan = _plan(scale)
        settings = {"recipe": {"size": plan.size}, "split": {"initial": (60, 15, 25), "new_instrument": (60, 15, 25)}}
        return tuple(
            Need(
                role=role,
                label=f"camera {camera}",
                task="fundus",
                phantom={"instrument": camera, "patients": [1000 * place, plan.patients], "seed": 0},
                settings=settings,
            )
            for place, (role, camera) in enumerate(zip(ROLES, CAMERAS, strict=True))
        )

    def cells(self, scale: Scale, seeds: int) -> tuple[Cell, ...]:
        plan = _plan(scale)
        common = {
            "model": dict(plan.model), "train": dict(plan.train), "retrain": dict(plan.retrain),
            "exemplars": plan.exemplars,
        }  # fmt: skip
        found = []
        for seed, structure in product(range(seeds), plan.structures):
            shared = {**common, "structure": structure, "seed": seed}
            for strategy in plan.strategies:
                title = f"{structure}, {strategy}, four instruments, seed {seed}"
                settings = {**shared, "kind": SEQUENCE, "strategy": strategy, "order": order(seed)}
                found.append(Cell(title, ROLES, structure, settings))
            for strategy, labels in _pairs(plan):
                title = f"{structure}, {strategy}, {labels or 'all'} labels of the second, seed {seed}"
                settings = {**shared, "kind": PAIR, "strategy": strategy, "order": ROLES[:2], "labels": labels}
                found.append(Cell(title, ROLES[:2], structure, settings))
        return tuple(found)

    def run_cell(self, cell: Cell, data: Mapping[str, Data], place: Place, reporter: Reporter) -> list[Row]:
        return _Run(cell, data, place, reporter).rows()

    def tables(self, rows: Sequence[Row]) -> tuple[Table, ...]:
        rows = [row.model_copy(update={"patient": f"{row.role}/{row.patient}"}) for row in rows]
        found: list[Table] = []
        for structure in dict.fromkeys(row.structure for row in rows):
            own = chosen(rows, structure=structure)
            pair = [row.model_copy(update={"arm": row.arm[len(TWO) :]}) for row in own if row.arm.startswith(TWO)]
            in_turn = [row for row in own if not row.arm.startswith(TWO)]
            if chosen(in_turn, arm=FINETUNE):
                found += [_ends(structure, in_turn), _against(structure, in_turn), *_matrices(structure, in_turn)]
            if chosen(pair, arm=FINETUNE):
                found += [_paper(structure, pair), _labels(structure, pair)]
        return tuple(found)

    def cuts(self, scale: Scale) -> tuple[str, ...]:
        if scale == "paper":
            return ()
        plan, full = _plan(scale), _plan("paper")
        return (
            f"{plan.train['steps']} steps and {plan.retrain['steps']} a retrain, of {plan.train['batch_size']} images, "
            f"for {full.train['steps']} and {full.retrain['steps']} of {full.train['batch_size']}",
            f"frames of {plan.size} pixels, for {full.size}",
            f"{plan.patients} simulated patients an instrument, for {full.patients}",
            "a smaller network",
            *(() if plan.structures == full.structures else ("the cup",)),
            *(() if plan.strategies == full.strategies else (f"all strategies but {', '.join(plan.strategies)}",)),
        )


def order(seed: int) -> tuple[str, ...]:
    """The roles in the order in which they are learned."""
    return tuple(ROLES[place] for place in np.random.default_rng(seed).permutation(len(ROLES)))


def _pairs(plan: Plan) -> list[tuple[str, int]]:
    """Strategy and labels of the pair: all strategies with all labels, some with few."""
    few = [(name, labels) for labels in plan.labels if labels for name in plan.counted]
    return few + [(name, 0) for name in plan.strategies]


class _Run:
    """One cell: the first model, then one instrument after another by one strategy."""

    def __init__(self, cell: Cell, data: Mapping[str, Data], place: Place, reporter: Reporter) -> None:
        from parfocal.steps.config import RunConfig

        self.cell, self.data, self.place, self.reporter = cell, data, place, reporter
        said = cell.settings
        self.structure, self.strategy = str(said["structure"]), str(said["strategy"])
        self.order: tuple[str, ...] = tuple(said["order"])
        self.prefix = TWO if said["kind"] == PAIR else ""
        self.config = RunConfig.parse(
            {
                "seed": cell.seed,
                "model": said["model"],
                "train": said["train"],
                "retrain": {
                    "train": said["retrain"],
                    "strategy": {"name": self.strategy},
                    "exemplars": said["exemplars"],
                },
            }
        )
        self.tested = {role: frames(data[role], self.structure, Split.TEST) for role in self.order}

    def rows(self) -> list[Row]:
        from parfocal import models, strategies
        from parfocal.memory.buffer import Memory
        from parfocal.steps.lesson import Lesson, learn
        from parfocal.steps.remembering import remember

        if self._too_few():
            self.reporter.note(f"{self.cell.title}: there are not so many, so this is left out")
            return []
        first, learner = self.order[0], self._learner("first")
        seen = {first: self._sides(first)}
        network = self.place.once(self._first_settings(), [first], self._train_first)
        answers = {first: network}
        rows = self._shared_rows(network) if self.strategy == FINETUNE else []
        strategy = strategies.build(self.config.retrain.strategy)
        memory = Memory()

        def keep(role: str, model: nn.Module) -> Memory:
            learned = seen[role][0]
            patients = dict(zip(learned.arrays.case_ids, learned.patients, strict=True))
            return remember(
                memory, role, self.structure, model, learned.arrays, patients, self.config, learner.objective
            )

        memory = keep(first, models.load(network))
        for step, role in enumerate(self.order[1:], start=1):
            learner = self._learner(str(step))
            seen[role] = self._sides(role)
            lesson = Lesson(
                name=self.structure,
                instrument=role,
                new=self._new(seen[role][0]),
                held_out={name: held_out.arrays for name, (_, held_out) in seen.items()},
                source=network,
                newest=self.order[step - 1],
                past=memory.arrays(self.structure),
                datasets=lambda: {name: learned.arrays for name, (learned, _) in seen.items() if name != role},  # noqa: B023
                logits=memory.logits(self.structure),
                carried=memory.carried.get(self.structure, {}),
            )
            learned = learn(lesson, strategy, learner)
            network = self._kept(learned.model, step)
            answers = {**answers, role: network} if strategy.separate else dict.fromkeys(self.order, network)
            rows += self._scored(self.strategy, {**dict.fromkeys(self.order, network), **answers}, step)
            memory = keep(role, learned.model).with_carried(self.structure, learned.carried)
            if learned.logits:
                memory = memory.with_logits(self.structure, learned.logits)
        return rows

    def _first_settings(self) -> dict[str, Any]:
        said = self.cell.settings
        return {name: said[name] for name in ("model", "train", "structure", "seed")} | {"first": self.order[0]}

    def _train_first(self, folder: Path, checkpoints: Path) -> None:
        from parfocal import models

        learned, held_out = self._sides(self.order[0])
        model = learning.build(self.cell.settings["model"], self.cell.seed)
        learning.fit(
            model, {self.order[0]: learned.arrays}, self.cell.settings["train"], self.cell.seed, checkpoints,
            self.reporter, held_out={self.order[0]: held_out.arrays},
        )  # fmt: skip
        models.save(model, self.config.model.spec(), folder)

    def _learner(self, name: str) -> Learner:
        from parfocal.steps.learning import Learner

        return Learner(
            self.config, self.config.retrain.train, self.place.checkpoints / name, learning.Untracked(), self.reporter
        )

    def _kept(self, model: nn.Module, step: int) -> Path:
        from parfocal import models

        folder = self.place.checkpoints / f"network-{step}"
        models.save(model, self.config.model.spec(), folder)
        return folder

    def _sides(self, role: str) -> tuple[Frames, Frames]:
        """Training and validation frames; of a second instrument with few labels, as many as there are."""
        learned = frames(self.data[role], self.structure, Split.TRAIN)
        held_out = frames(self.data[role], self.structure, Split.VALIDATION)
        labels = int(self.cell.settings.get("labels", 0))
        if not labels or role == self.order[0]:
            return learned, held_out
        patients = tuple(dict.fromkeys(learned.patients))
        few = [patients[i] for i in np.random.default_rng([self.cell.seed, 7]).permutation(len(patients))[:labels]]
        out = max(1, labels // HELD_OUT)
        return learned.of(few[out:]), learned.of(few[:out]).cases()

    def _new(self, learned: Frames) -> Arrays:
        """What a strategy without labels sees has none."""
        if self.strategy != "bn_adapt":
            return learned.arrays
        return replace(learned.arrays, mask=np.full_like(learned.arrays.mask, UNKNOWN))

    def _shared_rows(self, network: Path) -> list[Row]:
        """What every strategy starts from, and the constant masks of all instruments."""
        rows = self._scored(FIRST, dict.fromkeys(self.order, network), 0)
        for role in self.order:
            learned = frames(self.data[role], self.structure, Split.TRAIN)
            found = learning.constant_scores(learned, self.tested[role], self.cell.seed, x=0.0)
            rows += [row.model_copy(update={"arm": self.prefix + CONSTANT}) for row in found]
        return rows

    def _scored(self, arm: str, answers: Mapping[str, Path], step: int) -> list[Row]:
        from parfocal import models

        place = float(step) if self.cell.settings["kind"] == SEQUENCE else self._labels()
        predict = {folder: learning.predictor(models.load(folder)) for folder in set(answers.values())}
        return [
            row
            for role in self.order
            for row in learning.scores(
                self.prefix + arm, predict[answers[role]], self.tested[role], self.cell.seed, x=place
            )
        ]

    def _too_few(self) -> bool:
        """Whether more labels are asked for than the second instrument has to learn from."""
        learned = frames(self.data[self.order[1]], self.structure, Split.TRAIN)
        return int(self.cell.settings.get("labels", 0)) > len(set(learned.patients))

    def _labels(self) -> float:
        said = int(self.cell.settings["labels"])
        return float(said or sum(len(set(side.patients)) for side in self._sides(self.order[1])))


def _at(rows: Sequence[Row], arm: str, step: int, places: Sequence[int]) -> list[Row]:
    """An arm's rows after a step, of the instruments at these places of the order; step 0 is the first model's."""
    own = chosen(rows, arm=arm if step else FIRST, x=float(step))
    return [row for row in own if order(row.seed).index(row.role) in places]


def _learned(rows: Sequence[Row], arm: str, places: Sequence[int]) -> list[Row]:
    """Each of these instruments in the step in which it was learned: the diagonal of R."""
    return [row for place in places for row in _at(rows, arm, place, [place])]


def _arms(rows: Sequence[Row]) -> list[str]:
    present = {row.arm for row in rows}
    return [name for name in STRATEGIES if name in present]


def _ends(structure: str, rows: Sequence[Row]) -> Table:
    every, older, newer = range(len(ROLES)), range(OLDER), range(1, len(ROLES))

    def line(arm: str) -> Line:
        end = _at(rows, arm, OLDER, every)
        lost = _difference(_learned(rows, arm, older), _at(rows, arm, OLDER, older))
        return Line(
            arm,
            (
                Entry.of(mean(end, DICE)),
                Entry.of(mean(_learned(rows, arm, newer), DICE)),
                Entry.of(mean(_at(rows, arm, OLDER, older), DICE)),
                Entry.of(lost),
                Entry(min((row.metrics["dice"] for row in end), default=None)),
            ),
        )

    constant = Entry.of(mean(chosen(rows, arm=CONSTANT), DICE))
    return Table(
        name=f"{structure}-sequence",
        title=f"{structure}: four instruments in turn",
        caption="Mean Dice. Learned: each new instrument right after it was learned (plasticity). Kept: the three "
        "older ones at the end (stability). Forgotten: what they lost since each was learned, paired by patient.",
        head="strategy",
        columns=("all at the end", "learned", "kept", "forgotten", "worst image at the end"),
        lines=(*map(line, _arms(rows)), Line(CONSTANT, (constant, Entry(), Entry(), Entry(), Entry()))),
        plot=(0, 1, 2),
        unit="Dice",
    )


def _against(structure: str, rows: Sequence[Row]) -> Table:
    every, older, newer = range(len(ROLES)), range(OLDER), range(1, len(ROLES))

    def less(arm: str, rival: str) -> tuple[Entry, ...]:
        found = [(_at(rows, one, OLDER, every), _learned(rows, one, newer), _at(rows, one, OLDER, older))
                 for one in (arm, rival)]  # fmt: skip
        return tuple(Entry.of(_difference(mine, theirs)) for mine, theirs in zip(*found, strict=True))

    lines = tuple(
        Line(f"{arm}, less {rival}", less(arm, rival))
        for arm in _arms(rows)
        for rival in (FINETUNE, JOINT)
        if arm != rival and rival in _arms(rows)
    )
    return Table(
        name=f"{structure}-against",
        title=f"{structure}: against fine-tuning and against joint training",
        caption="Differences of mean Dice, paired by patient, each patient's the mean over seeds; an interval that "
        "excludes 0 is a difference.",
        head="",
        columns=("all at the end", "learned", "kept"),
        lines=lines,
    )


def _matrices(structure: str, rows: Sequence[Row]) -> list[Table]:
    names = [f"place {place + 1}" for place in range(len(ROLES))]
    return [
        Table(
            name=f"{structure}-r-{arm}",
            title=f"{structure}: R of {arm}",
            caption="Mean Dice on the instrument at each place of the order (columns) after each step (lines).",
            head="after learning",
            columns=tuple(names),
            lines=tuple(
                Line(names[step], tuple(Entry.of(mean(_at(rows, arm, step, [place]), DICE)) for place in range(4)))
                for step in range(len(ROLES))
            ),
        )
        for arm in (FINETUNE, REPLAY, JOINT)
        if arm in _arms(rows)
    ]


def _paper(structure: str, rows: Sequence[Row]) -> Table:
    """Both instruments before and after, with all labels."""
    most = max(row.x or 0.0 for row in rows)
    before = [chosen(rows, arm=FIRST, role=role) for role in ROLES[:2]]
    joint = chosen(rows, arm=JOINT, role=ROLES[1], x=most)

    def line(arm: str) -> Line:
        ends = before if arm == FIRST else [chosen(rows, arm=arm, role=role, x=most) for role in ROLES[:2]]
        said = PAPER.get(arm, (None, None)) if structure == "disc" else (None, None)
        values = [Entry.of(mean(one, DICE), told) for one, told in zip(ends, said, strict=True)]
        kept = Entry.of(_difference(ends[0], before[0]))
        near = Entry() if arm == JOINT else Entry.of(_difference(ends[1], joint))
        return Line(arm, (*values, kept, near))

    constant = [Entry.of(mean(chosen(rows, arm=CONSTANT, role=role), DICE)) for role in ROLES[:2]]
    return Table(
        name=f"{structure}-pair",
        title=f"{structure}: trained at the first, retrained at the second (001 table 4)",
        caption="Mean Dice with all labels of the second. The aim: the first within 0.02 of before, the second within "
        "0.02 of joint training.",
        head="strategy",
        columns=("first", "second", "first, less before", "second, less joint"),
        lines=(*map(line, (FIRST, *_arms(rows))), Line(CONSTANT, (*constant, Entry(), Entry()))),
    )


def _labels(structure: str, rows: Sequence[Row]) -> Table:
    counts = sorted({row.x for row in rows if row.arm not in (FIRST, CONSTANT) and row.x})
    arms = [arm for arm in (FINETUNE, REPLAY, JOINT) if arm in _arms(rows)]
    places = [(arm, role) for arm in arms for role in ROLES[:2]]
    return Table(
        name=f"{structure}-labels",
        title=f"{structure}: labels of the second instrument against quality",
        caption="Mean Dice by the number of labelled cases of the second instrument; one in five of few is for "
        "validation.",
        head="labels",
        columns=tuple(f"{arm}, {role}" for arm, role in places),
        lines=tuple(
            Line(
                f"{count:.0f}",
                tuple(Entry.of(mean(chosen(rows, arm=arm, role=role, x=count), DICE)) for arm, role in places),
                x=count,
            )
            for count in counts
        ),
        plot=tuple(range(len(places))),
        unit="Dice",
    )


def _difference(ours: Sequence[Row], theirs: Sequence[Row]) -> Interval | None:
    return difference(ours, theirs, DICE) if ours and theirs else None


def _plan(scale: Scale) -> Plan:
    mild: dict[str, Any] = {"rotation": 30.0, "shift": 0.08, "zoom": (0.85, 1.2)}

    def training(steps: int, batch: int, rate: float) -> dict[str, Any]:
        return {
            "steps": steps, "batch_size": batch, "learning_rate": rate, "validate_every": max(1, steps // 3),
            "augment": mild,
        }  # fmt: skip

    if scale == "paper":
        model = dict[str, Any](depth=6, width=40, increment=1.1)
        labels, structures = (5, 10, 20, 0), ("disc", "cup")
        return Plan(128, 200, STRATEGIES, labels, structures, model, training(2250, 96, 8e-4), training(450, 96, 4e-4))
    if scale == "quick":
        model = dict[str, Any](depth=5, width=16, increment=1.2, dropout_at="none")
        return Plan(
            96, 80, STRATEGIES, (5, 10, 20, 0), ("disc",), model, training(240, 12, 3e-3), training(60, 12, 1e-3)
        )
    model = dict[str, Any](depth=4, width=12, increment=1.2, dropout_at="none")
    return Plan(
        64, 40, (FINETUNE, REPLAY, JOINT), (0,), ("disc",), model, training(150, 8, 3e-3), training(30, 8, 1.5e-3)
    )
