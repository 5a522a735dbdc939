"""Cup-to-disc ratios and the ISNT rule. Indicators that a clinician reads beside the image; no diagnosis."""

from __future__ import annotations

import math
from typing import Literal

import numpy as np

from parfocal.evaluation.metrics import Mask, radius

Eye = Literal["left", "right"]


def cdr(disc: Mask, cup: Mask) -> float:
    """Cup-to-disc ratio of mean radii; nan without a disc. Normal eyes .39 +- .15, glaucoma .65 +- .13 (paper 001)."""
    outer = radius(disc)
    return radius(cup) / outer if outer else math.nan


def vertical_cdr(disc: Mask, cup: Mask) -> float:
    """Ratio of the heights of cup and disc; nan without a disc."""
    outer = _extent(disc, axis=1)
    return _extent(cup, axis=1) / outer if outer else math.nan


def rim_widths(disc: Mask, cup: Mask, eye: Eye | None) -> dict[str, float]:
    """Width of the neuroretinal rim in pixels, below, above, on the nasal and on the temporal side.

    Measured from the cup's centre of mass along the four axes. The nasal side is on the image's left in a left eye's
    photograph and on the right in a right eye's. Without `eye` only ``inferior`` and ``superior`` are given; without a
    cup or a disc, nothing.
    """
    if not disc.any() or not cup.any():
        return {}
    rows, columns = np.nonzero(cup)
    row, column = round(float(rows.mean())), round(float(columns.mean()))
    ring = disc & ~cup
    widths = {"inferior": float(ring[row:, column].sum()), "superior": float(ring[: row + 1, column].sum())}
    if eye is not None:
        left, right = float(ring[row, : column + 1].sum()), float(ring[row, column:].sum())
        widths |= {"nasal": left, "temporal": right} if eye == "left" else {"nasal": right, "temporal": left}
    return widths


def follows_isnt(disc: Mask, cup: Mask, eye: Eye | None) -> bool | None:
    """Whether the rim is widest below, then above, nasal, temporal; None where the eye's side is not known."""
    widths = rim_widths(disc, cup, eye)
    if len(widths) < 4:
        return None
    return widths["inferior"] > widths["superior"] > widths["nasal"] > widths["temporal"]


def _extent(mask: Mask, axis: int) -> int:
    lines = np.flatnonzero(mask.any(axis=axis))
    return int(lines[-1] - lines[0] + 1) if len(lines) else 0
