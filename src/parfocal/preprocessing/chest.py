"""The chest recipe: X-rays and CT slices of the lungs, grey levels out of a window or between percentiles."""

from __future__ import annotations

from typing import ClassVar, Literal, Self

import numpy as np
from pydantic import Field, model_validator

from parfocal.core.errors import DataContractError
from parfocal.core.volumes import HU_OFFSET
from parfocal.preprocessing.contrast import as_channels, between_percentiles, equalise, grey, rescaled, resized
from parfocal.preprocessing.images import Picture, Pixels
from parfocal.preprocessing.recipes import Recipe
from parfocal.preprocessing.roi import Box


class ChestRecipe(Recipe):
    """Of a radiograph or of a slice; paper 002 takes 256 x 256 and one channel, which is repeated here."""

    modalities: ClassVar[tuple[str, ...]] = ("x-ray", "ct")
    name: Literal["chest"] = "chest"
    size: int = Field(default=256, ge=16, le=1024, description="pixels, side of the square frame")
    window: tuple[float, float] | None = Field(
        default=None,
        description="(lowest, highest) Hounsfield units of 16-bit CT, such as (-1350, 150); none: percentiles",
    )
    percentiles: tuple[float, float] = Field(
        default=(0.5, 99.5), description="(low, high) of the frame's grey levels, which become black and white"
    )
    clahe_clip: float = Field(
        default=0.0, ge=0, description="contrast limit of the equalisation, times the mean bin; 0 leaves it out"
    )
    clahe_tiles: int = Field(default=8, ge=1, le=64, description="tiles of the equalisation along each side")

    @property
    def contrast_tiles(self) -> int:
        return self.clahe_tiles

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if not 0 <= self.percentiles[0] < self.percentiles[1] <= 100:
            raise ValueError("percentiles have to grow, from 0 to 100")
        if self.window is not None and not self.window[0] < self.window[1]:
            raise ValueError("the window has its ends the wrong way round")
        return self

    def frame(self, image: Picture, box: Box) -> Pixels:
        """See `Recipe.frame`; colour is refused, and 8 bits where a window of Hounsfield units was asked for."""
        levels = resized(grey(image), box, self.size)
        if self.window is None:
            plane = between_percentiles(levels, self.percentiles)
        elif image.dtype != np.uint16:
            raise DataContractError("8-bit pixels, so no Hounsfield units", next="leave recipe.window out")
        else:
            plane = rescaled(levels.astype(np.float32) - HU_OFFSET, *self.window)
        return as_channels([equalise(plane, self.clahe_clip, self.clahe_tiles)])
