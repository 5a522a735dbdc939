"""What learning one instrument did to another, from the whole matrix R.

R[i, j] is the score on instrument j after step i. "Backward transfer" has four definitions that cannot be compared;
each is here under the name of its source.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from parfocal.core.scores import MatrixRow


def matrix(rows: Sequence[MatrixRow], structure: str) -> tuple[tuple[str, ...], NDArray[np.float64]]:
    """Instruments in the order learned and R, float64 [steps, instruments]; nan where nobody measured.

    A step that learned more of a known instrument has a row but adds no column.
    """
    order = tuple(dict.fromkeys(row.learned for row in rows))
    seen = tuple(dict.fromkeys(name for row in rows for name in row.dice if name not in order))
    names = (*order, *seen)
    values = [[row.dice.get(name, {}).get(structure, np.nan) for name in names] for row in rows]
    return names, np.array(values, np.float64).reshape(len(rows), len(names))


def transfer(r: NDArray[np.float64]) -> dict[str, float]:
    """Stability and plasticity of a square R [T, T], instrument j learned at step j; nan where it cannot be said.

    Returns:
        ``bwt_gem``: mean over j < T of R[T, j] - R[j, j] (Lopez-Paz and Ranzato 2017).
        ``bwt_all_steps``: the same averaged over every later step i > j (Diaz-Rodriguez and others 2018).
        ``forgetting``: mean over j < T of max over i < T of R[i, j], minus R[T, j] (Chaudhry and others 2018).
        ``bwt_relative``: mean over j < T of R[T, j] / R[j, j] - 1 (as Lifelong nnU-Net relates scores, 2022).
        ``forward``: mean over j > 1 of R[j - 1, j], the score before an instrument was learned; no baseline is
            taken off, since an untrained network scores about 0.
        ``plasticity``: mean of the diagonal, what was learned when it was learned.
    """
    steps = len(r)
    if r.shape != (steps, steps) or not steps:
        raise ValueError(f"transfer needs a square matrix, not {r.shape}")
    last, diagonal = r[-1], np.diag(r)
    past = range(steps - 1)
    return {
        "bwt_gem": _mean([last[j] - diagonal[j] for j in past]),
        "bwt_all_steps": _mean([r[i, j] - r[j, j] for i in range(1, steps) for j in range(i)]),
        "forgetting": _mean([np.nanmax(r[:-1, j]) - last[j] for j in past if not np.isnan(r[:-1, j]).all()]),
        "bwt_relative": _mean([last[j] / diagonal[j] - 1 for j in past if diagonal[j] > 0]),
        "forward": _mean([r[j - 1, j] for j in range(1, steps)]),
        "plasticity": _mean(list(diagonal)),
    }


def _mean(values: Sequence[float]) -> float:
    known = [float(value) for value in values if not np.isnan(value)]
    return float(np.mean(known)) if known else float("nan")
