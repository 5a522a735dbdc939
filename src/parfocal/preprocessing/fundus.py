"""The fundus recipe: trim or crop, resize, equalise (papers 000 and 001)."""

from __future__ import annotations

from typing import Literal

import cv2

from parfocal.preprocessing.contrast import equalise
from parfocal.preprocessing.images import Picture, Pixels
from parfocal.preprocessing.photograph import PhotographRecipe, refuse_grey
from parfocal.preprocessing.roi import Box, interpolation


class FundusRecipe(PhotographRecipe):
    """Of a photograph; kept in the bundle, so that inference repeats exactly this."""

    name: Literal["fundus"] = "fundus"

    def frame(self, image: Picture, box: Box) -> Pixels:
        """Crop a BGR photograph [H, W, 3] to `box`, resize and equalise it to BGR uint8 [size, size, 3]."""
        refuse_grey(image)
        size = (self.size, self.size)
        frame: Pixels = cv2.resize(image[box.window], size, interpolation=interpolation(box, self.size))
        return equalise(frame, self.clahe_clip, self.clahe_tiles)
