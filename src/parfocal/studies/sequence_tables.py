"""The tables of the study `sequence`: R of each strategy and what follows from it, and what few labels give."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from parfocal.core.types import Interval
from parfocal.studies.intervals import chosen, difference, mean, metric
from parfocal.studies.study import CONSTANT, Row
from parfocal.studies.tables import Entry, Line, Table

ROLES = ("first", "second", "third", "fourth")
OLDER = len(ROLES) - 1
"""Instruments that have been learned before the last one."""
FINETUNE, REPLAY, JOINT = "finetune", "replay", "joint"
STRATEGIES = (FINETUNE, "ewc", "lwf", REPLAY, "derpp", "instrument_norm", "bn_adapt", JOINT)
FIRST = "before"
"""The arm of the first model, before it is taught anything else."""
TWO = "two: "
"""Before the arms of the pair, so that they are not taken for those of the sequence."""
PAPER = {FIRST: (0.98, 0.64), FINETUNE: (0.89, 0.80)}
"""Paper 001, table 4: at the first and at the second instrument, before and after a retrain of three epochs."""
DICE = metric("dice")


def order(seed: int) -> tuple[str, ...]:
    """The roles in the order in which they are learned."""
    return tuple(ROLES[place] for place in np.random.default_rng(seed).permutation(len(ROLES)))


def tables(rows: Sequence[Row]) -> tuple[Table, ...]:
    """All of them, for every structure."""
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
