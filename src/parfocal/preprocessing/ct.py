"""The CT recipe: Hounsfield windows into the channels, of whole slices or of tiles in the slice's own pixels."""

from __future__ import annotations

from itertools import product
from math import ceil
from typing import ClassVar, Literal, Self

import numpy as np
from pydantic import Field, model_validator

from parfocal.core.errors import DataContractError
from parfocal.core.volumes import HU_OFFSET
from parfocal.preprocessing.contrast import as_channels, rescaled, resized
from parfocal.preprocessing.images import Picture, Pixels
from parfocal.preprocessing.recipes import Recipe
from parfocal.preprocessing.roi import Box

_OVERLAP = 0.25
"""Least part of a tile's side that it shares with the next one when a slice is answered."""


class CtRecipe(Recipe):
    """Of an axial slice stored as HU + 1024 in 16-bit grey.

    Paper 003 clips to (-1024, 3000), scales to [0, 1] and learns from random 96 x 96 patches: `size=96 tiles=8`. There
    patches are drawn anew in each step; here a slice's tiles are drawn once and varied by dynamic augmentation. With 8
    bits a channel the paper's window has steps of 16 HU; narrower windows in the other channels make finer ones.
    """

    modalities: ClassVar[tuple[str, ...]] = ("ct",)
    name: Literal["ct"] = "ct"
    size: int = Field(default=128, ge=16, le=1024, description="pixels, side of the square frame")
    windows: tuple[tuple[float, float], ...] = Field(
        default=((-1024.0, 3000.0),),
        min_length=1,
        max_length=3,
        description="(lowest, highest) Hounsfield units, one to three; one a channel, and the last fills what is left",
    )
    tiles_a_slice: int = Field(
        default=0,
        ge=0,
        le=256,
        description="0: a slice is resized to the frame; else it is learned from in so many random tiles of `size` of "
        "its own pixels, half of them round a pixel of the structure, and answered in tiles that overlap by a quarter",
    )

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        for low, high in self.windows:
            if not low < high:
                raise ValueError(f"the window ({low:g}, {high:g}) has its ends the wrong way round")
        return self

    def frame(self, image: Picture, box: Box) -> Pixels:
        """The windows of `box`; averaged as Hounsfield units before they are clipped. See `Recipe.frame`."""
        if image.dtype != np.uint16:
            raise DataContractError(
                "8-bit pixels, so no Hounsfield units",
                expected="16-bit grey, HU + 1024",
                next="read the volume (data.reader=volume or dicom), or take recipe.name=chest",
            )
        whole = image[box.window] if self.tiles_a_slice else resized(image, box, self.size)
        units = whole.astype(np.float32) - HU_OFFSET
        return as_channels([rescaled(units, low, high) for low, high in self.windows])

    def samples(self, box: Box, mask: Pixels, rng: np.random.Generator) -> tuple[Box, ...]:
        """Random tiles; every second one round a random pixel of the structure, where there is one in `box`."""
        if not self.tiles_a_slice:
            return (box,)
        self._fits(box)
        rows, columns = np.nonzero(mask[box.window] == 1)
        found = []
        for number in range(self.tiles_a_slice):
            top, left = (int(rng.integers(0, side - self.size + 1)) for side in (box.height, box.width))
            if number % 2 and len(rows):
                pixel = int(rng.integers(len(rows)))
                top, left = (
                    int(np.clip(centre - rng.integers(0, self.size), 0, side - self.size))
                    for centre, side in ((rows[pixel], box.height), (columns[pixel], box.width))
                )
            found.append(self._tile(box, top, left))
        return tuple(found)

    def tiles(self, box: Box) -> tuple[Box, ...]:
        """A grid of tiles over `box`, evenly spaced."""
        if not self.tiles_a_slice:
            return (box,)
        self._fits(box)
        return tuple(
            self._tile(box, top, left) for top, left in product(self._starts(box.height), self._starts(box.width))
        )

    def _starts(self, side: int) -> list[int]:
        count = ceil((side - self.size) / (self.size * (1 - _OVERLAP))) + 1
        return [int(start) for start in np.rint(np.linspace(0, side - self.size, count))]

    def _tile(self, box: Box, top: int, left: int) -> Box:
        return Box(box.top + top, box.left + left, box.top + top + self.size, box.left + left + self.size)

    def _fits(self, box: Box) -> None:
        if min(box.height, box.width) < self.size:
            raise DataContractError(
                f"a slice of {box.width} x {box.height} is smaller than a tile of {self.size}", next="lower recipe.size"
            )
