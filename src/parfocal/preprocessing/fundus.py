"""The fundus recipe: trim or crop, resize, equalise. Preprocessing and inference share it to the bit."""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt
from pydantic import Field

from parfocal.core.config import Config
from parfocal.core.task import Structure
from parfocal.preprocessing.images import Pixels
from parfocal.preprocessing.roi import Box, interpolation, structure_box, trim_box


class FundusRecipe(Config):
    """From a photograph to what a network sees; kept in the bundle, so that inference repeats exactly this."""

    border: float = Field(
        default=0.10,
        ge=0,
        lt=0.5,
        description="fraction of the image's side to trim on every edge: black surround, text and lens flare",
    )
    roi_margin: float = Field(
        default=0.10,
        ge=0,
        le=2,
        description="fraction of the outer structure's box to add on every side before looking inside it",
    )
    size: int = Field(default=128, ge=16, le=1024, description="pixels, side of the square frame")
    clahe_clip: float = Field(
        default=2.0, ge=0, description="contrast limit of the equalisation, times the mean bin; 0 leaves it out"
    )
    clahe_tiles: int = Field(default=8, ge=1, le=64, description="tiles of the equalisation along each side")


def frame_box(
    structure: Structure,
    height: int,
    width: int,
    recipe: FundusRecipe,
    outer: npt.NDArray[np.generic] | None = None,
) -> Box | None:
    """Where to look for a structure: the trimmed photograph, or the box of the structure it is inside.

    Args:
        structure: of the task.
        height, width: of the photograph in pixels.
        recipe: border and margin.
        outer: mask [H, W] of `structure.inside`; not used for an outermost structure.

    Returns:
        None when the structure is inside another whose mask is missing or empty.
    """
    if structure.inside is None:
        return trim_box(height, width, recipe.border)
    return None if outer is None else structure_box(outer, recipe.roi_margin)


def to_frame(image: Pixels, box: Box, recipe: FundusRecipe) -> Pixels:
    """Crop a BGR photograph [H, W, 3] to `box`, resize and equalise it to BGR uint8 [size, size, 3]."""
    size = (recipe.size, recipe.size)
    frame: Pixels = cv2.resize(image[box.window], size, interpolation=interpolation(box, recipe.size))
    return equalise(frame, recipe.clahe_clip, recipe.clahe_tiles)


def equalise(frame: Pixels, clip: float, tiles: int) -> Pixels:
    """Contrast-limited adaptive histogram equalisation (CLAHE) of each channel of a BGR frame [S, S, 3].

    Zuiderveld, Contrast limited adaptive histogram equalization, Graphics Gems IV, 1994.
    """
    if clip == 0:
        return frame
    # Each channel alone, because equalising undoes whatever curve and gain the camera gave that channel. A linear pixel
    # classifier of the disc, learned on one of two public cameras, ranks the other's pixels with an AUC of .965 and
    # .950 so, against .874 and .950 on lightness (Lab), .934 and .918 on value (HSV), .904 and .984 with none.
    clahe = cv2.createCLAHE(clip, (tiles, tiles))  # made anew: it has buffers that threads must not share
    equalised: Pixels = cv2.merge([clahe.apply(channel) for channel in cv2.split(frame)])
    return equalised
