"""What a photograph and its prediction say, as the answer's JSON. Pure: no clock, no file, no model.

Quality flags are a reason to look again, not a diagnosis:
    field-not-found     less than a twentieth of the picture is lit: no fundus photograph, or a black one
    low-contrast        inside the field, the 5th and 95th percentile of grey are less than 20 of 255 apart
    empty-<structure>   nothing of it was found; of a structure inside an empty one this is not said again
    <structure>-touches-edge   an outermost mask reaches the border of where it was looked for: it may go on outside
    <structure>-fills-<outer>  an inner structure's mean radius is 0.95 of the outer's or more
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray
from parfocal_serving.segmenter import codecs
from parfocal_serving.segmenter.champion import Champion
from parfocal_serving.segmenter.click_model import ClickModel

from parfocal.core.bundle import Bundle
from parfocal.evaluation import glaucoma, metrics, suspicion
from parfocal.evaluation.glaucoma import Eye
from parfocal.inference.observe import DARK
from parfocal.inference.predictor import Prediction
from parfocal.preprocessing.images import Picture, shown
from parfocal.preprocessing.roi import Box

LIT = 0.05
"""Fraction of the picture that has to be lit."""
CONTRAST = 20
"""Levels of grey between the 5th and the 95th percentile inside the field."""
FULL = 0.95
"""Ratio of mean radii at which an inner structure leaves no rim."""


def structures(
    prediction: Prediction, masks: str = "png", spacing: tuple[float, float] | None = None
) -> dict[str, dict[str, Any]]:
    """`structure` of everything that was found, by name."""
    return {name: structure(mask, masks, spacing) for name, mask in prediction.masks.items()}


def structure(
    mask: NDArray[np.bool_], masks: str = "png", spacing: tuple[float, float] | None = None
) -> dict[str, Any]:
    """`contour`, `area` and `radius` in pixels, and the mask as it was asked for.

    Args:
        mask: [H, W].
        masks: ``png`` gives `mask` (base64 of a PNG of the picture's size), ``rle`` gives `rle` (`codecs.rle`),
            ``none`` neither.
        spacing: (row, column) in millimetres; with it there are `contour_mm` from the first pixel's centre, `area_mm2`
            and `radius_mm`, of the circle that is as large.
    """
    area, corners = metrics.area(mask), codecs.contour(mask)
    found: dict[str, Any] = {"mask": codecs.encode(mask)} if masks == "png" else {}
    if masks == "rle":
        found["rle"] = codecs.rle(mask)
    found |= {"contour": corners, "area": area, "radius": round(metrics.radius(mask), 2)}
    if spacing is not None:
        row, column = spacing
        found["contour_mm"] = [[round(x * column, 5), round(y * row, 5)] for x, y in corners]
        found["area_mm2"] = round(area * row * column, 6)
        found["radius_mm"] = round(math.sqrt(area * row * column / math.pi), 5)
    return found


def model(one: Champion | ClickModel) -> dict[str, str]:
    """Who answered."""
    return {"task": one.task, "version": one.version, "checksum": one.checksum, "runtime": one.runtime}


def ratios(masks: Mapping[str, NDArray[np.bool_]]) -> dict[str, float | None]:
    """`cdr` and `vertical_cdr` (`parfocal.evaluation.glaucoma`); None without a disc, or in a task without them."""
    if not {"disc", "cup"} <= masks.keys():
        return {"cdr": None, "vertical_cdr": None}
    disc, cup = masks["disc"], masks["cup"]
    return {"cdr": _rounded(glaucoma.cdr(disc, cup)), "vertical_cdr": _rounded(glaucoma.vertical_cdr(disc, cup))}


def rim(masks: Mapping[str, NDArray[np.bool_]], eye: Eye | None) -> dict[str, Any]:
    """`isnt`, mean rim widths in pixels and whether they follow the ISNT rule; `glaucoma`, published ranges.

    Both None where the eye is not known, or without disc or cup (`parfocal.evaluation.suspicion`).
    """
    nothing: dict[str, Any] = {"eye": eye, "isnt": None, "glaucoma": None}
    if eye is None or not {"disc", "cup"} <= masks.keys() or not (masks["disc"].any() and masks["cup"].any()):
        return nothing
    both = masks["disc"] | masks["cup"]
    rows, columns = np.flatnonzero(both.any(axis=1)), np.flatnonzero(both.any(axis=0))
    # Where they are: a whole large photograph takes four times as long.
    window = np.s_[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    found = suspicion.suspicion(masks["disc"][window], masks["cup"][window], eye)
    read = {one.name: one for one in found.indicators}
    widths = read["isnt"].value
    if not isinstance(widths, dict):
        return nothing
    return {
        "eye": eye,
        "isnt": {name: round(width, 2) for name, width in widths.items()}
        | {"follows": read["isnt"].reading == "within"},
        "glaucoma": {
            "suspicion": found.level,
            "readings": {name: read[name].reading for name in ("cdr", "vertical_cdr", "isnt")},
            "warning": found.warning,
        },
    }


def quality(image: Picture, prediction: Prediction, bundle: Bundle) -> list[str]:
    """Flags of a picture, uint8 BGR [H, W, 3] or uint16 grey [H, W], and of what was found in it."""
    flags = _of_picture(shown(image))
    for name, model in bundle.structures.items():
        mask, box = prediction.masks[name], prediction.boxes[name]
        outer = prediction.masks[model.inside] if model.inside else None
        if box is None:
            continue
        if not mask.any():
            flags.append(f"empty-{name}")
        elif outer is None:
            if _touches(mask, box):
                flags.append(f"{name}-touches-edge")
        elif metrics.radius(mask) >= FULL * metrics.radius(outer):
            flags.append(f"{name}-fills-{model.inside}")
    return flags


def _of_picture(image: NDArray[np.uint8]) -> list[str]:
    step = max(1, min(image.shape[:2]) // 256)  # every n-th pixel tells as much about light and contrast
    grey = image[::step, ::step, 1]  # green: where a fundus has its contrast
    lit = grey > DARK
    if lit.mean() < LIT:
        return ["field-not-found"]
    low, high = np.percentile(grey[lit], (5, 95))
    return ["low-contrast"] if high - low < CONTRAST else []


def _touches(mask: NDArray[np.bool_], box: Box) -> bool:
    seen = mask[box.window]
    return bool(seen[[0, -1]].any() or seen[:, [0, -1]].any())


def _rounded(ratio: float | None) -> float | None:
    return None if ratio is None else round(ratio, 4)
