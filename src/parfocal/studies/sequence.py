"""Several instruments, one after another: what each strategy learns, and what it keeps.

Two questions. A sequence of four instruments: a champion is taught one after another, and after each every one is
tested: the whole matrix R. And the papers' own: trained at the first, briefly retrained at the second (paper 001 kept
.89 and reached .80), here with as many labelled cases of the second as a clinic has: 5, 10, 20, all.

Every strategy stands beside fine-tuning (the papers' method, the lower bound) and joint training on all data (the upper
bound), from the same weights, with the same memory and steps, through the function that `parfocal retrain` calls.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from parfocal.core.protocols import Reporter
from parfocal.core.types import Split
from parfocal.core.untracked import UntrackedRun
from parfocal.preprocessing.shards import UNKNOWN
from parfocal.studies import learning, sequence_tables
from parfocal.studies.frames import Frames, frames
from parfocal.studies.sequence_plan import pairs, plan_of
from parfocal.studies.sequence_tables import FINETUNE, FIRST, ROLES, TWO, order
from parfocal.studies.study import CONSTANT, Cell, Data, Need, Place, Row, Scale
from parfocal.studies.tables import Table

if TYPE_CHECKING:
    from torch import nn

    from parfocal.preprocessing.shards import Arrays
    from parfocal.steps.learning import Learner

CAMERAS = ("A", "B", "C", "D")
SEQUENCE, PAIR = "sequence", "pair"
HELD_OUT = 5
"""One in so many of a few labelled cases is for validation, as a clinic would have to do."""


class InTurn:
    """All strategies on four instruments in turn, and on two with few labels."""

    name = "sequence"
    paper = "001"
    shows = "What does a model keep of the instruments before, and what does it learn of the new one, by strategy?"
    minutes: Mapping[Scale, float] = {"smoke": 0.9, "quick": 25, "paper": 60}
    notes = (
        "Seed s decides the first weights, the order of batches, the exemplars, and in the sequence the order in which "
        "the instruments are learned; the columns of R are places in that order.",
        "Weights and interpolation are chosen on validation cases of all instruments; what is reported is the frozen "
        "test cases, which nobody chose on.",
        "Joint training sees every training case of every instrument so far: an upper bound that keeps all patients' "
        "images. Fine-tuning sees the new ones alone. All others see the new ones and 20 exemplars an instrument.",
        "bn_adapt sees no label of the new instrument; instrument_norm is asked with the true instrument's name.",
        "Paper 001's figures are of DRISHTI-GS and RIM-ONE, and comparable only where those are the data.",
    )

    def needs(self, scale: Scale) -> tuple[Need, ...]:
        plan = plan_of(scale)
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
        plan = plan_of(scale)
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
            for strategy, labels in pairs(plan):
                title = f"{structure}, {strategy}, {labels or 'all'} labels of the second, seed {seed}"
                settings = {**shared, "kind": PAIR, "strategy": strategy, "order": ROLES[:2], "labels": labels}
                found.append(Cell(title, ROLES[:2], structure, settings))
        return tuple(found)

    def run_cell(self, cell: Cell, data: Mapping[str, Data], place: Place, reporter: Reporter) -> list[Row]:
        return _Run(cell, data, place, reporter).rows()

    def tables(self, rows: Sequence[Row]) -> tuple[Table, ...]:
        return sequence_tables.tables(rows)

    def cuts(self, scale: Scale) -> tuple[str, ...]:
        if scale == "paper":
            return ()
        plan, full = plan_of(scale), plan_of("paper")
        return (
            f"{plan.train['steps']} steps and {plan.retrain['steps']} a retrain, of {plan.train['batch_size']} images, "
            f"for {full.train['steps']} and {full.retrain['steps']} of {full.train['batch_size']}",
            f"frames of {plan.size} pixels, for {full.size}",
            f"{plan.patients} simulated patients an instrument, for {full.patients}",
            "a smaller network",
            *(() if plan.structures == full.structures else ("the cup",)),
            *(() if plan.strategies == full.strategies else (f"all strategies but {', '.join(plan.strategies)}",)),
        )


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
        rows = self._shared_rows(network) if self.strategy == FINETUNE else []
        strategy = strategies.build(self.config.retrain.strategy)
        own = {first: network} if strategy.separate else {}
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
            earlier = {name: learned.arrays for name, (learned, _) in seen.items()}
            seen[role] = self._sides(role)
            lesson = Lesson(
                name=self.structure,
                instrument=role,
                new=self._new(seen[role][0]),
                held_out={name: held_out.arrays for name, (_, held_out) in seen.items()},
                source=network,
                newest=self.order[step - 1],
                past=memory.arrays(self.structure),
                datasets=partial(dict, earlier),
                logits=memory.logits(self.structure),
                carried=memory.carried.get(self.structure, {}),
            )
            learned = learn(lesson, strategy, learner)
            network = self._kept(learned.model, step)
            own |= {role: network} if strategy.separate else {}
            rows += self._scored(self.strategy, dict.fromkeys(self.order, network) | own, step)
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
            self.config, self.config.retrain.train, self.place.checkpoints / name, UntrackedRun(), self.reporter
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
