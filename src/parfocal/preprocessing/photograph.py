"""What the recipes of colour fundus photographs share: where they look, and which pictures they take."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
import numpy.typing as npt
from pydantic import Field

from parfocal.core.errors import DataContractError
from parfocal.core.task import Structure
from parfocal.preprocessing.images import Picture
from parfocal.preprocessing.locate import LocateConfig, Located
from parfocal.preprocessing.recipes import Recipe
from parfocal.preprocessing.roi import Box, square_box, structure_box, trim_box


class PhotographRecipe(Recipe):
    """Of a photograph: its border is trimmed, and its contrast equalised in tiles."""

    modalities: ClassVar[tuple[str, ...]] = ("colour fundus photograph",)
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
    locate: LocateConfig = Field(default_factory=LocateConfig, exclude_if=lambda value: value == LocateConfig())

    @property
    def contrast_tiles(self) -> int:
        return self.clahe_tiles

    def box(
        self,
        structure: Structure,
        height: int,
        width: int,
        outer: npt.NDArray[np.generic] | None = None,
        at: Located | None = None,
    ) -> Box | None:
        """The trimmed photograph, or the box of the outer structure with its margin; see `Recipe.box`.

        With a locator, a square about `at` in place of the photograph.
        """
        whole = self.whole(structure, outer)
        if whole and self.locate.model and at is not None:
            return square_box((at.x, at.y), self.locate.side * at.radius, height, width)
        if whole:
            return trim_box(height, width, self.border)
        return None if outer is None else structure_box(outer, self.roi_margin)


def refuse_grey(image: Picture) -> None:
    """Refuse 16-bit pixels. Dividing them by 256 would be wrong: twelve-bit cameras would come out black.

    Raises:
        DataContractError: they are.
    """
    if image.dtype != np.uint8 or image.ndim != 3:
        raise DataContractError(f"{image.dtype} grey pixels", next="export the photograph with 8 bits a channel")
