"""The RetCam recipe: grey, normalise, equalise, gamma (paper 004, for a hand-held camera's weak contrast)."""

from __future__ import annotations

from typing import Literal

import cv2
import numpy as np
from pydantic import Field

from parfocal.preprocessing.contrast import as_channels, equalise, rescaled, resized
from parfocal.preprocessing.images import Picture, Pixels
from parfocal.preprocessing.photograph import PhotographRecipe, refuse_grey
from parfocal.preprocessing.roi import Box


class RetcamRecipe(PhotographRecipe):
    """Of a photograph, to one grey channel that is repeated.

    The paper names the four steps and no number. Those here are usual where vessels are segmented (the retina-unet
    code of Orobix): the frame's own range to 0..255, contrast limit 2 in 8 x 8 tiles, gamma 1.2.
    """

    name: Literal["retcam"] = "retcam"
    border: float = Field(default=0.0, ge=0, lt=0.5, description="fraction of the image's side to trim on every edge")
    gamma: float = Field(default=1.2, gt=0, le=5, description="grey level^(1 / gamma): above 1 brightens the middle")

    def frame(self, image: Picture, box: Box) -> Pixels:
        """See `Recipe.frame`."""
        refuse_grey(image)
        plane = cv2.cvtColor(resized(image, box, self.size), cv2.COLOR_BGR2GRAY)
        plane = equalise(rescaled(plane, float(plane.min()), float(plane.max())), self.clahe_clip, self.clahe_tiles)
        table = np.rint(255 * (np.arange(256) / 255) ** (1 / self.gamma)).astype(np.uint8)
        return as_channels([table[plane]])
