"""The RetCam recipe: grey, normalise, equalise, gamma (paper 004, for a hand-held camera's weak contrast)."""

from __future__ import annotations

from typing import ClassVar, Literal

import cv2
import numpy as np
import numpy.typing as npt
from pydantic import Field

from parfocal.core.errors import DataContractError
from parfocal.core.task import Structure
from parfocal.preprocessing.contrast import as_channels, equalise, rescaled, resized
from parfocal.preprocessing.images import Picture, Pixels
from parfocal.preprocessing.recipes import Recipe
from parfocal.preprocessing.roi import Box, structure_box, trim_box


class RetcamRecipe(Recipe):
    """Of a photograph, to one grey channel that is repeated.

    The paper names the four steps and no number. Those here are usual where vessels are segmented (the retina-unet
    code of Orobix): the frame's own range to 0..255, contrast limit 2 in 8 x 8 tiles, gamma 1.2.
    """

    modalities: ClassVar[tuple[str, ...]] = ("colour fundus photograph",)
    name: Literal["retcam"] = "retcam"
    border: float = Field(default=0.0, ge=0, lt=0.5, description="fraction of the image's side to trim on every edge")
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
    gamma: float = Field(default=1.2, gt=0, le=5, description="grey level^(1 / gamma): above 1 brightens the middle")

    @property
    def contrast_tiles(self) -> int:
        return self.clahe_tiles

    def box(
        self, structure: Structure, height: int, width: int, outer: npt.NDArray[np.generic] | None = None
    ) -> Box | None:
        """The trimmed photograph, or the box of the outer structure with its margin; see `Recipe.box`."""
        if structure.inside is None:
            return trim_box(height, width, self.border)
        return None if outer is None else structure_box(outer, self.roi_margin)

    def frame(self, image: Picture, box: Box) -> Pixels:
        """See `Recipe.frame`."""
        if image.dtype != np.uint8 or image.ndim != 3:
            raise DataContractError(f"{image.dtype} grey pixels", next="export the photograph with 8 bits a channel")
        plane = cv2.cvtColor(resized(image, box, self.size), cv2.COLOR_BGR2GRAY)
        plane = equalise(rescaled(plane, float(plane.min()), float(plane.max())), self.clahe_clip, self.clahe_tiles)
        table = np.rint(255 * (np.arange(256) / 255) ** (1 / self.gamma)).astype(np.uint8)
        return as_channels([table[plane]])
