"""What `segment` tells of its cases: a line a case, and every operation of post-processing on and off.

Dice here says what post-processing does. What a model is worth is said by `evaluate`, beside the constant mask.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from parfocal.core.types import Interval
from parfocal.evaluation.overlays import Picture
from parfocal.evaluation.statistics import by_patient, paired_interval
from parfocal.evaluation.suspicion import Indicator, Suspicion

WHOLE = "all of them"
"""In place of an operation's name: the chain as it is, and none at all."""
LEARNED = ("train", "validation")
"""Sides of the split whose pictures the networks have seen."""
LEVEL = 0.95


@dataclass(frozen=True, slots=True)
class OnOff:
    """Dice of one mask with an operation and without it; `part`: whether the chosen chain has it."""

    on: float
    off: float
    part: bool


@dataclass(frozen=True, slots=True)
class Segmented:
    """One picture or volume that was segmented.

    Attributes:
        name: of its files.
        result: what results.json says of it.
        patient: whose it is.
        side: of the split, of a picture that is in a dataset of the bundle; else empty.
        eye: which one, where somebody said.
        spacing: (row, column) size of a pixel in millimetres, where known.
        suspicion: the indicators of an eye; None of anything else.
        measured: Dice with and without each operation, by structure; of a picture with a truth.
        picture: for the page; of the first ones.
    """

    name: str
    result: Mapping[str, Any]
    patient: str = ""
    side: str = ""
    eye: str = ""
    spacing: tuple[float, float] | None = None
    suspicion: Suspicion | None = None
    measured: Mapping[str, Mapping[str, OnOff]] = field(default_factory=dict)
    picture: Picture | None = None

    @property
    def learned(self) -> bool:
        return self.side in LEARNED


@dataclass(frozen=True, slots=True)
class Effect:
    """One operation on one structure over cases.

    Attributes:
        part: whether the chosen chain has it.
        cases, patients: that were measured.
        on, off: mean Dice over cases.
        change: on less off, paired by patient, with its interval; None for fewer than two patients.
        better, worse: cases that it changes by more than 0.001 of Dice.
    """

    structure: str
    operation: str
    part: bool
    cases: int
    patients: int
    on: float
    off: float
    change: Interval | None
    better: int
    worse: int


def beside(cases: Sequence[Segmented], person: Callable[[str], str]) -> list[Segmented]:
    """The cases, the two eyes of one person read beside each other; `person` says whose a case of that name is."""
    people: dict[str, list[Segmented]] = {}
    for case in cases:
        people.setdefault(person(case.name), []).append(case)
    others: dict[str, Segmented] = {}
    for name, (one, *rest) in people.items():
        if name and rest:
            others |= {one.name: rest[0], rest[0].name: one}
    return [_compared(case, others[case.name]) if case.name in others else case for case in cases]


def effects(cases: Sequence[Segmented]) -> list[Effect]:
    """Every operation on every structure; cases without a truth say nothing."""
    places = dict.fromkeys((name, one) for case in cases for name, found in case.measured.items() for one in found)
    return [_effect(cases, *place) for place in places]


def row(case: Segmented) -> dict[str, object]:
    """A case's line of cases.csv; a column that it has nothing for is left out."""
    line: dict[str, object] = {"case": case.name, "patient": case.patient, "side": case.side, "eye": case.eye}
    unit = "pixels" if "pixels" in case.result else "voxels"
    line |= {f"{name}_{unit}": count for name, count in case.result[unit].items()}
    if unit == "pixels" and case.spacing:
        size = case.spacing[0] * case.spacing[1]
        line |= {f"{name}_mm2": round(count * size, 4) for name, count in case.result[unit].items()}
    line |= {f"{name}_ml": volume for name, volume in (case.result.get("millilitres") or {}).items()}
    for name, found in case.measured.items():
        line |= {f"{name}_dice": found[WHOLE].on, f"{name}_dice_off": found[WHOLE].off}
    if case.suspicion is not None:
        line |= {"suspicion": case.suspicion.level}
        for one in case.suspicion.indicators:
            widths = one.value if isinstance(one.value, dict) else {}
            line |= {f"rim_{name}": width for name, width in widths.items()}
            line |= {one.name: one.value} if not widths and one.name != "isnt" else {}
            line |= {f"{one.name}_reading": one.reading}
    return line


def table(rows: Sequence[Mapping[str, object]]) -> str:
    """CSV with the columns of all rows in the order in which they come; numbers to four digits."""
    columns = list(dict.fromkeys(column for one in rows for column in one))
    text = io.StringIO()
    writer = csv.DictWriter(text, columns, restval="", lineterminator="\n")
    writer.writeheader()
    writer.writerows({key: short(value) for key, value in one.items()} for one in rows)
    return text.getvalue()


def effect_row(one: Effect) -> dict[str, object]:
    """A line of postprocessing.csv."""
    change = one.change
    return {
        "structure": one.structure, "operation": one.operation, "in_chain": "yes" if one.part else "no",
        "cases": one.cases, "patients": one.patients, "dice_on": one.on, "dice_off": one.off,
        "change": one.on - one.off if change is None else change.estimate,
        "low": change.low if change else "", "high": change.high if change else "",
        "better": one.better, "worse": one.worse,
    }  # fmt: skip


def measured(cases: Sequence[Segmented]) -> list[tuple[str, list[Effect]]]:
    """Effects on pictures that the networks have not learned from, and on those that they have, where there are any."""
    new = effects([case for case in cases if not case.learned])
    known = effects([case for case in cases if case.learned])
    titled = [("on pictures that the networks have not seen", new), ("on pictures that they learned from", known)]
    return [(title, found) for title, found in titled if found]


def ranges(cases: Sequence[Segmented]) -> tuple[Indicator, ...]:
    """The indicators with what is published of each; none where no eye was looked at."""
    found = (case.suspicion.indicators for case in cases if case.suspicion is not None)
    return next(found, ())


def _compared(case: Segmented, other: Segmented) -> Segmented:
    if case.suspicion is None or other.suspicion is None:
        return case
    read = case.suspicion.beside(other.suspicion)
    return replace(case, suspicion=read, result={**case.result, "glaucoma": read.as_dict()})


def _effect(cases: Sequence[Segmented], structure: str, operation: str) -> Effect:
    found = [
        (case.measured[structure][operation], case.patient or case.name)
        for case in cases
        if operation in case.measured.get(structure, {})
    ]
    pairs = [pair for pair, _ in found]
    changes = [pair.on - pair.off for pair in pairs]
    by = by_patient(changes, [patient for _, patient in found])
    return Effect(
        structure=structure,
        operation=operation,
        part=pairs[0].part,
        cases=len(pairs),
        patients=len(by),
        on=sum(pair.on for pair in pairs) / len(pairs),
        off=sum(pair.off for pair in pairs) / len(pairs),
        change=paired_interval(by, level=LEVEL) if len(by) > 1 else None,
        better=sum(change > 0.001 for change in changes),
        worse=sum(change < -0.001 for change in changes),
    )


def short(value: object) -> object:
    """A cell of a table: numbers to four digits."""
    if value is None:
        return ""
    return f"{value:.4f}" if isinstance(value, float) else value
