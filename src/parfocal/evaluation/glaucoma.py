"""Cup-to-disc ratios and the ISNT rule. Indicators that a clinician reads beside the photograph; no diagnosis."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from parfocal.evaluation.metrics import Mask, radius

Eye = Literal["left", "right"]

_RAYS = 360


@dataclass(frozen=True, slots=True)
class Rim:
    """Mean width of the neuroretinal rim by quadrant, in pixels; nasal and temporal are None for an unknown eye."""

    inferior: float
    superior: float
    nasal: float | None
    temporal: float | None

    @property
    def follows_isnt(self) -> bool | None:
        """Whether inferior > superior > nasal > temporal, as in most healthy eyes; None for an unknown eye."""
        if self.nasal is None or self.temporal is None:
            return None
        return self.inferior > self.superior > self.nasal > self.temporal


def cdr(disc: Mask, cup: Mask) -> float | None:
    """Cup-to-disc ratio of mean radii (paper 001); None without a disc, 0 without a cup."""
    outer = radius(disc)
    return radius(cup) / outer if outer else None


def vertical_cdr(disc: Mask, cup: Mask) -> float | None:
    """Ratio of the heights, in rows, of cup and disc; None without a disc, 0 without a cup."""
    outer = _height(disc)
    return _height(cup) / outer if outer else None


def rim(disc: Mask, cup: Mask, eye: Eye | None) -> Rim | None:
    """Rim width by quadrant, for the ISNT rule (Harizman and others 2006); None without a disc.

    Along 360 rays from the disc's centre, the width is the disc's farthest pixel less the cup's; a quadrant is the mean
    over the 90 degrees round its axis. Below is inferior. Nasal is on the right of a right eye's photograph and on the
    left of a left eye's.
    """
    if not disc.any():
        return None
    rows, columns = np.nonzero(disc)
    centre = float(rows.mean()), float(columns.mean())
    reach = float(np.hypot(rows - centre[0], columns - centre[1]).max()) + 1
    width = _reach(disc, centre, reach) - _reach(cup, centre, reach)
    quarter = _RAYS // 4
    right, inferior, left, superior = (
        float(width[np.arange(axis - quarter // 2, axis + quarter // 2) % _RAYS].mean())
        for axis in range(0, _RAYS, quarter)
    )
    sides = {"right": (right, left), "left": (left, right)}.get(eye or "", (None, None))
    return Rim(inferior, superior, *sides)


def score_ratios(predicted: Mapping[str, Mask], true: Mapping[str, Mask]) -> dict[str, float]:
    """Cup-to-disc ratios of one photograph against the truth, from masks by structure.

    Returns:
        ``cdr``, ``cdr_true``, ``cdr_error`` (absolute) and the same with ``vertical_cdr``; empty unless disc and cup
        are in both, and without what a missing disc leaves undefined. Where no disc was found the error is the true
        ratio itself, as if no cup had been seen: a model gains nothing by giving no answer.
    """
    if not {"disc", "cup"} <= predicted.keys() & true.keys():
        return {}
    scores: dict[str, float] = {}
    for name, ratio in (("cdr", cdr), ("vertical_cdr", vertical_cdr)):
        found, truth = ratio(predicted["disc"], predicted["cup"]), ratio(true["disc"], true["cup"])
        if found is not None:
            scores[name] = found
        if truth is not None:
            scores[f"{name}_true"] = truth
            scores[f"{name}_error"] = abs((found or 0.0) - truth)
    return scores


def _reach(mask: Mask, centre: tuple[float, float], reach: float) -> NDArray[np.float64]:
    """Distance from `centre` of the farthest pixel inside along each ray, float64 [360], clockwise from the right."""
    angle = np.deg2rad(np.arange(_RAYS) * 360 / _RAYS)[:, None]
    steps = np.arange(0, reach, 0.5)
    rows = np.rint(centre[0] + np.sin(angle) * steps).astype(int)
    columns = np.rint(centre[1] + np.cos(angle) * steps).astype(int)
    there = (rows >= 0) & (rows < mask.shape[0]) & (columns >= 0) & (columns < mask.shape[1])
    inside = there & mask[rows.clip(0, mask.shape[0] - 1), columns.clip(0, mask.shape[1] - 1)]
    farthest: NDArray[np.float64] = np.where(inside, steps, 0.0).max(axis=1)
    return farthest


def _height(mask: Mask) -> int:
    rows = np.flatnonzero(mask.any(axis=1))
    return int(rows[-1] - rows[0] + 1) if len(rows) else 0
