"""The frames that a case is learned from, each with its part of the mask and the structure's centre in it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import cv2
import numpy as np

from parfocal.core.task import Structure, Task
from parfocal.preprocessing.images import Picture, Pixels
from parfocal.preprocessing.locate import Located
from parfocal.preprocessing.recipes import Recipe, refuse_unfit
from parfocal.preprocessing.roi import Box, mask_to_frame, point_to_frame
from parfocal.preprocessing.shards import UNKNOWN

NOWHERE = (np.nan, np.nan)
_STRAY = 0.05  # part of an inner structure outside its outer one beyond which a person should look
Point = tuple[float, float]


@dataclass(frozen=True, slots=True, eq=False)
class Framed:
    """One frame.

    Attributes:
        image: uint8 BGR [S, S, 3].
        mask: uint8 {0, 1} [S, S]; `UNKNOWN` all over where nobody drew one.
        point: (x, y) of the structure's centre as parts of the frame's side; NaN when unknown or outside.
    """

    image: Pixels
    mask: Pixels
    point: Point


def frames_of(
    image: Picture,
    masks: Mapping[str, Pixels],
    points: Mapping[str, Point],
    task: Task,
    recipe: Recipe,
    rng: np.random.Generator,
    at: Located | None = None,
) -> tuple[dict[str, tuple[Framed, ...]], list[str]]:
    """Frames by structure, and what a person may want to look at.

    Args:
        image: as decoded.
        masks: uint8 {0, 1} [H, W] by structure; one that nobody drew is absent.
        points: (x, y) in source pixels by structure, pixel centres at whole numbers; an outermost structure that has
            one and no mask gets a frame too.
        task, recipe: what to look for and how.
        rng: for what the recipe draws.
        at: where the outermost structure was located, for a recipe that asks for that.

    Raises:
        DataContractError: the picture is not one for this recipe.
        UsageError: the recipe is not for the task's modality.
    """
    refuse_unfit(recipe, task)
    found: dict[str, tuple[Framed, ...]] = {}
    remarks: list[str] = []
    for structure in task.structures:
        mask, point = masks.get(structure.name), points.get(structure.name)
        if mask is None and (point is None or structure.inside is not None):
            continue
        outer = masks.get(structure.inside or "")
        box = recipe.box(structure, image.shape[0], image.shape[1], outer, at)
        if box is None:
            remarks.append(f"a {structure.name} without its {structure.inside}, so no frame to learn it from")
            continue
        if mask is not None:
            remarks += _strays(structure, mask, outer, box)
        centre = point or (NOWHERE if mask is None else centroid(mask))
        if point is not None and np.isnan(point_to_frame(point, box)).any():
            remarks.append(f"the point of the {structure.name} outside the frame the recipe keeps")
        drawn = np.zeros(image.shape[:2], np.uint8) if mask is None else mask
        found[structure.name] = tuple(
            Framed(
                recipe.frame(image, one),
                np.full((recipe.size, recipe.size), UNKNOWN, np.uint8)
                if mask is None
                else mask_to_frame(mask, one, recipe.size),
                point_to_frame(centre, one),
            )
            for one in recipe.samples(box, drawn, rng)
        )
    return found, remarks


def centroid(mask: Pixels) -> Point:
    """(x, y) of a mask {0, 1} [H, W] in pixels, pixel centres at whole numbers; NaN of an empty one."""
    moments = cv2.moments(mask, binaryImage=True)
    area = moments["m00"]
    return (moments["m10"] / area, moments["m01"] / area) if area else NOWHERE


def _strays(structure: Structure, mask: Pixels, outer: Pixels | None, box: Box) -> list[str]:
    remarks = []
    if outer is not None and np.count_nonzero(mask > outer) > _STRAY * np.count_nonzero(mask):
        remarks.append(f"more than {_STRAY:.0%} of the {structure.name} outside the {structure.inside}")
    if np.count_nonzero(mask[box.window]) < (1 - _STRAY) * np.count_nonzero(mask):
        remarks.append(f"more than {_STRAY:.0%} of the {structure.name} outside the frame the recipe keeps")
    return remarks
