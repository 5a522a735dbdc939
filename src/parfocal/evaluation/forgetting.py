"""What learning one instrument did to the score on another, derived from the whole matrix R.

R[i, j] is the score on instrument j after step i. "Backward transfer" has four definitions in use that cannot be
compared: one looks at the last step alone, one at every step, one at the best ever had and with its sign turned, one
is no difference at all. All are here, each under its source, with what was learned (plasticity) beside them: a model
that learned nothing forgets nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from parfocal.core.scores import MatrixRow


@dataclass(frozen=True, slots=True, eq=False)
class Matrix:
    """R of one structure.

    Attributes:
        instruments: the columns, in the order in which they were learned.
        learned: by row, the instrument learned in that step; one may be learned more than once.
        first: by column, the row in which the instrument was first learned.
        values: float64 [steps, instruments], mean Dice; nan where nobody measured.
    """

    instruments: tuple[str, ...]
    learned: tuple[str, ...]
    first: tuple[int, ...]
    values: NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Transfer:
    """One number drawn from R.

    Attributes:
        value: None where R does not say.
        difference: of two scores; otherwise it is a score itself.
    """

    name: str
    source: str
    meaning: str
    value: float | None
    difference: bool = False


def matrix(rows: Sequence[MatrixRow], structure: str) -> Matrix:
    """R of a structure, rows in the order in which they were learned.

    An instrument that no row names as learned was part of the first model's data beside the one it names, so the first
    row that has a score on it counts as its own.
    """
    first = {row.learned: i for i, row in reversed(list(enumerate(rows)))}
    for i, row in enumerate(rows):
        for name in row.dice:
            first.setdefault(name, i)
    scored = {name for row in rows for name, scores in row.dice.items() if structure in scores}
    names = sorted(scored, key=lambda name: (first[name], name == rows[first[name]].learned, name))
    values = [[row.dice.get(name, {}).get(structure, np.nan) for name in names] for row in rows]
    return Matrix(
        tuple(names),
        tuple(row.learned for row in rows),
        tuple(first[name] for name in names),
        np.array(values, np.float64).reshape(len(rows), len(names)),
    )


def transfers(r: Matrix) -> tuple[Transfer, ...]:
    """The four backward transfers, forward transfer and plasticity of a structure."""
    own = {j: r.values[i, j] for j, i in enumerate(r.first)}
    later = [(i, j) for j, start in enumerate(r.first) for i in range(start + 1, len(r.values)) if _other(r, i, j)]
    last = [(i, j) for i, j in later if i == len(r.values) - 1]
    return (
        Transfer(
            "BWT, last step",
            "Lopez-Paz and Ranzato, Gradient episodic memory, 2017",
            "score now less score when learned, mean over the instruments learned before; below 0 is loss",
            _mean(r.values[i, j] - own[j] for i, j in last),
            difference=True,
        ),
        Transfer(
            "BWT, all steps",
            "Díaz-Rodríguez and others, Don't forget, there is more than forgetting, 2018",
            "the same difference, mean over every later step and not only the last; below 0 is loss",
            _mean(r.values[i, j] - own[j] for i, j in later),
            difference=True,
        ),
        Transfer(
            "forgetting",
            "Chaudhry and others, Riemannian walk, 2018",
            "best score since it was learned less score now, mean over the instruments learned before; ABOVE 0 is loss",
            _mean(_best(r.values[r.first[j] : i, j]) - r.values[i, j] for i, j in last),
            difference=True,
        ),
        Transfer(
            "BWT, level",
            "She and others, OpenLORIS-Object, 2020",
            "mean score on earlier instruments over every later step; a level in [0, 1], no difference",
            _mean(r.values[i, j] for i, j in later),
        ),
        Transfer(
            "forward transfer",
            "Lopez-Paz and Ranzato 2017, with a baseline of 0",
            "score on an instrument in the step before it was learned; an untrained network scores about 0",
            _mean(r.values[start - 1, j] for j, start in enumerate(r.first) if start > 0),
        ),
        Transfer(
            "plasticity",
            "the diagonal of R",
            "score on an instrument in the step in which it was learned",
            _mean(own.values()),
        ),
    )


def _other(r: Matrix, row: int, column: int) -> bool:
    """Whether the step taught something else than the column's instrument."""
    return r.learned[row] != r.instruments[column]


def _best(scores: NDArray[np.float64]) -> float:
    known = scores[~np.isnan(scores)]
    return float(known.max()) if len(known) else float("nan")


def _mean(values: Iterable[float]) -> float | None:
    known = [float(value) for value in values if not np.isnan(value)]
    return float(np.mean(known)) if known else None
