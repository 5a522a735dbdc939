"""Challengers whose truth is known: evaluations whose scores are drawn, and all else is in order.

A patient's difference is ``change + sd * z``, z a standardised gamma turned over: skewness below 0 means that most
patients change little and a few lose much, which is how retrains do harm. Scores are not cut off at 1, so that the true
change stays what it is.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray

from parfocal.core.scores import CaseScore, Evaluation, FrozenTest, MatrixRow

OLD, NEW, STRUCTURE = "old", "new", "disc"
Array = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Population:
    """From whom patients are drawn. Dice unless said otherwise.

    Attributes:
        patients: test patients of every cell.
        old: cells that the champion answers for; the new instrument has one more.
        sd, skew: of the paired differences.
        champion, spread: mean and standard deviation of the champion in an old cell.
        unknown: its mean on the new instrument.
        constant: what one mask for every image scores.
        gain: true gain of a challenger that learned the new instrument.
        radius_sd: of the radii's ratio over patients; `radius_same` is the correlation of challenger and champion.
    """

    patients: int = 40
    old: int = 3
    sd: float = 0.06
    skew: float = -2.0
    champion: float = 0.88
    unknown: float = 0.78
    spread: float = 0.04
    constant: float = 0.45
    gain: float = 0.10
    radius_sd: float = 0.05
    radius_same: float = 0.8

    def differences(self, rng: np.random.Generator, change: float) -> Array:
        """Paired differences with mean `change`, float64 [patients]."""
        if abs(self.skew) < 1e-6:
            return change + self.sd * rng.standard_normal(self.patients)
        shape = 4 / self.skew**2
        drawn = (rng.gamma(shape, size=self.patients) - shape) / math.sqrt(shape)
        return change + self.sd * math.copysign(1, self.skew) * drawn


def draw(
    rng: np.random.Generator,
    population: Population,
    harm: float,
    gain: float,
    given: Mapping[str, tuple[Array, Array]] | None = None,
) -> Evaluation:
    """One challenger's evaluation; `given` has cells (champion, challenger) that are not drawn."""
    cells = dict(given or {})
    for number in range(1, population.old + 1):
        if (name := f"{OLD} {number}") not in cells:
            before = population.champion + population.spread * rng.standard_normal(population.patients)
            cells[name] = before, before + population.differences(rng, harm if number == 1 else 0.0)
    before = population.unknown + population.spread * rng.standard_normal(population.patients)
    cells[NEW] = before, before + population.differences(rng, gain)
    champion: list[CaseScore] = []
    challenger: list[CaseScore] = []
    constant: list[CaseScore] = []
    for name, (old, new) in cells.items():
        ratios = _ratios(rng, population, len(old))
        champion += _scores(name, old, ratios[0])
        challenger += _scores(name, new, ratios[1])
        constant += _constant(name, len(old), population.constant)
    return _evaluation(champion, challenger, constant, list(cells), population.patients)


def _ratios(rng: np.random.Generator, population: Population, size: int) -> tuple[Array, Array]:
    """Radii's ratios of champion and challenger."""
    same, own, other = rng.standard_normal((3, size))
    kept = math.sqrt(population.radius_same)
    free = math.sqrt(1 - population.radius_same)
    one, two = (1 + population.radius_sd * (kept * same + free * z) for z in (own, other))
    return one, two


@cache
def _constant(instrument: str, size: int, dice: float) -> list[CaseScore]:
    """The constant mask is the same for every challenger."""
    return _scores(instrument, np.full(size, dice), np.full(size, 1.3))


def _scores(instrument: str, dice: Array, ratios: Array) -> list[CaseScore]:
    """One case a patient. Built without checks: a simulation makes millions, and what it makes is right."""
    return [
        CaseScore.model_construct(
            instrument=instrument,
            structure=STRUCTURE,
            case=str(number),
            patient=str(number),
            metrics={"dice": value, "radii_ratio": ratio},
        )
        for number, (value, ratio) in enumerate(zip(dice.tolist(), ratios.tolist(), strict=True))
    ]


def _evaluation(
    champion: Sequence[CaseScore],
    challenger: Sequence[CaseScore],
    constant: Sequence[CaseScore],
    instruments: Sequence[str],
    patients: int,
) -> Evaluation:
    """Everything but the scores is in order."""
    test = FrozenTest(checksum="0" * 64, cases=patients, patients=patients, uses=0)
    return Evaluation.model_construct(
        task="simulated",
        challenger="c" * 64,
        champion="a" * 64,
        new_instrument=NEW,
        scores={"champion": tuple(champion), "challenger": tuple(challenger), "constant": tuple(constant)},
        tests=dict.fromkeys(instruments, test),
        latency_ms={"challenger": 20.0, "champion": 20.0},
        agreement={STRUCTURE: 1.0},
        runtime="simulated",
        matrix=(MatrixRow(model="c" * 64, learned=NEW, dice={}),),
    )
